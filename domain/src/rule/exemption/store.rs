//! Exemptions in the database.

use entity::rule_exemption::Model;
use sea_orm::{FromQueryResult, QueryResult};
use std::collections::HashMap;
use uuid::Uuid;

use super::{Exemption, ExemptionEnd, ExemptionFilter};
use crate::access::Scope;
use crate::error::Result;
use crate::finding::store::within;
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::rule::pass::Exempt;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::write_term;
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("rule_id", Type::Uuid),
    ("finding_id", Type::Uuid),
    ("content_hash", Type::Text),
    ("job_id", Type::Uuid),
    ("author_id", Type::Uuid),
    ("created_at", Type::BigInt),
];

const ENDED: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("rule_id", Type::Uuid),
    ("finding_id", Type::Uuid),
    ("content_hash", Type::Text),
    ("job_id", Type::Uuid),
    ("author_id", Type::Uuid),
    ("created_at", Type::BigInt),
    ("ended_at", Type::BigInt),
    ("ended_by", Type::Uuid),
    ("ended_how", Type::Int),
];

/// All exemptions that there are and that there were; those that stand have no end. They go by `x`.
pub(crate) const EVER: &str = "(SELECT s.id, s.company_id, s.rule_id, s.finding_id, s.content_hash, s.job_id, s.author_id, \
    s.created_at, CAST(NULL AS BIGINT) AS ended_at, NULL AS ended_by, CAST(NULL AS INTEGER) AS ended_how FROM rule_exemption AS s \
    UNION ALL SELECT e.id, e.company_id, e.rule_id, e.finding_id, e.content_hash, e.job_id, e.author_id, \
    e.created_at, e.ended_at, e.ended_by, e.ended_how FROM rule_exemption_ended AS e) AS x";

const NEWEST: Sort = Sort::new("newest", &[Key::new("x.id", KeyKind::Uuid).descending()]);

fn read(row: &QueryResult) -> Result<Exemption> {
    let row = Model::from_query_result(row, "")?;
    Ok(Exemption {
        id: row.id,
        rule: row.rule_id,
        finding: row.finding_id,
        content_hash: row.content_hash,
        job: row.job_id,
        author: row.author_id,
        created_at: Timestamp(row.created_at),
    })
}

fn select(dialect: Dialect, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ").push(columns).push(" FROM rule_exemption x WHERE ")
}

/// Adds that the finding of an exemption lies in the scope.
fn visible(sql: Sql, scope: &Scope) -> Sql {
    let sql = sql.push(" AND EXISTS (SELECT 1 FROM finding AS f WHERE f.id = x.finding_id AND ");
    within(sql, scope).push(")")
}

fn matching(dialect: Dialect, scope: &Scope, columns: &str, filter: &ExemptionFilter) -> Sql {
    const HOLDS: &str =
        "(SELECT 1 FROM rule AS r WHERE r.id = x.rule_id AND r.content_hash = x.content_hash)";
    let mut sql = match filter.finding {
        Some(finding) => select(dialect, columns).push("x.finding_id = ").bind(finding).own_too(scope, "x"),
        None => select(dialect, columns).push("1 = 1").own(scope, "x"),
    };
    if let Some(rule) = filter.rule {
        sql = sql.push(" AND x.rule_id = ").bind(rule);
    }
    sql = visible(sql, scope);
    match filter.holds {
        Some(true) => sql.push(" AND EXISTS ").push(HOLDS),
        Some(false) => sql.push(" AND NOT EXISTS ").push(HOLDS),
        None => sql,
    }
}

fn any(dialect: Dialect, company: Uuid) -> Sql {
    let sql = Sql::new(dialect, "SELECT 1 AS n FROM rule_exemption WHERE company_id = ");
    sql.bind(company).push(" LIMIT 1")
}

impl Db {
    /// Whether any finding of the company is exempt from a rule.
    pub(crate) async fn any_exemption(&self, scope: &Scope) -> Result<bool> {
        Ok(any(self.dialect, scope.company()?).one(self.read()).await?.is_some())
    }

    /// Which rules do not speak of which of these findings.
    pub(crate) async fn exempt(
        &self,
        scope: &Scope,
        findings: impl IntoIterator<Item = Uuid>,
    ) -> Result<Exempt> {
        let sql = Sql::new(
            self.dialect,
            "SELECT x.finding_id, x.rule_id, x.content_hash FROM rule_exemption x WHERE ",
        );
        let rows = sql.one_of("x.finding_id", findings).own_too(scope, "x").all(self.read()).await?;
        let mut exempt = Exempt::default();
        for row in rows {
            exempt.add(
                row.try_get("", "finding_id")?,
                row.try_get("", "rule_id")?,
                row.try_get("", "content_hash")?,
            );
        }
        Ok(exempt)
    }

