//! The one place that turns a [`Window`] into SQL: the cursor's condition, ORDER BY and LIMIT.
//!
//! A list is queried as `SELECT … {key_columns(sort)} FROM … WHERE {condition}`, then
//! [`Sql::window`], and its rows become a page with [`page`].

use sea_orm::QueryResult;

use super::sql::Sql;
use crate::error::Result;
use crate::page::{Key, KeyKind, KeyValue, Page, Sort, Window};

/// The keys of `sort` for the end of a select list: `, f.severity AS key0, f.id AS key1`.
pub(crate) fn key_columns(sort: &Sort) -> String {
    let column = |(at, key): (usize, &Key)| match key.kind {
        KeyKind::Int => format!(", CAST({} AS BIGINT) AS key{at}", key.expr),
        _ => format!(", {} AS key{at}", key.expr),
    };
    sort.keys.iter().enumerate().map(column).collect()
}

/// Reads the rows of a query that ended in [`Sql::window`].
pub(crate) fn page<T>(
    window: &Window,
    rows: &[QueryResult],
    mut read: impl FnMut(&QueryResult) -> Result<T>,
) -> Result<Page<T>> {
    let read_row = |row| Ok((read_keys(&window.sort, row)?, read(row)?));
    let rows = rows.iter().map(read_row).collect::<Result<_>>()?;
    Ok(window.page(rows))
}

pub(crate) fn read_keys(sort: &Sort, row: &QueryResult) -> Result<Vec<KeyValue>> {
    let read_key = |(at, key): (usize, &Key)| {
        let name = format!("key{at}");
        let value = match key.kind {
            KeyKind::Int => row.try_get::<Option<i64>>("", &name)?.map(KeyValue::Int),
            KeyKind::Float => row.try_get::<Option<f64>>("", &name)?.map(KeyValue::Float),
            KeyKind::Text => row.try_get::<Option<String>>("", &name)?.map(KeyValue::Text),
            KeyKind::Uuid => row.try_get::<Option<uuid::Uuid>>("", &name)?.map(KeyValue::Uuid),
        };
        Ok(value.unwrap_or(KeyValue::Null))
    };
    sort.keys.iter().enumerate().map(read_key).collect()
}

/// On which side of a cursor the rows lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    After,
    Before,
}

impl Sql {
    /// Adds ` AND …` for the cursors, the order, and a limit of one row more than the page has.
    /// The statement so far ends in a WHERE condition.
    pub fn window(self, window: &Window) -> Self {
        let sql = self.cursors(window).push(" ORDER BY ").push(&order(window));
        sql.push(" LIMIT ").bind(i64::from(window.limit) + 1)
    }

    /// The same for many lists at once, whose rows [`place_column`] numbered: the statement so far
    /// begins with `SELECT * FROM (SELECT`.
    pub fn windows(self, window: &Window) -> Self {
        let sql = self.cursors(window).push(") AS numbered WHERE numbered.place <= ");
        sql.bind(i64::from(window.limit) + 1).push(" ORDER BY numbered.place")
    }

    fn cursors(self, window: &Window) -> Self {
        let mut sql = self;
        if let Some(cursor) = &window.after {
            sql = sql.beyond(&window.sort, cursor, Side::After);
        }
        if let Some(cursor) = &window.before {
            sql = sql.beyond(&window.sort, cursor, Side::Before);
        }
        sql
    }

    /// Adds ` AND` the condition that a row lies strictly on `side` of the cursor.
    fn beyond(self, sort: &Sort, cursor: &[KeyValue], side: Side) -> Self {
        let mut sql = self.push(" AND ");
        let same_way = |key: &Key| !key.nullable && sort.descends(key) == sort.descends(&sort.keys[0]);
        if sort.keys.iter().all(same_way) {
            // Compared as rows, so that an index on all keys is entered where the cursor stands.
            let names: Vec<&str> = sort.keys.iter().map(|key| key.expr).collect();
            sql = sql.push("(").push(&names.join(", ")).push(")");
            sql = sql.push(comparison(sort, &sort.keys[0], side)).push(" (");
            for (at, value) in cursor.iter().enumerate() {
                sql = sql.push(if at == 0 { "" } else { ", " }).key(value);
            }
            return sql.push(")");
        }
        // Said apart, so that an index on the first key is entered where the cursor stands.
        if let Some((key, value)) = sort.keys.iter().zip(cursor).next()
            && !key.nullable
        {
            sql = sql.push(key.expr).push(comparison(sort, key, side)).push("= ").key(value).push(" AND ");
        }
        // after(i) = key i is beyond, or it is equal and after(i + 1)
        let last = sort.keys.len() - 1;
        for (at, (key, value)) in sort.keys.iter().zip(cursor).enumerate() {
            sql = sql.push("(").strictly(sort, key, value, side);
            if at < last {
                sql = sql.push(" OR ").push(key.expr);
                sql = match value {
                    KeyValue::Null => sql.push(" IS NULL"),
                    value => sql.push(" = ").key(value),
                };
                sql = sql.push(" AND ");
            }
        }
        sql.push(&")".repeat(sort.keys.len()))
    }

