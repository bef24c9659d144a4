//! Findings in the database: whole rows in, whole rows out, many at a time.

use std::collections::HashMap;

use entity::finding_comment;
use sea_orm::{ActiveValue, EntityTrait, QueryResult, Value};
use uuid::Uuid;

use super::acceptance::store::Turned;
use super::edit::Comment;
use super::facts::{Evidence, Finding, Sighting};
use super::layers::{Layers, SetField};
use super::shown::Shown;
use crate::access::Scope;
use crate::error::{Code, Error, Result};
use crate::intake::report::Fingerprint;
use crate::ledger::Speaker;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::Reader;
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::field::LAST_SEEN;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

/// Every column, in the order in which rows are written and read.
const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("project_id", Type::Uuid),
    ("asset_id", Type::Uuid),
    ("fingerprint", Type::Uuid),
    ("issue_id", Type::Uuid),
    ("issue_by", Type::Uuid),
    ("series_id", Type::Uuid),
    ("present", Type::Bool),
    ("said", Type::BigInt),
    ("class", Type::Int),
    ("title", Type::Text),
    ("description", Type::Text),
    ("severity", Type::Int),
    ("status", Type::Int),
    ("vulnerability_type", Type::Text),
    ("remediation", Type::Text),
    ("scanner_source", Type::Text),
    ("scanner_category", Type::Text),
    ("scanner_reference", Type::Text),
    ("cvss_score", Type::Double),
    ("cvss_vector", Type::Text),
    ("epss_score", Type::Double),
    ("epss_percentile", Type::Double),
    ("known_exploit", Type::Bool),
    ("kev_due_at", Type::BigInt),
    ("ransomware_use", Type::Bool),
    ("sla_breached", Type::Bool),
    ("endpoint", Type::Text),
    ("port", Type::Int),
    ("component_name", Type::Text),
    ("component_version", Type::Text),
    ("component_purl", Type::Text),
    ("fixed_version", Type::Text),
    ("fix_available", Type::Bool),
    ("file_path", Type::Text),
    ("line", Type::BigInt),
    ("reference_urls", Type::List),
    ("excerpt", Type::Text),
    ("tags", Type::List),
    ("assigned_users", Type::List),
    ("assigned_teams", Type::List),
    ("effects", Type::List),
    ("root_causes", Type::List),
    ("remediation_techniques", Type::List),
    ("attack_techniques", Type::List),
    ("cve_ids", Type::List),
    ("cwe_ids", Type::List),
    ("layers", Type::Text),
    ("first_seen_at", Type::BigInt),
    ("last_seen_at", Type::BigInt),
    ("closed_at", Type::BigInt),
    ("due_at", Type::BigInt),
    ("revision", Type::BigInt),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
];

/// What a write of a present finding may change: not who and what it is.
const KEPT: &[&str] = &["id", "company_id", "project_id", "asset_id", "fingerprint", "created_at"];

/// What only a scan writes of a present finding.
const SEEN: &[&str] = &["series_id", "present", "last_seen_at"];

