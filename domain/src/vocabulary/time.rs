//! Points in time and spans of it, as the product keeps and writes them.
//!
//! A [`Timestamp`] is a whole number of microseconds since 1970-01-01T00:00:00Z. Both databases
//! store it as an integer: PostgreSQL's own type rounds and SQLite's keeps offsets as text, which
//! sorts wrongly. A [`Span`] is written `30s`, `5m`, `2h`, `7d` or `4w`.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads RFC 3339 (`2026-11-21T08:00:00Z`) or a bare date (`2026-11-21`, midnight UTC); finer
    /// than a microsecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Self::of(at.to_utc());
        }
        let midnight = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
        Self::of(midnight.and_utc())
    }

    /// That instant, where it can be written: RFC 3339 has the years 0 to 9999.
    pub fn of(at: DateTime<Utc>) -> Option<Self> {
        (0..=9999).contains(&at.year()).then(|| Self(at.timestamp_micros()))
    }

    /// The same instant as chrono knows it; `None` outside chrono's range.
    pub fn to_chrono(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }

    /// This instant moved back by `span`, held at the ends of the range.
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// This instant moved forward by `span`, held at the ends of the range.
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_chrono() {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

/// A length of time in microseconds, never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Span {
    pub const SECOND: Span = Span(1_000_000);
    pub const MINUTE: Span = Span(60 * Self::SECOND.0);
    pub const HOUR: Span = Span(60 * Self::MINUTE.0);
    pub const DAY: Span = Span(24 * Self::HOUR.0);
    pub const WEEK: Span = Span(7 * Self::DAY.0);

    const UNITS: [(char, Span); 5] =
        [('s', Self::SECOND), ('m', Self::MINUTE), ('h', Self::HOUR), ('d', Self::DAY), ('w', Self::WEEK)];

    /// `count` times this span; `None` where that leaves the range.
    pub fn times(self, count: i64) -> Option<Self> {
        self.0.checked_mul(count).filter(|micros| *micros >= 0).map(Self)
    }

    /// Reads a whole number with one unit of `s m h d w`: `30s`, `7d`.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = text.chars().last()?;
        let (_, size) = Self::UNITS.iter().find(|(name, _)| *name == unit)?;
        let count = text.strip_suffix(unit)?;
        if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        size.times(count.parse().ok()?)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) =
            Self::UNITS.iter().rev().find(|(_, size)| self.0 % size.0 == 0).unwrap_or(&Self::UNITS[0]);
        write!(f, "{}{unit}", self.0 / size.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_no_calendar_has_is_told_by_its_number() {
        assert_eq!(Timestamp(i64::MAX).to_string(), format!("{}us", i64::MAX));
    }

    proptest! {
        #[test]
        fn any_instant_is_read_as_it_was_written(at in -62_167_219_200_000_000..253_402_300_800_000_000_i64) {
            let at = Timestamp(at);
            prop_assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        }
    }
}
