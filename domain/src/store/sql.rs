//! A statement put together from pieces, with the placeholders of the database at hand.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, Value, Values};
use uuid::Uuid;

use crate::vocabulary::criteria::sql::{Bind, Dialect};

pub(crate) fn backend(dialect: Dialect) -> DbBackend {
    match dialect {
        Dialect::Sqlite => DbBackend::Sqlite,
        Dialect::Postgres => DbBackend::Postgres,
    }
}

/// Text and values that grow together, so that no value is ever written into the text.
pub(crate) struct Sql {
    dialect: Dialect,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub fn new(dialect: Dialect, text: &str) -> Self {
        Self { dialect, text: text.to_owned(), values: Vec::new() }
    }

    /// Adds text that is the same on both databases.
    pub fn push(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds the placeholder of `value`.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        match self.dialect {
            Dialect::Sqlite => self.text.push('?'),
            Dialect::Postgres => {
                self.text.push('$');
                self.text.push_str(&self.values.len().to_string());
            }
        }
        self
    }

    /// Adds `column` being one of `ids`. Nothing is one of no ids.
    pub fn one_of(self, column: &str, ids: impl IntoIterator<Item = Uuid>) -> Self {
        let ids: Vec<Value> = ids.into_iter().map(Value::from).collect();
        match self.dialect {
            Dialect::Postgres => self
                .push(column)
                .push(" = ANY(")
                .bind(Value::Array(sea_orm::sea_query::ArrayType::Uuid, Some(Box::new(ids))))
                .push(")"),
            Dialect::Sqlite => {
                let mut sql = self.push(column).push(" IN (");
                for (at, id) in ids.into_iter().enumerate() {
                    sql = if at == 0 { sql } else { sql.push(", ") }.bind(id);
                }
                sql.push(")")
            }
        }
    }

    /// Adds `column` being one of `words`.
    pub fn one_of_texts<'a>(self, column: &str, words: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Vec<Value> = words.into_iter().map(Value::from).collect();
        match self.dialect {
            Dialect::Postgres => self
                .push(column)
                .push(" = ANY(")
                .bind(Value::Array(sea_orm::sea_query::ArrayType::String, Some(Box::new(words))))
                .push(")"),
            Dialect::Sqlite => {
                let mut sql = self.push(column).push(" IN (");
                for (at, word) in words.into_iter().enumerate() {
                    sql = if at == 0 { sql } else { sql.push(", ") }.bind(word);
                }
                sql.push(")")
            }
        }
    }

    /// Adds `column` having `part` in it, ignoring ASCII case.
    pub fn contains(self, column: &str, part: &str) -> Self {
        let find = match self.dialect {
            Dialect::Sqlite => "instr",
            Dialect::Postgres => "strpos",
        };
        self.push(&format!("{find}(lower({column}), ")).bind(part.to_ascii_lowercase()).push(") > 0")
    }

    /// Holds the rows found until the transaction ends. SQLite's writer is alone as it is.
    pub fn locked(self) -> Self {
        match self.dialect {
            Dialect::Sqlite => self,
            Dialect::Postgres => self.push(" FOR NO KEY UPDATE"),
        }
    }

    /// How many values are bound so far: the offset of the next placeholder.
    pub fn bound(&self) -> usize {
        self.values.len()
    }

    /// Adds a fragment whose placeholders were written for an offset of [`Sql::bound`].
    pub fn fragment(mut self, text: &str, binds: &[Bind]) -> Self {
        self.text.push_str(text);
        self.values.extend(binds.iter().map(value));
        self
    }

    pub fn statement(self) -> Statement {
        Statement::from_sql_and_values(backend(self.dialect), self.text, Values(self.values))
    }

    pub async fn all(self, conn: &impl ConnectionTrait) -> Result<Vec<QueryResult>, DbErr> {
        conn.query_all_raw(self.statement()).await
    }

    pub async fn one(self, conn: &impl ConnectionTrait) -> Result<Option<QueryResult>, DbErr> {
        conn.query_one_raw(self.statement()).await
    }

    pub async fn run(self, conn: &impl ConnectionTrait) -> Result<ExecResult, DbErr> {
        conn.execute_raw(self.statement()).await
    }
}

fn value(bind: &Bind) -> Value {
    match bind {
        Bind::Text(text) => text.as_str().into(),
        Bind::I64(number) => (*number).into(),
        Bind::F64(number) => (*number).into(),
        Bind::Uuid(id) => (*id).into(),
    }
}
