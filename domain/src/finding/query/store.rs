//! Lists, counts and groups of findings in SQL.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use sea_orm::QueryResult;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Count, FindingFilter, Group, SCAN_BOUND, UNCOUNTED};
use crate::access::Scope;
use crate::error::{Code, Error, Result};
use crate::finding::facts::Finding;
use crate::finding::issue::LISTED;
use crate::finding::store::{read, selection, within};
use crate::inventory::asset::Asset;
use crate::inventory::asset::store as assets;
use crate::page::{Key, KeyKind, KeyValue, Page, PageArgs, Sort, Window};
use crate::store::page::{key_columns, read_keys};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::field::{Field, Table};
use crate::vocabulary::kind::{Kind, Storage};
use crate::vocabulary::terms::Severity;
use crate::vocabulary::time::Timestamp;

/// How many rows a filter that SQL cannot decide reads at a time.
const BATCH: u16 = 500;

/// What a statement over findings asks for, and whether SQL decides it.
pub(crate) struct Asked {
    pub sql: Sql,
    pub exact: bool,
}

/// `head FROM finding …` with what its filter needs joined. `needs_asset`: the head speaks of it.
pub(crate) fn matching(
    dialect: Dialect,
    scope: &Scope,
    filter: &FindingFilter,
    head: &str,
    joins: &str,
    needs_asset: bool,
) -> Asked {
    // The filter is written once for what it needs, and again once its places are known.
    let written = |first| filter.criteria.as_ref().map(|criteria| criteria.sql(dialect, filter.now, first));
    let needs_asset = needs_asset || written(1).is_some_and(|filter| filter.needs_asset);
    let join = if needs_asset { " JOIN asset AS a ON a.id = f.asset_id" } else { "" };
    let sql = Sql::new(dialect, head).push(" FROM finding AS f").push(join).push(joins).push(" WHERE ");
    let passing = |sql: Sql| {
        let sql = within(sql, scope);
        match written(sql.bound() + 1) {
            Some(filter) => (sql.push(" AND ").fragment(&filter.text, &filter.binds), filter.exact),
            None => (sql, true),
        }
    };
    if !filter.per_issue {
        let (sql, exact) = passing(sql);
        return Asked { sql, exact };
    }
    // Of the findings of an issue that pass, the worst stands for it.
    let sql = within(sql, scope)
        .push(" AND f.id IN (SELECT one.id FROM (SELECT f.id, ROW_NUMBER() OVER (PARTITION BY f.issue_id ")
        .push("ORDER BY f.severity DESC, f.id) AS place FROM finding AS f")
        .push(join)
        .push(" WHERE ");
    let (sql, exact) = passing(sql);
    Asked { sql: sql.push(") AS one WHERE one.place = 1)"), exact }
}

impl Tx {
    /// How many findings the filter finds, as the transaction sees them; none where SQL cannot tell.
    pub(crate) async fn finding_count(&self, scope: &Scope, filter: &FindingFilter) -> Result<Option<i64>> {
        let asked = matching(self.dialect, scope, filter, "SELECT COUNT(*) AS n", "", false);
        if !asked.exact {
            return Ok(None);
        }
        asked.sql.count(self.conn()).await.map(Some)
    }
}

impl Db {
    pub(crate) async fn findings(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        sort: Sort,
        args: &PageArgs,
    ) -> Result<Page<Finding>> {
        let window = Window::new(args, sort)?;
        let head = format!("SELECT {}{}", selection(self.dialect), key_columns(&window.sort));
        let asked = matching(self.dialect, scope, filter, &head, "", false);
        if asked.exact {
            let rows = asked.sql.window(&window).all(self.read()).await?;
            return crate::store::page::page(&window, &rows, read);
        }
        let wanted = usize::from(window.limit) + 1;
        let mut found = Vec::new();
        let start = Window { limit: BATCH, ..window.clone() };
        let whole = self
            .scan_findings(scope, filter, start, |keys, finding, _| {
                found.push((keys, finding));
                found.len() < wanted
            })
            .await?;
        if !whole {
            return Err(Error::new(Code::LimitExceeded, UNCOUNTED)
                .with("limit", "scan")
                .with("max", SCAN_BOUND));
        }
        Ok(window.page(found))
    }