    fn strictly(self, sort: &Sort, key: &Key, value: &KeyValue, side: Side) -> Self {
        match (value, side) {
            (KeyValue::Null, Side::After) => self.push("1 = 0"),
            (KeyValue::Null, Side::Before) => self.push(key.expr).push(" IS NOT NULL"),
            (value, side) => {
                let sql = self.push(key.expr).push(comparison(sort, key, side)).push(" ").key(value);
                if key.nullable && side == Side::After {
                    sql.push(" OR ").push(key.expr).push(" IS NULL")
                } else {
                    sql
                }
            }
        }
    }

    fn key(self, value: &KeyValue) -> Self {
        match value {
            KeyValue::Null => self.push("NULL"),
            KeyValue::Int(number) => self.bind(*number),
            KeyValue::Float(number) => self.bind(*number),
            KeyValue::Text(text) => self.bind(text.as_str()),
            KeyValue::Uuid(id) => self.bind(*id),
        }
    }
}

/// The keys as ORDER BY names them.
fn order(window: &Window) -> String {
    let mut order = String::new();
    for (at, key) in window.sort.keys.iter().enumerate() {
        // Nulls are last in the list, so they are first where it is read from its end.
        let direction = if window.sort.descends(key) != window.backward { " DESC" } else { "" };
        let nulls = match (key.nullable, window.backward) {
            (false, _) => "",
            (true, false) => " NULLS LAST",
            (true, true) => " NULLS FIRST",
        };
        order.extend([if at == 0 { "" } else { ", " }, key.expr, direction, nulls]);
    }
    order
}

/// The place of a row in its own list, for the end of a select list; `list` tells the lists apart.
pub(crate) fn place_column(window: &Window, list: &str) -> String {
    format!(", ROW_NUMBER() OVER (PARTITION BY {list} ORDER BY {}) AS place", order(window))
}