/// The list of columns to select, from the table called `f`. Lists come as text on both databases.
pub(crate) fn selection(dialect: Dialect) -> String {
    let column = |(name, kind): &Column| match (kind, dialect) {
        (Type::List, Dialect::Postgres) => format!("f.{name}::text"),
        _ if *name == "last_seen_at" => LAST_SEEN.to_owned(),
        _ => format!("f.{name}"),
    };
    COLUMNS.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// `SELECT` of whole findings, with `keys` behind their columns, up to `WHERE`.
pub(crate) fn select(dialect: Dialect, keys: &str) -> Sql {
    Sql::new(dialect, &format!("SELECT {}{keys} FROM finding AS f WHERE ", selection(dialect)))
}

fn list(elements: &[String]) -> Value {
    if elements.is_empty() {
        return "[]".into();
    }
    serde_json::to_string(elements).expect("texts encode").into()
}

fn row(finding: &Finding, said: Option<i64>) -> [Value; COLUMNS.len()] {
    let evidence = &finding.evidence;
    let shown = &finding.shown;
    let set = |field| list(shown.set(field));
    let micros = |at: Option<Timestamp>| Value::from(at.map(|at| at.0));
    [
        finding.id.into(),
        finding.company.into(),
        finding.project.into(),
        finding.asset.into(),
        finding.fingerprint.into(),
        finding.issue.into(),
        finding.issue_by.into(),
        finding.sighting.map(|sighting| sighting.series).into(),
        finding.sighting.is_some_and(|sighting| sighting.present).into(),
        said.into(),
        i32::from(evidence.class.code()).into(),
        shown.title.as_str().into(),
        evidence.description.clone().into(),
        i32::from(shown.severity.code()).into(),
        i32::from(shown.status.code()).into(),
        shown.vulnerability_type.clone().into(),
        shown.remediation.clone().into(),
        evidence.scanner_source.as_str().into(),
        evidence.scanner_category.clone().into(),
        evidence.scanner_reference.clone().into(),
        shown.cvss_score.into(),
        shown.cvss_vector.clone().into(),
        shown.epss_score.into(),
        shown.epss_percentile.into(),
        shown.known_exploit.into(),
        micros(shown.kev_due_at),
        shown.ransomware_use.into(),
        finding.sla_breached.into(),
        evidence.endpoint.clone().into(),
        evidence.port.map(i32::from).into(),
        evidence.component_name.clone().into(),
        evidence.component_version.clone().into(),
        evidence.component_purl.clone().into(),
        evidence.fixed_version.clone().into(),
        evidence.fix_available.into(),
        evidence.file_path.clone().into(),
        evidence.line.map(i64::from).into(),
        list(&evidence.references),
        evidence.excerpt.clone().into(),
        set(SetField::Tags),
        set(SetField::AssignedUsers),
        set(SetField::AssignedTeams),
        set(SetField::Effects),
        set(SetField::RootCauses),
        set(SetField::RemediationTechniques),
        set(SetField::AttackTechniques),
        set(SetField::CveIds),
        set(SetField::CweIds),
        finding.layers.encode().into(),
        finding.first_seen_at.0.into(),
        finding.last_seen_at.0.into(),
        micros(finding.closed_at),
        micros(finding.due_at),
        finding.revision.into(),
        finding.created_at.0.into(),
        finding.updated_at.0.into(),
    ]
}

/// Reads a row whose first columns are those of [`selection`].
pub(crate) fn read(row: &QueryResult) -> Result<Finding> {
    let r = &mut Reader::new(row);
    let (id, company, project, asset, fingerprint) = (r.next()?, r.next()?, r.next()?, r.next()?, r.next()?);
    let (issue, issue_by) = (r.next()?, r.next()?);
    let (series, present, said) = (r.next::<Option<Uuid>>()?, r.next()?, r.next()?);
    let class = r.term()?;
    let title = r.next()?;
    let description = r.next()?;
    let severity = r.term()?;
    let status = r.term()?;
    let (vulnerability_type, remediation) = (r.next()?, r.next()?);
    let (scanner_source, scanner_category, scanner_reference) = (r.next()?, r.next()?, r.next()?);
    let cvss = (r.next()?, r.next()?);
    let epss = (r.next()?, r.next()?);
    let exploit = (r.next()?, r.time()?, r.next()?);
    let sla_breached = r.next()?;
    let endpoint = r.next()?;
    let port = r.next::<Option<i32>>()?.and_then(|port| u16::try_from(port).ok());
    let (component_name, component_version, component_purl) = (r.next()?, r.next()?, r.next()?);
    let (fixed_version, fix_available, file_path) = (r.next()?, r.next()?, r.next()?);
    let line = r.next::<Option<i64>>()?.and_then(|line| u32::try_from(line).ok());
    let references = r.list()?;
    let excerpt = r.next()?;
    let mut sets: [Vec<String>; SetField::ALL.len()] = Default::default();
    for set in &mut sets {
        *set = r.list()?;
    }
    let stored: String = r.next()?;
    let shown =
        Shown::new((title, severity, status), (vulnerability_type, remediation), cvss, epss, exploit, sets);
    let layers = Layers::decode(&stored, status, shown.statements()).map_err(Error::internal)?;
    Ok(Finding {
        id,
        company,
        project,
        asset,
        fingerprint,
        issue,
        issue_by,
        evidence: Evidence {
            class,
            description,
            scanner_source,
            scanner_category,
            scanner_reference,
            endpoint,
            port,
            component_name,
            component_version,
            component_purl,
            fixed_version,
            fix_available,
            file_path,
            line,
            references,
            excerpt,
        },
        shown,
        layers,
        first_seen_at: Timestamp(r.next()?),
        last_seen_at: Timestamp(r.next()?),
        sighting: series.map(|series| Sighting { series, present, said }),
        closed_at: r.time()?,
        due_at: r.time()?,
        sla_breached,
        revision: r.next()?,
        created_at: Timestamp(r.next()?),
        updated_at: Timestamp(r.next()?),
    })
}

/// Adds the condition that a row of `finding AS f` lies in the scope: nothing outside of it can be
/// told from what does not exist.
pub(crate) fn within(sql: Sql, scope: &Scope) -> Sql {
    sql.push("1 = 1").own(scope, "f").covered_finding(scope, "f")
}

impl Db {
    /// The findings of these ids inside of the scope, in no order.
    pub(crate) async fn findings_by_id(&self, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Finding>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = within(select(self.dialect, ""), scope).push(" AND ").one_of("f.id", ids.iter().copied());
        sql.all(self.read()).await?.iter().map(read).collect()
    }

    /// The findings of a project that have these fingerprints.
    pub(crate) async fn findings_by_fingerprint(
        &self,
        scope: &Scope,
        project: Uuid,
        fingerprints: impl IntoIterator<Item = Fingerprint>,
    ) -> Result<HashMap<Fingerprint, Finding>> {
        let rows = select(self.dialect, "")
            .push("f.company_id = ")
            .bind(scope.company()?)
            .push(" AND f.project_id = ")
            .bind(project)
            .push(" AND ")
            .one_of("f.fingerprint", fingerprints)
            .all(self.read())
            .await?;
        rows.iter().map(|row| read(row).map(|finding| (finding.fingerprint, finding))).collect()
    }

    /// How many findings a sweep looks at.
    pub(crate) async fn count_to_sweep(&self, scope: &Scope, swath: Swath) -> Result<i64> {
        let sql = Sql::new(self.dialect, "SELECT COUNT(*) AS n FROM finding AS f WHERE ");
        let row = to_sweep(sql, scope, swath)?.one(self.read()).await?;
        row.map_or(Ok(0), |row| Ok(row.try_get("", "n")?))
    }

    /// The next findings of a sweep, in the order of their ids.
    pub(crate) async fn findings_to_sweep(
        &self,
        scope: &Scope,
        swath: Swath,
        after: Uuid,
        most: i64,
    ) -> Result<Vec<Finding>> {
        let sql = to_sweep(select(self.dialect, ""), scope, swath)?
            .push(" AND f.id > ")
            .bind(after)
            .push(" ORDER BY f.id LIMIT ")
            .bind(most);
        sql.all(self.read()).await?.iter().map(read).collect()
    }
}

/// Those that may be active below what rules say, inside of the portfolio.
fn recent(sql: Sql, scope: &Scope) -> Result<Sql> {
    Ok(to_sweep(sql, scope, Swath::Company)?.covered_finding(scope, "f"))
}

impl Db {
    /// How many findings of the portfolio may be active below what rules say.
    pub(crate) async fn count_recent(&self, scope: &Scope) -> Result<i64> {
        let sql = Sql::new(self.dialect, "SELECT COUNT(*) AS n FROM finding AS f WHERE ");
        recent(sql, scope)?.count(self.read()).await
    }

    /// The newest of them, those before `before`.
    pub(crate) async fn recent_findings(
        &self,
        scope: &Scope,
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<Finding>> {
        let sql = recent(select(self.dialect, ""), scope)?;
        let sql = match before {
            Some(before) => sql.push(" AND f.id < ").bind(before),
            None => sql,
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = sql.push(" ORDER BY f.id DESC LIMIT ").bind(most);
        self.read().read_each(sql.statement(), read).await
    }
}

impl Db {
    /// The comments on findings in scope, oldest first, the first 100 of each.
    pub(crate) async fn comments_on(&self, scope: &Scope, findings: &[Uuid]) -> Result<Vec<Comment>> {
        let sql = Sql::new(
            self.dialect,
            "SELECT * FROM (SELECT c.id, c.finding_id, c.author, c.body, c.created_at, ROW_NUMBER() OVER \
             (PARTITION BY c.finding_id ORDER BY c.created_at, c.id) AS place FROM finding_comment AS c \
             JOIN finding AS f ON f.id = c.finding_id WHERE ",
        );
        let rows = within(sql, scope)
            .push(" AND ")
            .one_of("c.finding_id", findings.iter().copied())
            .push(") AS c WHERE place <= 100 ORDER BY created_at, id")
            .all(self.read())
            .await?;
        rows.iter().map(read_comment).collect()
    }

    pub(crate) async fn comment(&self, scope: &Scope, id: Uuid) -> Result<Option<Comment>> {
        let sql = Sql::new(
            self.dialect,
            "SELECT c.id, c.finding_id, c.author, c.body, c.created_at FROM finding_comment AS c \
             JOIN finding AS f ON f.id = c.finding_id WHERE ",
        );
        let row = within(sql, scope).push(" AND c.id = ").bind(id).one(self.read()).await?;
        row.as_ref().map(read_comment).transpose()
    }
}

fn read_comment(row: &QueryResult) -> Result<Comment> {
    let author: Speaker =
        serde_json::from_str(&row.try_get::<String>("", "author")?).map_err(Error::internal)?;
    Ok(Comment {
        id: row.try_get("", "id")?,
        finding: row.try_get("", "finding_id")?,
        author_id: author.id,
        author: author.name,
        body: row.try_get("", "body")?,
        created_at: Timestamp(row.try_get("", "created_at")?),
    })
}

impl Tx {
    pub(crate) async fn insert_comment(&self, comment: &Comment, author: &Speaker) -> Result<()> {
        let author = serde_json::to_string(author).map_err(Error::internal)?;
        let row = finding_comment::ActiveModel {
            id: ActiveValue::Set(comment.id),
            company_id: ActiveValue::Set(self.company),
            finding_id: ActiveValue::Set(comment.finding),
            author: ActiveValue::Set(author),
            body: ActiveValue::Set(comment.body.clone()),
            created_at: ActiveValue::Set(comment.created_at.0),
        };
        finding_comment::Entity::insert(row).exec_without_returning(self.conn()).await?;
        Ok(())
    }
}

/// Which findings a sweep looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swath {
    /// All that may be active below what rules say.
    Company,
    /// Of one asset all: what VEX documents call its findings hangs on its name.
    Asset(Uuid),
    /// Those that show a risk as accepted and of which this rule says anything.
    AcceptedBy(Uuid),
}

/// Open, in progress, and accepted: an acceptance may be a rule's, over a finding that is open. The rows
/// are to be walked by their ids, whatever a planner thinks of the other indexes: it would sort all that
/// is left for every chunk. What is accepted is found by its status.
fn to_sweep(sql: Sql, scope: &Scope, swath: Swath) -> Result<Sql> {
    const ACTIVE: &str = " AND (f.status IN (0, 1, 3)) IS TRUE";
    let company = scope.company()?;
    Ok(match swath {
        Swath::Company => sql.push("f.company_id = ").bind(company).push(ACTIVE),
        Swath::Asset(asset) => sql
            .push("f.asset_id = ")
            .bind(asset)
            .push(" AND (f.company_id = ")
            .bind(company)
            .push(") IS TRUE"),
        Swath::AcceptedBy(rule) => sql
            .push("f.company_id = ")
            .bind(company)
            .push(" AND f.status = 3 AND ")
            .contains("f.layers", &rule.to_string()),
    })
}

/// The names of vulnerabilities that findings came to have, and those that they no longer do.
type Named = (Vec<(String, Uuid)>, Vec<(String, Uuid)>);

/// Findings in the form in which they are written.
pub(crate) struct Written {
    new: Rows,
    changed: Rows,
    sighted: bool,
    /// The CVE ids that findings came to show, and those that they no longer do.
    cves: Named,
    /// The acceptances of risks that begin and end.
    turned: Turned,
}

impl Written {
    /// `new` ones, and `changed` ones in the order of their ids, each one write after the revision
    /// at which it was read.
    pub fn new(
        new: &[Box<Finding>],
        changed: &[Box<Finding>],
        sighted: bool,
        cves: Named,
        turned: Turned,
    ) -> Self {
        let rows = |findings: &[Box<Finding>], scanned: bool| {
            let mut rows = Rows::new(COLUMNS, findings.len());
            for finding in findings {
                rows.push(row(finding, finding.sighting.filter(|_| scanned).and_then(|seen| seen.said)));
            }
            rows
        };
        Self { new: rows(new, true), changed: rows(changed, sighted), sighted, cves, turned }
    }
}

impl Tx {
    /// Writes findings. `false`: another writer made a new one of them first, or wrote a present
    /// one meanwhile, and nothing of this transaction may be kept.
    pub(crate) async fn write_findings(&self, written: Written) -> Result<bool> {
        let Written { new, changed, sighted, cves: (named, unnamed), turned } = written;
        // Not ON CONFLICT DO NOTHING: a conflict is rare, and guarding against it costs each row.
        match new.insert(self.conn(), self.dialect, "finding", "").await.map_err(Error::from) {
            Ok(_) => {}
            Err(error) if error.code == Code::Taken => return Ok(false),
            Err(error) => return Err(error),
        }
        let writes = |name: &&str| !KEPT.contains(name) && (sighted || !SEEN.contains(name));
        let set: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).filter(writes).collect();
        let then = match sighted {
            true => "AND finding.revision = new.revision - 1 AND finding.last_seen_at <= new.last_seen_at",
            false => "AND finding.revision = new.revision - 1",
        };
        let count = changed.len();
        if changed.update(self.conn(), self.dialect, "finding", &set, then).await? < count {
            return Ok(false);
        }
        self.index_cves(named, unnamed).await?;
        self.turn_acceptances(turned).await?;
        Ok(true)
    }
}
