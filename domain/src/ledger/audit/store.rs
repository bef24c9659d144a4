//! The rows of the audit, for reading.

use std::collections::HashMap;

use entity::audit_entry::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{AuditFilter, Audited};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::ledger::verify::Link;
use crate::ledger::{Document, Hash, Speaker};
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::store::column::Reader;
use crate::store::page::{key_columns, page, place_column, read_keys};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

/// How many entries a verification holds at a time.
const CHUNK: i64 = 5_000;

pub(super) const NEWEST: Sort = Sort::new("NEWEST", &[Key::new("e.seq", KeyKind::Int).descending()]);

/// What [`read`] reads, in its order.
const COLUMNS: &str = "e.company_id, e.seq, e.at, e.action, e.record_kind, e.record_id, e.actor, e.before, \
                       e.after, e.cause";

fn read(row: &QueryResult) -> Result<Audited> {
    let r = &mut Reader::new(row);
    Ok(Audited {
        company: r.next()?,
        seq: r.next()?,
        at: Timestamp(r.next()?),
        action: r.next()?,
        record_kind: r.next()?,
        record: r.next()?,
        actor: r.json()?,
        before: r.next::<Option<String>>()?.map(Document::written),
        after: r.next::<Option<String>>()?.map(Document::written),
        cause: r.next::<Option<String>>()?.map(Document::written),
    })
}

fn read_link(row: &QueryResult) -> Result<Link> {
    let row = Model::from_query_result(row, "")?;
    // A hash of another length is no hash: it breaks the chain where it stands.
    let hash = |bytes: Vec<u8>| Hash::try_from(bytes).unwrap_or_default();
    Ok(Link {
        seq: row.seq,
        at: row.at,
        action: row.action,
        record_kind: row.record_kind,
        record: row.record_id,
        actor: row.actor,
        before: row.before,
        after: row.after,
        cause: row.cause,
        digest: hash(row.digest),
        hash: hash(row.hash),
        rule: row.rule_id,
    })
}

fn matching(dialect: Dialect, scope: &Scope, columns: &str, filter: &AuditFilter) -> Sql {
    let mut sql =
        Sql::new(dialect, "SELECT ").push(columns).push(" FROM audit_entry e WHERE 1 = 1").own(scope, "e");
    if let Some(record) = filter.record {
        sql = sql.push(" AND e.record_id = ").bind(record);
    }
    if let Some(action) = &filter.action {
        sql = sql.push(" AND e.action = ").bind(action.as_str());
    }
    if let Some(actor) = filter.actor {
        // Inside of a name the quotes would be escaped: this is the actor's id and nothing else.
        sql = sql.push(" AND ").contains("e.actor", &format!("\"id\":\"{actor}\""));
    }
    if let Some(from) = filter.from {
        sql = sql.push(" AND e.at >= ").bind(from.0);
    }
    if let Some(to) = filter.to {
        sql = sql.push(" AND e.at < ").bind(to.0);
    }
    sql
}

impl Db {
    pub(super) async fn audit_entries(
        &self,
        scope: &Scope,
        filter: &AuditFilter,
        window: &Window,
    ) -> Result<Page<Audited>> {
        let columns = format!("{COLUMNS}{}", key_columns(&window.sort));
        let sql = matching(self.dialect, scope, &columns, filter).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn audit_entries_of(
        &self,
        scope: &Scope,
        records: &[Uuid],
        window: &Window,
    ) -> Result<HashMap<Uuid, Page<Audited>>> {
        let columns =
            format!("{COLUMNS}{}{}", key_columns(&window.sort), place_column(window, "e.record_id"));
        let sql = Sql::new(self.dialect, "SELECT * FROM (SELECT ").push(&columns);
        let sql = sql.push(" FROM audit_entry e WHERE ").one_of("e.record_id", records.iter().copied());
        let mut found: HashMap<Uuid, Vec<_>> = HashMap::new();
        for row in sql.own_too(scope, "e").windows(window).all(self.read()).await? {
            let entry = read(&row)?;
            found.entry(entry.record).or_default().push((read_keys(&window.sort, &row)?, entry));
        }
        Ok(found.into_iter().map(|(record, rows)| (record, window.page(rows))).collect())
    }

    pub(super) async fn audit_counts_of(
        &self,
        scope: &Scope,
        records: &[Uuid],
    ) -> Result<HashMap<Uuid, i64>> {
        let sql = Sql::new(self.dialect, "SELECT e.record_id, COUNT(*) AS n FROM audit_entry e WHERE ");
        let sql = sql.one_of("e.record_id", records.iter().copied()).own_too(scope, "e");
        let rows = sql.push(" GROUP BY e.record_id").all(self.read()).await?;
        rows.iter().map(|row| Ok((row.try_get("", "record_id")?, row.try_get("", "n")?))).collect()
    }

    pub(super) async fn audit_count(&self, scope: &Scope, filter: &AuditFilter) -> Result<i64> {
        matching(self.dialect, scope, "COUNT(*) AS n", filter).count(self.read()).await
    }

    pub(super) async fn audit_entry(&self, scope: &Scope, seq: i64) -> Result<Option<Audited>> {
        let sql = matching(self.dialect, scope, COLUMNS, &AuditFilter::default());
        sql.push(" AND e.seq = ").bind(seq).one(self.read()).await?.as_ref().map(read).transpose()
    }

    /// The next entries of a company's chain after number `seq`.
    pub(crate) async fn links_after(&self, scope: &Scope, company: Uuid, seq: i64) -> Result<Vec<Link>> {
        let rows = Sql::new(self.dialect, "SELECT e.* FROM audit_entry e WHERE e.company_id = ")
            .bind(company)
            .own(scope, "e")
            .push(" AND e.seq > ")
            .bind(seq)
            .push(" ORDER BY e.seq LIMIT ")
            .bind(CHUNK)
            .all(self.read())
            .await?;
        rows.iter().map(read_link).collect()
    }

    /// The next numbers of a company's events after number `seq`.
    pub(super) async fn event_numbers_after(
        &self,
        scope: &Scope,
        company: Uuid,
        seq: i64,
    ) -> Result<Vec<i64>> {
        let rows = Sql::new(self.dialect, "SELECT e.seq FROM event e WHERE e.company_id = ")
            .bind(company)
            .own(scope, "e")
            .push(" AND e.seq > ")
            .bind(seq)
            .push(" ORDER BY e.seq LIMIT ")
            .bind(CHUNK)
            .all(self.read())
            .await?;
        rows.iter().map(|row| Ok(row.try_get("", "seq")?)).collect()
    }
}

/// The name of who changed a record last, as the ledger of the transaction's company tells.
pub(crate) async fn last_author(tx: &Tx, record: Uuid) -> Result<Option<String>> {
    let row = Sql::new(tx.dialect, "SELECT e.actor FROM audit_entry e WHERE e.record_id = ")
        .bind(record)
        .push(" AND e.company_id = ")
        .bind(tx.company)
        .push(" ORDER BY e.seq DESC LIMIT 1")
        .one(tx.conn())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let actor: String = row.try_get("", "actor")?;
    let speaker: Speaker = serde_json::from_str(&actor).map_err(Error::internal)?;
    Ok(Some(speaker.name))
}