    pub(crate) async fn finding_count(&self, scope: &Scope, filter: &FindingFilter) -> Result<Count> {
        let asked = matching(self.dialect, scope, filter, "SELECT COUNT(*) AS n", "", false);
        if asked.exact {
            return asked.sql.count(self.read()).await.map(Count::Exact);
        }
        let mut count = 0;
        let whole = self
            .scan_findings(scope, filter, every(), |_, _, _| {
                count += 1;
                true
            })
            .await?;
        Ok(if whole { Count::Exact(count) } else { Count::Unknown(UNCOUNTED) })
    }

    /// The ids of the next findings, after `after`, that pass, in their order.
    pub(crate) async fn finding_ids(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        after: Uuid,
        most: usize,
    ) -> Result<Vec<Uuid>> {
        let limit = u16::try_from(most).unwrap_or(u16::MAX);
        let start = Window { after: Some(vec![KeyValue::Uuid(after)]), limit, ..every() };
        let asked = matching(self.dialect, scope, filter, "SELECT f.id", "", false);
        if asked.exact {
            let rows = asked.sql.window(&start).all(self.read()).await?;
            return rows.iter().take(most).map(|row| Ok(row.try_get_by_index(0)?)).collect();
        }
        let mut ids = Vec::new();
        let whole = self
            .scan_findings(scope, filter, Window { limit: BATCH, ..start }, |_, finding, _| {
                ids.push(finding.id);
                ids.len() < most
            })
            .await?;
        if whole {
            Ok(ids)
        } else {
            Err(Error::new(Code::LimitExceeded, UNCOUNTED).with("limit", "scan").with("max", SCAN_BOUND))
        }
    }

    /// Goes through the rows of the filter's superset and hands on those that pass, until `take`
    /// has enough. `false`: the bound was met first.
    ///
    /// Which findings stand for their issues is told by all that pass: that is a walk of its own before.
    async fn scan_findings(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        window: Window,
        mut take: impl FnMut(Vec<KeyValue>, Finding, &Asset) -> bool,
    ) -> Result<bool> {
        if !filter.per_issue {
            return self.scan_rows(scope, filter, window, take).await;
        }
        let filter = filter.clone().per_issue(false);
        let mut worst: HashMap<Uuid, (Reverse<Severity>, Uuid)> = HashMap::new();
        let whole = self
            .scan_rows(scope, &filter, every(), |_, finding, _| {
                let place = (Reverse(finding.shown.severity), finding.id);
                let kept = worst.entry(finding.issue).or_insert(place);
                *kept = place.min(*kept);
                true
            })
            .await?;
        if !whole {
            return Ok(false);
        }
        let standing: HashSet<Uuid> = worst.into_values().map(|(_, id)| id).collect();
        self.scan_rows(scope, &filter, window, |keys, finding, asset| {
            !standing.contains(&finding.id) || take(keys, finding, asset)
        })
        .await
    }

    /// [`Self::scan_findings`], each finding by itself.
    async fn scan_rows(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        mut window: Window,
        mut take: impl FnMut(Vec<KeyValue>, Finding, &Asset) -> bool,
    ) -> Result<bool> {
        let head = format!("SELECT {}{}", selection(self.dialect), key_columns(&window.sort));
        let mut scanned = 0;
        while scanned < SCAN_BOUND {
            let sql = matching(self.dialect, scope, filter, &head, "", false).sql.window(&window);
            let rows = sql.all(self.read()).await?;
            let more = rows.len() > usize::from(window.limit);
            let rows = &rows[..rows.len().min(usize::from(window.limit))];
            let findings: Vec<Finding> = rows.iter().map(read).collect::<Result<_>>()?;
            let assets = self.assets_on(scope, &findings).await?;
            let mut last = None;
            for (row, finding) in rows.iter().zip(findings) {
                scanned += 1;
                let keys = read_keys(&window.sort, row)?;
                last = Some(keys.clone());
                if let Some(asset) = assets.get(&finding.asset)
                    && filter.holds(&finding, asset)
                    && !take(keys, finding, asset)
                {
                    return Ok(true);
                }
            }
            match (more, window.backward) {
                (false, _) => return Ok(true),
                (true, false) => window.after = last,
                (true, true) => window.before = last,
            }
        }
        Ok(false)
    }

