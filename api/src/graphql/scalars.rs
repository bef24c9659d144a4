//! Scalars beyond the built-in ones.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use domain::vocabulary::time::{Span, Timestamp};

/// An instant as RFC 3339 text in UTC, to the microsecond: `2026-11-21T08:00:00.000000Z`. Other
/// offsets are read, and anything finer is cut off.
pub struct DateTime(pub Timestamp);

/// An instant as RFC 3339 text in UTC, to the microsecond: `2026-11-21T08:00:00.000000Z`. Other
/// offsets are read, and anything finer is cut off.
#[Scalar(name = "DateTime", specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Timestamp::parse(text)
                .map(Self)
                .ok_or_else(|| InputValueError::custom("This is not an RFC 3339 time.")),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<Timestamp> for DateTime {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// A length of time as an ISO 8601 duration in weeks, days, hours, minutes and seconds: `P90D`,
/// `PT30S`. The forms of the predicate language, `90d` and `30s`, are read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub Span);

/// A length of time as an ISO 8601 duration in weeks, days, hours, minutes and seconds: `P90D`,
/// `PT30S`. The forms of the predicate language, `90d` and `30s`, are read too.
#[Scalar(name = "Duration", specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339#appendix-A")]
impl ScalarType for Duration {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Span::parse(text)
                .or_else(|| read_iso(text))
                .map(Self)
                .ok_or_else(|| InputValueError::custom("This is not a duration such as P7D or PT30S.")),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(write_iso(self.0))
    }
}

const DATE_UNITS: [(char, Span); 2] = [('W', Span::WEEK), ('D', Span::DAY)];
const TIME_UNITS: [(char, Span); 3] = [('H', Span::HOUR), ('M', Span::MINUTE), ('S', Span::SECOND)];

fn read_iso(text: &str) -> Option<Span> {
    let text = text.strip_prefix('P')?;
    let (date, time) = match text.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None if !text.is_empty() => (text, ""),
        None => return None,
    };
    let total = read_parts(date, &DATE_UNITS)?.checked_add(read_parts(time, &TIME_UNITS)?)?;
    Some(Span(total))
}

/// The microseconds of `1H30M`: each unit at most once, in their order.
fn read_parts(mut text: &str, mut units: &[(char, Span)]) -> Option<i64> {
    let mut total: i64 = 0;
    while !text.is_empty() {
        let digits = text.find(|char: char| !char.is_ascii_digit())?;
        let count: i64 = text[..digits].parse().ok()?;
        let unit = text[digits..].chars().next()?;
        let at = units.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(units[at].1.times(count)?.0)?;
        units = &units[at + 1..];
        text = &text[digits + unit.len_utf8()..];
    }
    Some(total)
}

fn write_iso(span: Span) -> String {
    let mut rest = span.0 / Span::SECOND.0;
    let mut part = |units: &[(char, Span)]| {
        let mut text = String::new();
        for (name, size) in units {
            let size = size.0 / Span::SECOND.0;
            if rest >= size {
                text.push_str(&format!("{}{name}", rest / size));
                rest %= size;
            }
        }
        text
    };
    // Weeks stand alone in ISO 8601, so that days are written instead.
    let (date, time) = (part(&DATE_UNITS[1..]), part(&TIME_UNITS));
    match (date.is_empty(), time.is_empty()) {
        (true, true) => "PT0S".to_owned(),
        (_, true) => format!("P{date}"),
        _ => format!("P{date}T{time}"),
    }
}

/// Any JSON value.
#[derive(Clone, Debug)]
pub struct Json(pub serde_json::Value);

/// Any JSON value.
#[Scalar(name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(value.into_json()?))
    }

    fn to_value(&self) -> Value {
        // Numbers beyond what the library's values hold are the only ones it refuses; there are none.
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let written = [
            ("P90D", 90 * Span::DAY.0),
            ("PT30S", 30 * Span::SECOND.0),
            ("P1DT2H3M4S", Span::DAY.0 + 2 * Span::HOUR.0 + 3 * Span::MINUTE.0 + 4 * Span::SECOND.0),
            ("PT0S", 0),
        ];
        for (text, micros) in written {
            assert_eq!(read_iso(text), Some(Span(micros)), "{text}");
            assert_eq!(write_iso(Span(micros)), text);
        }
        assert_eq!(read_iso("P2W"), Some(Span(14 * Span::DAY.0)));
        for bad in [
            "",
            "P",
            "PT",
            "P1DT",
            "1D",
            "P1H",
            "PT1D",
            "P-1D",
            "PT1M1H",
            "PT1S1S",
            "P1.5D",
            "P9223372036854775807D",
        ] {
            assert_eq!(read_iso(bad), None, "{bad}");
        }
    }
}
