//! The closed word lists of the product, each declared once: its words, their order and labels.
//!
//! A term is stored and compared by its *code* (its place in the list), which for the ordered
//! lists is its rank; it is read and written by its word, ignoring ASCII case.

/// What every closed word list can do.
pub trait Term: Copy + Sized + 'static {
    /// Every word of the list, in order of its code.
    const ALL: &'static [Self];
    /// The words as they are written, in the same order.
    const WORDS: &'static [&'static str];

    /// The place in the list; for an ordered list, the rank.
    fn code(self) -> u8;

    fn word(self) -> &'static str {
        Self::WORDS[usize::from(self.code())]
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().position(|w| w.eq_ignore_ascii_case(word)).map(|at| Self::ALL[at])
    }
}

macro_rules! terms {
    ($($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($variant),+ }

        impl $crate::vocabulary::terms::Term for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            const WORDS: &'static [&'static str] = &[$($word),+];
            fn code(self) -> u8 { self as u8 }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str($crate::vocabulary::terms::Term::word(*self)) }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::vocabulary::terms::Term::word(*self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                <Self as $crate::vocabulary::terms::Term>::parse(&word).ok_or_else(|| {
                    serde::de::Error::unknown_variant(&word, <Self as $crate::vocabulary::terms::Term>::WORDS)
                })
            }
        }
    )+};
}
pub(crate) use terms;

terms! {
    /// How bad a finding is, lowest first.
    Severity {
        Info = "info", Low = "low", Medium = "medium", High = "high", Critical = "critical", Urgent = "urgent",
    }

    /// How much an asset matters, lowest first.
    Criticality { Low = "low", Medium = "medium", High = "high", Critical = "critical" }

    /// Where a finding stands. The first two are *active*.
    Status {
        Open = "OPEN", InProgress = "IN_PROGRESS", Fixed = "FIXED",
        AcceptedRisk = "ACCEPTED_RISK", FalsePositive = "FALSE_POSITIVE", Closed = "CLOSED",
    }

    /// What a finding is, after the split of OCSF.
    FindingClass { Vulnerability = "VULNERABILITY", Detection = "DETECTION", Compliance = "COMPLIANCE" }

    /// Why a finding is not what the scanner takes it for, in the words of VEX.
    Justification {
        ComponentNotPresent = "component_not_present",
        VulnerableCodeNotPresent = "vulnerable_code_not_present",
        VulnerableCodeNotInExecutePath = "vulnerable_code_not_in_execute_path",
        VulnerableCodeCannotBeControlledByAdversary = "vulnerable_code_cannot_be_controlled_by_adversary",
        InlineMitigationsAlreadyExist = "inline_mitigations_already_exist",
    }

    /// What an asset is used for.
    Environment {
        Production = "PRODUCTION", Staging = "STAGING", Test = "TEST", Development = "DEVELOPMENT",
    }
}

impl Status {
    /// Open or in progress: what rules look at and people still have to act on.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Open | Self::InProgress)
    }
}