    /// The findings of these issues inside of the scope, the worst of each first, at most [`LISTED`] of
    /// each; with how many the issue has.
    pub(crate) async fn findings_of_issues(
        &self,
        scope: &Scope,
        ids: &[Uuid],
    ) -> Result<Vec<(Finding, i64)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let head = format!("SELECT {}, f.issue_count FROM (SELECT f.*, ", selection(self.dialect));
        let sql = Sql::new(self.dialect, &head)
            .push("COUNT(*) OVER (PARTITION BY f.issue_id) AS issue_count, ROW_NUMBER() OVER (PARTITION BY ")
            .push("f.issue_id ORDER BY f.severity DESC, f.id) AS place FROM finding AS f WHERE ");
        let rows = within(sql, scope)
            .push(" AND ")
            .one_of("f.issue_id", ids.iter().copied())
            .push(") AS f WHERE f.place <= ")
            .bind(LISTED as i64)
            .push(" ORDER BY f.issue_id, f.place")
            .all(self.read())
            .await?;
        rows.iter().map(|row| Ok((read(row)?, row.try_get("", "issue_count")?))).collect()
    }

    /// The assets that `findings` are on, whatever the portfolio: who may see a finding may see
    /// what it was found on.
    pub(crate) async fn assets_on<'f>(
        &self,
        scope: &Scope,
        findings: impl IntoIterator<Item = &'f Finding>,
    ) -> Result<HashMap<Uuid, Asset>> {
        let mut ids: Vec<Uuid> = findings.into_iter().map(|finding| finding.asset).collect();
        ids.sort_unstable();
        ids.dedup();
        assets::by_id(self.read(), self.dialect, &scope.whole(), &ids).await
    }

    pub(crate) async fn finding_groups(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        fields: &[FindingField],
        query: Option<&str>,
        most: i64,
    ) -> Result<Vec<Group>> {
        let dimensions: Vec<Dimension> = fields
            .iter()
            .enumerate()
            .map(|(at, field)| Dimension::new(self.dialect, field.field(), at))
            .collect();
        let values: Vec<String> =
            dimensions.iter().enumerate().map(|(at, d)| format!("{} AS v{at}", d.value)).collect();
        let joins: String = dimensions.iter().map(|d| d.join.as_str()).collect();
        let needs_asset = fields.iter().any(|field| field.field().column.table == Table::Asset);
        let head = format!("SELECT {}, COUNT(*) AS n", values.join(", "));
        let asked = matching(self.dialect, scope, filter, &head, &joins, needs_asset);
        if !asked.exact {
            return self.scan_groups(scope, filter, fields, most).await;
        }
        let mut sql = asked.sql;
        if let Some(query) = query {
            let text = dimensions[0].text(self.dialect);
            sql = sql.push(" AND ").contains(&text, query);
        }
        let places: Vec<String> = (1..=dimensions.len()).map(|at| at.to_string()).collect();
        let rows = sql
            .push(&format!(" GROUP BY {0} ORDER BY n DESC, {0} LIMIT ", places.join(", ")))
            .bind(most)
            .all(self.read())
            .await?;
        rows.iter()
            .map(|row| {
                let values =
                    dimensions.iter().enumerate().map(|(at, d)| d.read(row, at)).collect::<Result<_>>()?;
                Ok(Group { values, count: row.try_get("", "n")? })
            })
            .collect()
    }

    /// Groups in memory, for filters that SQL cannot decide.
    async fn scan_groups(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        fields: &[FindingField],
        most: i64,
    ) -> Result<Vec<Group>> {
        use crate::finding::facts::Facts;
        use crate::vocabulary::criteria::Subject;

        let mut groups: HashMap<String, Group> = HashMap::new();
        let whole = self
            .scan_findings(scope, filter, every(), |_, finding, asset| {
                let facts = Facts { finding: &finding, asset, shown: &finding.shown };
                let mut rows: Vec<Vec<Json>> = vec![Vec::new()];
                for field in fields {
                    let value = facts
                        .read(field.index())
                        .map_or(Json::Null, |value| value.to_json(field.field().kind));
                    let values = match value {
                        Json::Array(elements) if elements.is_empty() => vec![Json::Null],
                        Json::Array(elements) => elements,
                        value => vec![value],
                    };
                    rows = rows
                        .into_iter()
                        .flat_map(|row| {
                            values
                                .iter()
                                .map(move |value| [row.as_slice(), std::slice::from_ref(value)].concat())
                        })
                        .collect();
                }
                for values in rows {
                    let key = json!(values).to_string();
                    groups.entry(key).or_insert(Group { values, count: 0 }).count += 1;
                }
                true
            })
            .await?;
        if !whole {
            return Err(Error::new(Code::LimitExceeded, UNCOUNTED)
                .with("limit", "scan")
                .with("max", SCAN_BOUND));
        }
        let mut groups: Vec<(String, Group)> = groups.into_iter().collect();
        groups.sort_by(|(a, some), (b, other)| other.count.cmp(&some.count).then_with(|| a.cmp(b)));
        groups.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(groups.into_iter().map(|(_, group)| group).collect())
    }
}