    pub(super) async fn exemptions(
        &self,
        scope: &Scope,
        filter: &ExemptionFilter,
        args: &PageArgs,
    ) -> Result<Page<Exemption>> {
        let window = Window::new(args, NEWEST)?;
        let columns = format!("x.*{}", key_columns(&NEWEST));
        let sql = matching(self.dialect, scope, &columns, filter).window(&window);
        page(&window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn exemption_count(&self, scope: &Scope, filter: &ExemptionFilter) -> Result<i64> {
        matching(self.dialect, scope, "COUNT(*) AS n", filter).count(self.read()).await
    }

    pub(super) async fn exemption_counts(&self, scope: &Scope, rules: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
        let filter = ExemptionFilter { holds: Some(true), ..ExemptionFilter::default() };
        let sql = matching(self.dialect, scope, "x.rule_id, COUNT(*) AS n", &filter).push(" AND ");
        let sql = sql.one_of("x.rule_id", rules.iter().copied()).push(" GROUP BY x.rule_id");
        let rows = sql.all(self.read()).await?;
        rows.iter().map(|row| Ok((row.try_get("", "rule_id")?, row.try_get("", "n")?))).collect()
    }

    pub(super) async fn exemptions_by_id(&self, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Exemption>> {
        let sql = select(self.dialect, "x.*").one_of("x.id", ids.iter().copied()).own_too(scope, "x");
        visible(sql, scope).all(self.read()).await?.iter().map(read).collect()
    }

    /// All exemptions from a rule, those that hold no more among them.
    pub(super) async fn exemptions_of_rule(&self, scope: &Scope, rule: Uuid) -> Result<Vec<Exemption>> {
        let sql = select(self.dialect, "x.*").push("x.rule_id = ").bind(rule).own(scope, "x");
        visible(sql, scope).push(" ORDER BY x.id").all(self.read()).await?.iter().map(read).collect()
    }
}

impl Tx {
    pub(crate) async fn any_exemption(&self) -> Result<bool> {
        Ok(any(self.dialect, self.company).one(self.conn()).await?.is_some())
    }

    /// Exempts findings, which are held, from a rule as it is now. One that was exempt from it as it was
    /// before is so no more.
    pub(crate) async fn keep_exemptions(&mut self, exemptions: &[Exemption]) -> Result<()> {
        let Some(Exemption { rule, author, .. }) = exemptions.first() else { return Ok(()) };
        // Passes that did not look for exemptions have to begin again.
        if self.any_exemption().await? {
            let findings = exemptions.iter().map(|one| one.finding);
            let before =
                |sql: Sql| sql.push("rule_id = ").bind(*rule).push(" AND ").one_of("finding_id", findings);
            self.end_exemptions(before, *author, ExemptionEnd::Replaced).await?;
        } else {
            self.rules_changed();
        }
        let mut rows = Rows::new(COLUMNS, exemptions.len());
        for one in exemptions {
            rows.push([
                one.id.into(),
                self.company.into(),
                one.rule.into(),
                one.finding.into(),
                one.content_hash.as_str().into(),
                one.job.into(),
                one.author.into(),
                one.created_at.0.into(),
            ]);
        }
        rows.insert(self.conn(), self.dialect, "rule_exemption", "").await?;
        Ok(())
    }

    /// Takes exemptions away, and returns the rule and the finding of each. The next import looks at
    /// all of these findings, whatever their scanner says.
    pub(super) async fn clear_exemptions(
        &self,
        ids: impl Iterator<Item = Uuid>,
        by: Uuid,
    ) -> Result<Vec<(Uuid, Uuid)>> {
        let gone = self.end_exemptions(|sql| sql.one_of("id", ids), by, ExemptionEnd::Cleared).await?;
        Sql::new(self.dialect, "UPDATE finding SET said = NULL WHERE ")
            .one_of("id", gone.iter().map(|one| one.finding))
            .run(self.conn())
            .await?;
        Ok(gone.into_iter().map(|one| (one.rule, one.finding)).collect())
    }

    /// Moves the company's exemptions that `which` holds for to those that ended, and returns them.
    async fn end_exemptions(
        &self,
        which: impl FnOnce(Sql) -> Sql,
        by: Uuid,
        how: ExemptionEnd,
    ) -> Result<Vec<Exemption>> {
        let sql = Sql::new(self.dialect, "DELETE FROM rule_exemption WHERE company_id = ").bind(self.company);
        let rows = which(sql.push(" AND ")).push(" RETURNING *").all(self.conn()).await?;
        let ended = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        if ended.is_empty() {
            return Ok(ended);
        }
        let mut rows = Rows::new(ENDED, ended.len());
        for one in &ended {
            rows.push([
                one.id.into(),
                self.company.into(),
                one.rule.into(),
                one.finding.into(),
                one.content_hash.as_str().into(),
                one.job.into(),
                one.author.into(),
                one.created_at.0.into(),
                self.now().0.into(),
                by.into(),
                write_term(how).into(),
            ]);
        }
        rows.insert(self.conn(), self.dialect, "rule_exemption_ended", "").await?;
        Ok(ended)
    }
}
