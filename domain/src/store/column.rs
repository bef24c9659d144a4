//! Between the values of the domain and those of columns.

use sea_orm::{ConnectionTrait, QueryResult, TryGetable, Value};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::sql::Sql;
use crate::access::Portfolio;
use crate::error::{Error, Result};
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

/// A list as its JSON text.
pub(crate) fn write_list(words: &[String]) -> Value {
    Json::from(words).to_string().into()
}

pub(crate) fn read_list(list: Json) -> Result<Vec<String>> {
    serde_json::from_value(list).map_err(Error::internal)
}

pub(crate) fn write_term(term: impl Term) -> i32 {
    i32::from(term.code())
}

pub(crate) fn read_term<T: Term>(code: i32) -> Result<T> {
    u8::try_from(code)
        .ok()
        .and_then(T::from_code)
        .ok_or_else(|| Error::internal(format!("{code} is no code of its list")))
}

pub(crate) fn write_portfolio(portfolio: &Portfolio) -> Value {
    serde_json::to_string(portfolio).expect("a portfolio encodes").into()
}

pub(crate) fn read_portfolio(text: &str) -> Result<Portfolio> {
    serde_json::from_str(text).map_err(Error::internal)
}

/// Takes the columns of a row one after the other: looking each up by its name costs more than reading
/// it.
pub(crate) struct Reader<'a> {
    row: &'a QueryResult,
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(row: &'a QueryResult) -> Self {
        Self { row, at: 0 }
    }

    pub fn next<T: TryGetable>(&mut self) -> Result<T> {
        let value = self.row.try_get_by_index(self.at)?;
        self.at += 1;
        Ok(value)
    }

    pub fn term<T: Term>(&mut self) -> Result<T> {
        read_term(self.next()?)
    }

    pub fn time(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.next::<Option<i64>>()?.map(Timestamp))
    }

    /// A list that is stored as the text of its JSON.
    pub fn list(&mut self) -> Result<Vec<String>> {
        let text: String = self.next()?;
        if text == "[]" {
            return Ok(Vec::new());
        }
        serde_json::from_str(&text).map_err(Error::internal)
    }

    /// What is stored as the text of its JSON.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        serde_json::from_str(&self.next::<String>()?).map_err(Error::internal)
    }
}

impl Sql {
    /// Adds `column` having one of the `terms`. Nothing is one of none.
    pub fn one_of_terms<T: Term>(self, column: &str, terms: &[T]) -> Self {
        let codes: Vec<String> = terms.iter().map(|term| term.code().to_string()).collect();
        if codes.is_empty() {
            return self.push("1 = 0");
        }
        self.push(&format!("{column} IN ({})", codes.join(", ")))
    }

    /// Runs a statement that selects one number, called `n`.
    pub async fn count(self, conn: &impl ConnectionTrait) -> Result<i64> {
        let row = self.one(conn).await?.ok_or_else(|| Error::internal("a count has no row"))?;
        Ok(row.try_get("", "n")?)
    }
}