/// Every row, in the order of the ids.
fn every() -> Window {
    const BY_ID: Sort = Sort::new("id", &[Key::new("f.id", KeyKind::Uuid)]);
    Window { sort: BY_ID, limit: BATCH, backward: false, after: None, before: None }
}

/// A field by which findings are grouped.
struct Dimension {
    kind: Kind,
    value: String,
    join: String,
}

impl Dimension {
    fn new(dialect: Dialect, field: &Field, at: usize) -> Self {
        let column = field.column.sql();
        if field.storage() != Storage::List {
            return Self { kind: field.kind, value: column, join: String::new() };
        }
        // A finding without elements stays, with no value.
        let join = match dialect {
            Dialect::Sqlite => format!(" LEFT JOIN json_each({column}) AS e{at} ON TRUE"),
            Dialect::Postgres => {
                format!(" LEFT JOIN LATERAL jsonb_array_elements_text({column}) AS e{at} (value) ON TRUE")
            }
        };
        Self { kind: field.kind, value: format!("e{at}.value"), join }
    }

    /// The value as text, to be searched in.
    fn text(&self, dialect: Dialect) -> String {
        match (self.kind.storage(), dialect) {
            (Storage::Text | Storage::List, _) => self.value.clone(),
            (_, Dialect::Postgres) => format!("{}::text", self.value),
            (_, Dialect::Sqlite) => format!("CAST({} AS TEXT)", self.value),
        }
    }

    fn read(&self, row: &QueryResult, at: usize) -> Result<Json> {
        let name = format!("v{at}");
        Ok(match self.kind.storage() {
            Storage::Text | Storage::List => json!(row.try_get::<Option<String>>("", &name)?),
            Storage::Code => {
                let code: Option<i32> = row.try_get("", &name)?;
                let words = self.kind.words();
                json!(code.and_then(|code| words.get(usize::try_from(code).ok()?).copied()))
            }
            Storage::Double => match row.try_get::<Option<f64>>("", &name) {
                Ok(number) => json!(number),
                // The port is kept as a whole number.
                Err(_) => json!(row.try_get::<Option<i32>>("", &name)?),
            },
            Storage::Boolean => json!(row.try_get::<Option<bool>>("", &name)?),
            Storage::Micros => json!(row.try_get::<Option<i64>>("", &name)?.map(Timestamp)),
            Storage::Uuid => json!(row.try_get::<Option<Uuid>>("", &name)?),
        })
    }
}
