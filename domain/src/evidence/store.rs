//! The stretch of the audit that a period is, and the tables of what stood.

use std::collections::HashMap;

use sea_orm::QueryResult;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::past::{Later, TRACED};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::ledger::store::Head;
use crate::ledger::{GENESIS, Hash};
use crate::page::{KeyValue, Window};
use crate::store::Db;
use crate::store::page::{key_columns, read_keys};
use crate::store::sql::Sql;
use crate::vocabulary::time::Timestamp;
use tables::{Kind, Table};

pub(super) mod tables;

/// How many rows of a table are read at a time.
const PAGE: u16 = 1_000;

impl Db {
    /// The numbers after which the audit of a period begins, and at which it ends. Entries are numbered as they are committed
    /// and timed as they are begun, so one of another time may lie in between.
    pub(super) async fn audit_range(
        &self,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<(i64, i64)> {
        let number = async |condition: &str, at: Timestamp, order: &str| {
            let sql = Sql::new(self.dialect, "SELECT e.seq FROM audit_entry AS e WHERE e.company_id = ");
            let sql = sql.bind(scope.company()?).push(condition).bind(at.0).push(order);
            let row = sql.one(self.read()).await?;
            row.map(|row| Ok::<i64, Error>(row.try_get("", "seq")?)).transpose()
        };
        let last = number(" AND e.at < ", to, " ORDER BY e.seq DESC LIMIT 1").await?.unwrap_or(0);
        let first = number(" AND e.at >= ", from, " ORDER BY e.seq LIMIT 1").await?;
        Ok((first.map_or(last, |first| first - 1).min(last), last))
    }

    /// The hash of an entry, or of what stands before the first.
    pub(super) async fn audit_hash(&self, scope: &Scope, seq: i64) -> Result<Hash> {
        if seq == 0 {
            return Ok(GENESIS);
        }
        let sql = Sql::new(self.dialect, "SELECT e.hash FROM audit_entry AS e WHERE e.company_id = ");
        let row = sql.bind(scope.company()?).push(" AND e.seq = ").bind(seq).one(self.read()).await?;
        let row = row.ok_or_else(|| Error::internal("the audit has a gap"))?;
        let hash: Vec<u8> = row.try_get("", "hash")?;
        Hash::try_from(hash).map_err(|_| Error::internal("a hash of another length"))
    }

    /// Where the audit of the scope's company stands.
    pub(super) async fn audit_head_of(&self, scope: &Scope) -> Result<Head> {
        let company = scope.company()?;
        let heads = self.ledger_heads(scope).await?;
        heads.into_iter().find(|head| head.company == company).ok_or_else(|| Error::not_found("ledger"))
    }

    /// The next rows of a table, and where the page after them begins.
    pub(super) async fn evidence_rows(
        &self,
        scope: &Scope,
        table: &Table,
        period: (Timestamp, Timestamp),
        after: Option<Vec<KeyValue>>,
    ) -> Result<(Vec<Json>, Option<Vec<KeyValue>>)> {
        let window = Window { sort: table.order, limit: PAGE, backward: false, after, before: None };
        let columns: Vec<String> =
            table.columns.iter().map(|(name, column)| format!("{} AS {name}", column.of)).collect();
        let head = format!(
            "SELECT {}{} FROM {} WHERE 1 = 1",
            columns.join(", "),
            key_columns(&table.order),
            table.from
        );
        let sql = Sql::new(self.dialect, &head).own(scope, table.alias);
        let sql = (table.holds)(sql, period).window(&window);
        let rows = sql.all(self.read()).await?;
        let more = rows.len() > usize::from(PAGE);
        let rows = &rows[..rows.len().min(usize::from(PAGE))];
        let next = match rows.last() {
            Some(last) if more => Some(read_keys(&table.order, last)?),
            _ => None,
        };
        let read = |row: &QueryResult| -> Result<Json> {
            let cell = |(name, column): &(&'static str, tables::Cell)| {
                Ok(((*name).to_owned(), value(row, name, column.kind)?))
            };
            Ok(table.columns.iter().map(cell).collect::<Result<Map<_, _>>>()?.into())
        };
        Ok((rows.iter().map(read).collect::<Result<_>>()?, next))
    }

    /// Changes of what is traced back, after one entry and before another, the newest first.
    pub(super) async fn later_changes(&self, scope: &Scope, after: i64, before: i64) -> Result<Vec<Later>> {
        let head =
            "SELECT e.seq, e.record_kind, e.record_id, e.before FROM audit_entry AS e WHERE e.company_id = ";
        let sql = Sql::new(self.dialect, head).bind(scope.company()?).push(" AND e.seq > ").bind(after);
        let sql = sql.push(" AND e.seq < ").bind(before).push(" AND ");
        let sql = sql.one_of_texts("e.record_kind", TRACED.iter().copied());
        let rows = sql.push(&format!(" ORDER BY e.seq DESC LIMIT {PAGE}")).all(self.read()).await?;
        let read = |row: &QueryResult| {
            let before: Option<String> = row.try_get("", "before")?;
            Ok(Later {
                seq: row.try_get("", "seq")?,
                kind: row.try_get("", "record_kind")?,
                record: row.try_get("", "record_id")?,
                before: before.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
            })
        };
        rows.iter().map(read).collect()
    }

    /// The names and addresses of users, of those too who are members no more. Users are of no company,
    /// so there is nothing to hold them against: their ids were read in members and audit of this scope.
    pub(super) async fn names_of(
        &self,
        _scope: &Scope,
        users: &[Uuid],
    ) -> Result<HashMap<Uuid, (String, String)>> {
        let mut names = HashMap::new();
        for some in users.chunks(usize::from(PAGE)) {
            let sql = Sql::new(self.dialect, "SELECT u.id, u.name, u.email FROM user_account AS u WHERE ");
            for row in sql.one_of("u.id", some.iter().copied()).all(self.read()).await? {
                names.insert(row.try_get("", "id")?, (row.try_get("", "name")?, row.try_get("", "email")?));
            }
        }
        Ok(names)
    }
}

fn value(row: &QueryResult, name: &str, kind: Kind) -> Result<Json> {
    Ok(match kind {
        Kind::Id => json!(row.try_get::<Option<Uuid>>("", name)?),
        Kind::Text => json!(row.try_get::<Option<String>>("", name)?),
        Kind::Number => json!(row.try_get::<Option<i64>>("", name)?),
        Kind::Share => json!(row.try_get::<Option<f64>>("", name)?),
        Kind::Flag => json!(row.try_get::<Option<bool>>("", name)?),
        Kind::Time => json!(row.try_get::<Option<i64>>("", name)?.map(Timestamp)),
        Kind::Word(words) => {
            let code: Option<i32> = row.try_get("", name)?;
            json!(code.and_then(|code| words.get(usize::try_from(code).ok()?)))
        }
        Kind::Json => {
            let text: Option<String> = row.try_get("", name)?;
            text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
        }
    })
}