fn comparison(sort: &Sort, key: &Key, side: Side) -> &'static str {
    if (side == Side::After) != sort.descends(key) { " >" } else { " <" }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;
    use uuid::Uuid;

    use super::*;
    use crate::page::PageArgs;
    use crate::store::Db;
    use crate::vocabulary::criteria::sql::Dialect;

    const KEYS: &[Key] = &[
        Key::new("t.n", KeyKind::Int).descending().nullable(),
        Key::new("t.x", KeyKind::Float).nullable(),
        Key::new("t.name", KeyKind::Text),
        Key::new("t.id", KeyKind::Uuid),
    ];
    const PLAIN: &[Key] = &[Key::new("t.name", KeyKind::Text).descending(), Key::new("t.id", KeyKind::Uuid)];
    const ONE_WAY: &[Key] = &[Key::new("t.name", KeyKind::Text), Key::new("t.id", KeyKind::Uuid)];
    const BY_ID: &[Key] = &[Key::new("t.id", KeyKind::Uuid)];

    /// The list in pieces of `size`, walked from one end to the other.
    async fn walk(conn: &impl ConnectionTrait, sort: Sort, size: i64, backward: bool) -> Vec<Uuid> {
        let (mut ids, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let args = if backward {
                PageArgs { last: Some(size), before: cursor.take(), ..PageArgs::default() }
            } else {
                PageArgs { first: Some(size), after: cursor.take(), ..PageArgs::default() }
            };
            let window = Window::new(&args, sort).unwrap();
            let text = format!("SELECT t.id{} FROM t WHERE 1 = 1", key_columns(&sort));
            let rows = Sql::new(Dialect::Sqlite, &text).window(&window).all(conn).await.unwrap();
            let page = page(&window, &rows, |row| Ok(row.try_get::<Uuid>("", "id")?)).unwrap();
            let first = pages == 0;
            pages += 1;
            if backward {
                assert_eq!(page.has_next, !first);
                cursor = page.edges.first().map(|edge| edge.cursor.clone());
                ids.extend(page.edges.iter().rev().map(|edge| edge.node));
            } else {
                assert_eq!(page.has_previous, !first);
                cursor = page.edges.last().map(|edge| edge.cursor.clone());
                ids.extend(page.edges.iter().map(|edge| edge.node));
            }
            if !(if backward { page.has_previous } else { page.has_next }) {
                break;
            }
        }
        if backward {
            ids.reverse();
        }
        ids
    }

    #[tokio::test]
    async fn a_walk_in_either_direction_meets_every_row_once() {
        let db = Db::open("sqlite::memory:").await.unwrap();
        let tx = db.transaction().await.unwrap();
        tx.execute_unprepared(
            "CREATE TEMP TABLE t (id BLOB NOT NULL PRIMARY KEY, n INTEGER, x REAL, name TEXT NOT NULL)",
        )
        .await
        .unwrap();
        // Few values, so that ties and nulls are many.
        let mut rows = Vec::new();
        for at in 0..72_u32 {
            let n = (at % 3 != 0).then_some(i64::from(at % 3));
            let x = (at % 4 != 0).then_some(f64::from(at % 4) / 3.0);
            let name = ["a", "B", "é"][(at / 12 % 3) as usize];
            let id = Uuid::from_u128(u128::from(at.wrapping_mul(2_654_435_761)));
            Sql::new(Dialect::Sqlite, "INSERT INTO t VALUES (")
                .bind(id)
                .push(", ")
                .bind(n)
                .push(", ")
                .bind(x)
                .push(", ")
                .bind(name)
                .push(")")
                .run(&tx)
                .await
                .unwrap();
            rows.push((n, x, name, id));
        }
        for reversed in [false, true] {
            let mut expected = rows.clone();
            expected.sort_by(|a, b| {
                let turn = |order: std::cmp::Ordering| if reversed { order.reverse() } else { order };
                let n = a.0.is_none().cmp(&b.0.is_none()).then(turn(b.0.cmp(&a.0)));
                let x = a.1.is_none().cmp(&b.1.is_none()).then(turn(a.1.partial_cmp(&b.1).unwrap()));
                n.then(x).then(turn(a.2.cmp(b.2))).then(turn(a.3.cmp(&b.3)))
            });
            let expected: Vec<Uuid> = expected.into_iter().map(|row| row.3).collect();
            for size in [1, 5, 24, 72, 100] {
                for backward in [false, true] {
                    let sort = Sort::new("N", KEYS).reversed(reversed);
                    assert_eq!(
                        walk(&tx, sort, size, backward).await,
                        expected,
                        "{reversed} {size} {backward}"
                    );
                    for keys in [PLAIN, ONE_WAY, BY_ID] {
                        let sort = Sort::new("P", keys).reversed(reversed);
                        assert_eq!(walk(&tx, sort, size, backward).await, walk(&tx, sort, 500, false).await);
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn two_cursors_bound_a_page() {
        let db = Db::open("sqlite::memory:").await.unwrap();
        let tx = db.transaction().await.unwrap();
        tx.execute_unprepared("CREATE TEMP TABLE t (id BLOB NOT NULL PRIMARY KEY)").await.unwrap();
        for at in 0..9 {
            let sql = Sql::new(Dialect::Sqlite, "INSERT INTO t VALUES (").bind(Uuid::from_u128(at)).push(")");
            sql.run(&tx).await.unwrap();
        }
        let sort = Sort::new("ID", BY_ID);
        let cursor = |at| Some(sort.cursor(&[KeyValue::Uuid(Uuid::from_u128(at))]));
        let args = PageArgs { first: Some(9), after: cursor(2), before: cursor(6), ..PageArgs::default() };
        let window = Window::new(&args, sort).unwrap();
        let text = format!("SELECT t.id{} FROM t WHERE 1 = 1", key_columns(&sort));
        let rows = Sql::new(Dialect::Sqlite, &text).window(&window).all(&tx).await.unwrap();
        let page = page(&window, &rows, |row| Ok(row.try_get::<Uuid>("", "id")?)).unwrap();
        let ids: Vec<u128> = page.nodes().map(|id| id.as_u128()).collect();
        assert_eq!(ids, [3, 4, 5]);
    }
}
