//! A tree as a filter in SQL, with the same answer as in memory.
//!
//! The text speaks of the aliases `f` (finding) and `a` (asset) and is never NULL. On a present
//! value each leaf is a plain comparison that an index can serve; whether the value is there is
//! asked beside it, so no leaf needs a COALESCE around it.
//!
//! It relies on what is written: doubles are finite, text has no U+0000, codes are of the list, ids
//! in lists are hyphenated text, and text columns on PostgreSQL have COLLATE "C", without which
//! lower() folds more than ASCII.
//!
//! The databases' regular expressions differ from ours: such a leaf is widened to "is not empty",
//! the filter is a superset, and [`SqlFilter::exact`] says that each row must be asked again.

use uuid::Uuid;

use super::compile::{Compiled, Leaf, Step, Test, bit};
use super::tree::Logic;
use crate::vocabulary::field::{Catalogue, Field, Table};
use crate::vocabulary::kind::{Family, Kind};
use crate::vocabulary::operator::Comparison;
use crate::vocabulary::time::Timestamp;

/// The databases that SQL is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// A parameter of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Bind {
    Text(String),
    I64(i64),
    F64(f64),
    /// On SQLite the column holds its 16 bytes.
    Uuid(Uuid),
}

/// A boolean expression in SQL.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlFilter {
    /// In brackets where it needs them; never NULL.
    pub text: String,
    /// In the order of their places in the text: `?` on SQLite, `$n` on PostgreSQL.
    pub binds: Vec<Bind>,
    /// False where rows that do not match may pass, and have to be asked again in memory.
    pub exact: bool,
    /// Whether the statement has to join the asset as `a`.
    pub needs_asset: bool,
}

impl Compiled {
    /// The tree in SQL. `first_bind` is the number of the first place on PostgreSQL, from 1.
    pub fn sql(&self, dialect: Dialect, now: Timestamp, first_bind: usize) -> SqlFilter {
        let mut writer = Writer {
            catalogue: self.criteria().catalogue(),
            dialect,
            now,
            first_bind,
            filter: SqlFilter { text: String::new(), binds: Vec::new(), exact: true, needs_asset: false },
        };
        let text = writer.step(&self.root);
        SqlFilter { text, ..writer.filter }
    }
}

struct Writer {
    catalogue: &'static Catalogue,
    dialect: Dialect,
    now: Timestamp,
    first_bind: usize,
    filter: SqlFilter,
}

impl Writer {
    fn step(&mut self, step: &Step) -> String {
        match step {
            Step::Leaf(leaf) => self.leaf(leaf),
            Step::Group(_, steps) if steps.is_empty() => "FALSE".to_owned(),
            Step::Group(logic, steps) => {
                let parts: Vec<String> = steps.iter().map(|step| self.step(step)).collect();
                let joint = match logic {
                    Logic::And => " AND ",
                    Logic::Or => " OR ",
                };
                if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(joint)) }
            }
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> String {
        let field = &self.catalogue.fields[leaf.field];
        self.filter.needs_asset |= field.column.table == Table::Asset;
        let column = field.column.sql();
        let passes = self.passes(field, &column, &leaf.test);
        // A test of a list is never NULL, and false on a missing one.
        let nullable = !field.always_present && field.kind.family() != Family::List;
        match (nullable, leaf.negated) {
            (true, false) => format!("({column} IS NOT NULL AND {passes})"),
            (true, true) => format!("({column} IS NULL OR NOT {passes})"),
            (false, false) => passes,
            (false, true) => format!("(NOT {passes})"),
        }
    }

    /// Whether a value that is not NULL passes, in brackets where NOT before it needs them.
    fn passes(&mut self, field: &Field, column: &str, test: &Test) -> String {
        match test {
            Test::Present => self.present(field.kind, column),
            Test::Pattern(_) => {
                self.filter.exact = false;
                self.present(field.kind, column)
            }
            Test::Text(set) => {
                let places = set.iter().map(|text| self.text(text)).collect();
                one_of(&format!("lower({column})"), places)
            }
            Test::Contains(needle) => {
                let place = self.text(needle.as_str());
                let find = match self.dialect {
                    Dialect::Sqlite => "instr",
                    Dialect::Postgres => "strpos",
                };
                format!("({find}(lower({column}), {place}) > 0)")
            }
            Test::StartsWith(head) => {
                let place = self.text(head);
                format!("(substr(lower({column}), 1, {}) = {place})", head.chars().count())
            }
            Test::Numbers(set) => {
                let places = set.iter().map(|number| self.number(*number)).collect();
                one_of(column, places)
            }
            Test::Number(comparison, operand) => {
                let place = self.number(*operand);
                format!("({column} {} {place})", sign(*comparison))
            }
            Test::Bool(operand) => format!("({column} = {})", if *operand { "TRUE" } else { "FALSE" }),
            Test::Time(comparison, operand) => {
                let place = self.time(*operand);
                format!("({column} {} {place})", sign(*comparison))
            }
            Test::OlderThan(span) => {
                let place = self.time(self.now.minus(*span));
                format!("({column} < {place})")
            }
            Test::WithinLast(span) => {
                let (from, to) = (self.time(self.now.minus(*span)), self.time(self.now));
                format!("({column} >= {from} AND {column} <= {to})")
            }
            Test::Codes(set) => {
                let codes =
                    field.kind.choices().map(|choice| choice.rank).filter(|code| set & bit(*code) != 0);
                one_of(column, codes.map(|code| code.to_string()).collect())
            }
            Test::Ids(set) => {
                let places = set.iter().map(|id| self.place(Bind::Uuid(*id), "uuid")).collect();
                one_of(column, places)
            }
            Test::Any(set) => {
                let places = set.iter().map(|text| self.text(text)).collect();
                let (elements, element) = self.elements(column);
                format!("EXISTS (SELECT 1 FROM {elements} WHERE {})", one_of(element, places))
            }
            Test::All(set) => {
                let wanted = set.iter().len();
                let places = set.iter().map(|text| self.text(text)).collect();
                let (elements, element) = self.elements(column);
                format!(
                    "((SELECT COUNT(DISTINCT {element}) FROM {elements} WHERE {}) = {wanted})",
                    one_of(element, places)
                )
            }
        }
    }

