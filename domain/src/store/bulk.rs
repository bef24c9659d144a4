//! Many rows in few statements: VALUES lists of a few fixed sizes, so that prepared statements are
//! found again. Measured beside UNNEST over one array a column on PostgreSQL, they are the faster.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

use sea_orm::{ConnectionTrait, DbErr, Statement, Value, Values};

use super::sql::backend;
use crate::vocabulary::criteria::sql::Dialect;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Uuid,
    Text,
    /// A JSON array, bound as its text.
    List,
    Int,
    BigInt,
    Double,
    Bool,
    Bytes,
}

pub(crate) type Column = (&'static str, Type);

/// The sizes of a statement's list, in rows. What is left over is one list of its own size.
const SIZES: [usize; 5] = [usize::MAX, 1_000, 500, STEP, 100];

/// The largest size is so many rows, or a multiple of it, so that round numbers of rows have no rest.
const STEP: usize = 250;

/// The most rows that a statement takes. SQLite binds no more values than this. PostgreSQL binds four
/// times as many, but plans a statement anew for the first five times on each connection, which takes
/// as long as it has values: a large one spends more on that than on its rows.
fn most_rows(dialect: Dialect, width: usize) -> usize {
    let binds = match dialect {
        Dialect::Sqlite => 32_766,
        Dialect::Postgres => 16_384,
    };
    let most = binds / width;
    if most < STEP { most } else { most / STEP * STEP }
}

/// The texts of the fixed sizes, by their dialect, size, and the text around the list: they are long.
static TEXTS: LazyLock<Mutex<Texts>> = LazyLock::new(Mutex::default);
type Texts = HashMap<(Dialect, usize, String), String>;

/// Rows to be written, column by column in the order of `columns`.
pub(crate) struct Rows {
    columns: &'static [Column],
    values: Vec<Value>,
}

impl Rows {
    pub fn new(columns: &'static [Column], rows: usize) -> Self {
        Self { columns, values: Vec::with_capacity(columns.len() * rows) }
    }

    pub fn len(&self) -> usize {
        self.values.len() / self.columns.len()
    }

    pub fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.values.extend(row);
    }

    /// Inserts the rows, and says how many. `then` comes behind, such as `ON CONFLICT DO NOTHING`.
    pub async fn insert(
        self,
        conn: &impl ConnectionTrait,
        dialect: Dialect,
        table: &str,
        then: &str,
    ) -> Result<usize, DbErr> {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let head = format!("INSERT INTO {table} ({})", names.join(", "));
        let mut inserted = 0;
        for statement in self.statements(dialect, |source| format!("{head} {source} {then}")) {
            inserted += conn.execute_raw(statement).await?.rows_affected();
        }
        Ok(usize::try_from(inserted).unwrap_or(usize::MAX))
    }

    /// Updates the rows that share the first column (and the others that `then` compares), and says
    /// how many. The new row is called `new`.
    pub async fn update(
        self,
        conn: &impl ConnectionTrait,
        dialect: Dialect,
        table: &str,
        set: &[&str],
        then: &str,
    ) -> Result<usize, DbErr> {
        let set: Vec<String> = set.iter().map(|name| format!("{name} = new.{name}")).collect();
        let set = set.join(", ");
        let key = self.columns[0].0;
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        let text = |source: &str| match dialect {
            Dialect::Postgres => format!(
                "UPDATE {table} SET {set} FROM ({source}) AS new ({names}) WHERE {table}.{key} = new.{key} {then}"
            ),
            Dialect::Sqlite => format!(
                "WITH new ({names}) AS ({source}) UPDATE {table} SET {set} FROM new WHERE {table}.{key} = new.{key} {then}"
            ),
        };
        let mut updated = 0;
        for statement in self.statements(dialect, text) {
            updated += conn.execute_raw(statement).await?.rows_affected();
        }
        Ok(usize::try_from(updated).unwrap_or(usize::MAX))
    }

    /// The statements that `text` makes of the rows as a source: few, whatever the number of rows.
    fn statements(self, dialect: Dialect, text: impl Fn(&str) -> String) -> Vec<Statement> {
        let width = self.columns.len();
        let mut statements = Vec::new();
        let mut left = self.values.len() / width;
        let mut values = self.values.into_iter();
        while left > 0 {
            let most = most_rows(dialect, width);
            let fixed = SIZES.iter().map(|size| (*size).min(most)).find(|size| *size <= left);
            let size = fixed.unwrap_or(left);
            let make = || text(&value_list(self.columns, size, dialect));
            let sql = match fixed {
                Some(_) => {
                    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
                    texts.entry((dialect, size, text(""))).or_insert_with(make).clone()
                }
                None => make(),
            };
            let binds = Values(values.by_ref().take(size * width).collect());
            statements.push(Statement::from_sql_and_values(backend(dialect), sql, binds));
            left -= size;
        }
        statements
    }
}

/// `VALUES (…), (…)` of so many rows.
fn value_list(columns: &[Column], rows: usize, dialect: Dialect) -> String {
    let mut list = String::from("VALUES ");
    let mut place = 0;
    for row in 0..rows {
        list.push_str(if row == 0 { "(" } else { ", (" });
        for (at, (_, kind)) in columns.iter().enumerate() {
            place += 1;
            list.push_str(if at == 0 { "" } else { ", " });
            match (dialect, kind) {
                (Dialect::Sqlite, _) => list.push('?'),
                (Dialect::Postgres, Type::List) => push(&mut list, format_args!("${place}::jsonb")),
                (Dialect::Postgres, _) => push(&mut list, format_args!("${place}")),
            }
        }
        list.push(')');
    }
    list
}

fn push(list: &mut String, text: std::fmt::Arguments<'_>) {
    list.write_fmt(text).expect("a string takes any text");
}
