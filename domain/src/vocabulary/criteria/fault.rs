//! What is wrong with a tree, and where.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::error::{Code, Error};

/// One fault of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The place of the fault, as a JSON Pointer into the tree as it was given: `/conditions/0/value`.
    pub pointer: String,
    /// `CRITERIA_INVALID`, `CRITERIA_EMPTY`, `CRITERIA_TAUTOLOGY` or `CRITERIA_TOO_LARGE`.
    pub code: Code,
    pub message: String,
}

impl Fault {
    fn to_json(&self) -> Json {
        json!({ "pointer": self.pointer, "code": self.code.word(), "message": self.message })
    }

    fn parts(&self) -> Vec<String> {
        self.pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            pointer => write!(f, "{pointer}: {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

/// The place of the fault is the field of the error.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let escaped = |part: &String| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
        Self { pointer: error.field.iter().map(escaped).collect(), code: error.code, message: error.message }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Faults(vec![fault]).into()
    }
}

/// The faults of a tree in the order in which they were met; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// There is at least one.
    pub(crate) fn of(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    pub fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The first fault gives the code, the message and the path; `details.faults` holds them all.
impl From<Faults> for Error {
    fn from(faults: Faults) -> Self {
        let all: Vec<Json> = faults.iter().map(Fault::to_json).collect();
        let mut error = match faults.0.first() {
            Some(first) => {
                let mut error = Self::new(first.code, first.message.clone());
                error.field = first.parts();
                error
            }
            None => Self::new(Code::CriteriaInvalid, Code::CriteriaInvalid.meaning()),
        };
        error.details.insert("faults".to_owned(), Json::Array(all));
        error
    }
}