    fn present(&self, kind: Kind, column: &str) -> String {
        match (kind.family(), self.dialect) {
            (Family::Text, _) => format!("({column} <> '')"),
            (Family::List, Dialect::Sqlite) => {
                format!("(COALESCE(json_array_length(NULLIF({column}, '')), 0) > 0)")
            }
            (Family::List, Dialect::Postgres) => {
                format!("(COALESCE(jsonb_array_length(NULLIF({column}, 'null'::jsonb)), 0) > 0)")
            }
            _ => "TRUE".to_owned(),
        }
    }

    /// The elements of a list as a table, and one of them folded. What a function returns has the
    /// database's own collation on PostgreSQL, whose lower() folds more than ASCII.
    fn elements(&self, column: &str) -> (String, &'static str) {
        match self.dialect {
            Dialect::Sqlite => (format!("json_each(NULLIF({column}, '')) AS e"), "lower(e.value)"),
            Dialect::Postgres => (
                format!("jsonb_array_elements_text(NULLIF({column}, 'null'::jsonb)) AS e(value)"),
                r#"lower(e.value COLLATE "C")"#,
            ),
        }
    }

    fn text(&mut self, text: &str) -> String {
        self.place(Bind::Text(text.to_owned()), "text")
    }

    fn number(&mut self, number: f64) -> String {
        self.place(Bind::F64(number), "double precision")
    }

    fn time(&mut self, at: Timestamp) -> String {
        self.place(Bind::I64(at.0), "bigint")
    }

    /// A place for a parameter. Its type is said on PostgreSQL, which otherwise guesses.
    fn place(&mut self, bind: Bind, cast: &str) -> String {
        let number = self.first_bind + self.filter.binds.len();
        self.filter.binds.push(bind);
        match self.dialect {
            Dialect::Sqlite => "?".to_owned(),
            Dialect::Postgres => format!("${number}::{cast}"),
        }
    }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Below => "<",
        Comparison::AtMost => "<=",
        Comparison::Equal => "=",
        Comparison::AtLeast => ">=",
        Comparison::Above => ">",
    }
}

fn one_of(value: &str, places: Vec<String>) -> String {
    match places.as_slice() {
        [] => "FALSE".to_owned(),
        [only] => format!("({value} = {only})"),
        many => format!("({value} IN ({}))", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::vocabulary::criteria::Criteria;
    use crate::vocabulary::field::finding::FINDING;

    fn sql(dialect: Dialect, field: &str, operator: &str, value: Json) -> String {
        let leaf = json!({ "field": field, "operator": operator, "value": value });
        let criteria = Criteria::parse(&FINDING, &leaf).unwrap_or_else(|faults| panic!("{faults}"));
        Compiled::new(&criteria).sql(dialect, Timestamp(0), 1).text
    }

    #[test]
    fn a_leaf_is_never_null_and_open_to_an_index() {
        let lite = |field, operator, value| sql(Dialect::Sqlite, field, operator, value);
        assert_eq!(lite("severity", "gte_ord", json!("critical")), "(f.severity IN (4, 5))");
        assert_eq!(lite("severity", "lt", json!("info")), "FALSE");
        assert_eq!(lite("cvss_score", "gt", json!(7)), "(f.cvss_score IS NOT NULL AND (f.cvss_score > ?))");
        assert_eq!(lite("cvss_score", "neq", json!(7)), "(f.cvss_score IS NULL OR NOT (f.cvss_score = ?))");
        assert_eq!(lite("first_seen_at", "older_than", json!("7d")), "(f.first_seen_at < ?)");
        assert_eq!(lite("cvss_score", "is_empty", Json::Null), "(f.cvss_score IS NULL OR NOT TRUE)");
        assert_eq!(
            lite("internet_exposed", "eq", json!(true)),
            "(a.internet_exposed IS NOT NULL AND (a.internet_exposed = TRUE))"
        );
    }

    #[test]
    fn each_dialect_has_its_own_words_for_lists_and_places() {
        assert_eq!(
            sql(Dialect::Sqlite, "tags", "neq", json!("PCI")),
            "(NOT EXISTS (SELECT 1 FROM json_each(NULLIF(f.tags, '')) AS e WHERE (lower(e.value) = ?)))"
        );
        assert_eq!(
            sql(Dialect::Postgres, "tags", "in", json!(["PCI", "dss"])),
            "EXISTS (SELECT 1 FROM jsonb_array_elements_text(NULLIF(f.tags, 'null'::jsonb)) AS e(value) \
             WHERE (lower(e.value COLLATE \"C\") IN ($1::text, $2::text)))"
        );
        assert_eq!(
            sql(Dialect::Postgres, "title", "starts_with", json!("Äb")),
            "(substr(lower(f.title), 1, 2) = $1::text)"
        );
    }
}
