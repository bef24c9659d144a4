//! Global ids: opaque, and each knows its noun.

use async_graphql::ID;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::error::{Error, Result};
use uuid::Uuid;

macro_rules! nouns {
    ($($variant:ident = $name:literal, $spoken:literal;)+) => {
        /// The nouns that have ids.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Noun { $($variant),+ }

        impl Noun {
            pub const ALL: &'static [Noun] = &[$(Noun::$variant),+];

            /// The name of its type in the schema.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What it is called in a sentence.
            fn spoken(self) -> &'static str {
                match self { $(Self::$variant => $spoken),+ }
            }

            fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

nouns! {
    Company = "Company", "company";
    User = "User", "user";
    Membership = "Membership", "membership";
    Team = "Team", "team";
    ServiceAccount = "ServiceAccount", "service account";
    Token = "Token", "token";
    Session = "Session", "session";
    Invitation = "Invitation", "invitation";
    Project = "Project", "project";
    Asset = "Asset", "asset";
    View = "View", "view";
    SavedMapping = "SavedMapping", "saved mapping";
    Scan = "Scan", "scan";
    Finding = "Finding", "finding";
    Comment = "Comment", "comment";
    Acceptance = "Acceptance", "acceptance";
    ChangeRequest = "ChangeRequest", "change request";
    Rule = "Rule", "rule";
    RuleApplication = "RuleApplication", "rule application";
    RuleExemption = "RuleExemption", "rule exemption";
    RuleVersion = "RuleVersion", "rule version";
    Approval = "Approval", "approval";
    Job = "Job", "job";
    AuditEntry = "AuditEntry", "audit entry";
}

impl Noun {
    /// The noun that the audit calls `kind`; `None` for what has no id of its own.
    pub fn of_record(kind: &str) -> Option<Self> {
        let nouns = Self::ALL.iter().copied().filter(|noun| *noun != Self::AuditEntry);
        nouns.into_iter().find(|noun| noun.spoken().replace(' ', "_") == kind)
    }

    /// The global id of a record.
    pub fn id(self, record: Uuid) -> ID {
        self.keyed(record.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }

    /// The global id of a record that is known by a number in its company.
    pub fn numbered(self, number: i64) -> ID {
        self.keyed(&number.to_string())
    }

    fn keyed(self, key: &str) -> ID {
        ID(URL_SAFE_NO_PAD.encode([self.name(), ":", key].concat()))
    }

    /// The record of an id of this noun. Any other text is the id of nothing.
    pub fn read(self, id: &ID) -> Result<Uuid> {
        match key(id) {
            Some((noun, Key::Record(record))) if noun == self => Ok(record),
            _ => Err(Error::not_found(self.spoken())),
        }
    }

    /// The same, with the name of the argument or input field that it came in.
    pub fn read_at(self, id: &ID, field: &str) -> Result<Uuid> {
        self.read(id).map_err(|error| error.at(field))
    }

    /// The records of a list of ids.
    pub fn read_all<B: FromIterator<Uuid>>(self, ids: &[ID], field: &str) -> Result<B> {
        ids.iter().map(|id| self.read_at(id, field)).collect()
    }
}

/// What an id names inside of its noun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Record(Uuid),
    Number(i64),
}

/// The noun and key of an id; `None` for a text that is none.
pub fn key(id: &ID) -> Option<(Noun, Key)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id.as_str()).ok()?).ok()?;
    let (name, key) = text.split_once(':')?;
    let noun = Noun::parse(name)?;
    let key = match noun {
        Noun::AuditEntry => Key::Number(key.parse().ok()?),
        _ => Key::Record(Uuid::try_parse(key).ok()?),
    };
    Some((noun, key))
}

#[cfg(test)]
mod tests {
    use domain::error::Code;

    use super::*;

    #[test]
    fn an_id_is_of_its_noun_alone() {
        let record = Uuid::from_u128(7);
        for noun in Noun::ALL.iter().copied().filter(|noun| *noun != Noun::AuditEntry) {
            let id = noun.id(record);
            assert_eq!(key(&id), Some((noun, Key::Record(record))));
            for other in Noun::ALL {
                assert_eq!(other.read(&id).is_ok(), *other == noun, "{noun:?} {other:?}");
            }
        }
        assert_eq!(key(&Noun::AuditEntry.numbered(12)), Some((Noun::AuditEntry, Key::Number(12))));
        for text in ["", "x", "QXNzZXQ", "QXNzZXQ6", "*", &record.to_string()] {
            assert_eq!(Noun::Asset.read(&ID(text.into())).unwrap_err().code, Code::NotFound, "{text}");
        }
    }
}
