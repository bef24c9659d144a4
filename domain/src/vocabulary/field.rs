//! Fields: what criteria, filters, builders and documents may name, each declared once.

use super::kind::{Kind, Storage};

pub mod finding;

/// One field of a catalogue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// The name that criteria are written with; of an event field, a dot path.
    pub key: &'static str,
    pub label: &'static str,
    /// The heading that a builder shows it under.
    pub group: &'static str,
    pub kind: Kind,
    /// Never missing: the column has no nulls, and no text in it is empty.
    pub always_present: bool,
    pub column: Column,
    pub description: &'static str,
}

impl Field {
    pub fn storage(&self) -> Storage {
        self.kind.storage()
    }

    /// What a sentence calls it: `asset criticality`.
    pub fn phrase(&self) -> String {
        self.key.replace(['_', '.'], " ")
    }
}

/// Where SQL finds a field. How it is stored there follows from the field's [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub table: Table,
    pub name: &'static str,
}

/// When a finding `f` was seen last: with its series, or later by itself.
pub(crate) const LAST_SEEN: &str = "COALESCE((SELECT r.seen_at FROM series AS r WHERE r.id = f.series_id \
                                    AND f.present AND r.seen_at > f.last_seen_at), f.last_seen_at)";

impl Column {
    /// The field's value in SQL.
    pub fn sql(self) -> String {
        match (self.table, self.name) {
            (Table::Finding, "last_seen_at") => LAST_SEEN.to_owned(),
            (table, name) => format!("{}.{name}", table.alias()),
        }
    }
}

/// The tables that a finding is read from, by the aliases that every query gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Finding,
    Asset,
}

impl Table {
    pub fn alias(self) -> &'static str {
        match self {
            Self::Finding => "f",
            Self::Asset => "a",
        }
    }
}

/// The fields of one noun. A field's place in it is its index, everywhere.
#[derive(Debug)]
pub struct Catalogue {
    pub name: &'static str,
    pub fields: &'static [Field],
}

impl Catalogue {
    /// The index of the field with this key.
    pub fn position(&self, key: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.key == key)
    }

    pub fn get(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

/// Catalogues are told apart by name: there is one of each.
impl PartialEq for Catalogue {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Catalogue {}

/// Declares a catalogue and the enum of its fields, whose values are their indexes.
macro_rules! fields {
    (
        $(#[$meta:meta])* $name:ident in $catalogue:ident = $noun:literal;
        $($group:literal {
            $($variant:ident = $key:literal, $label:literal, $kind:expr, $presence:ident, $table:ident.$column:literal, $description:literal;)+
        })+
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum $name { $($(#[doc = $description] $variant,)+)+ }

        impl $name {
            /// Every field, in order of its index.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)+)+];

            pub const fn index(self) -> usize {
                self as usize
            }

            pub fn from_index(index: usize) -> Option<Self> {
                Self::ALL.get(index).copied()
            }

            pub fn from_key(key: &str) -> Option<Self> {
                $catalogue.position(key).and_then(Self::from_index)
            }

            pub fn field(self) -> &'static Field {
                &$catalogue.fields[self.index()]
            }

            pub fn key(self) -> &'static str {
                self.field().key
            }
        }

        $(#[$meta])*
        pub static $catalogue: Catalogue = Catalogue {
            name: $noun,
            fields: &[$($(Field {
                key: $key,
                label: $label,
                group: $group,
                kind: $kind,
                always_present: fields!(@ $presence),
                column: Column { table: Table::$table, name: $column },
                description: $description,
            },)+)+],
        };
    };
    (@ present) => { true };
    (@ optional) => { false };
}
pub(crate) use fields;
