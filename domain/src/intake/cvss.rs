//! CVSS: the score of a vector, the severity of a score, and which of several ratings is a finding's.

use std::str::FromStr;

use cvss::Cvss;

use crate::vocabulary::terms::Severity;

/// A score, a vector, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rating {
    pub score: Option<f64>,
    pub vector: Option<String>,
}

impl Rating {
    /// A rating under `method`, the report's word for the version (`CVSSv31`, `3.1`, `CVSS_V4`), which a vector
    /// of version 3 or 4 gets in front where it is missing there. `None` where there is neither score nor vector.
    pub fn new(method: &str, score: Option<f64>, vector: Option<&str>) -> Option<(u8, Self)> {
        let vector =
            vector.map(|text| text.trim().trim_start_matches("CVSS2#")).filter(|text| !text.is_empty());
        let vector = vector.map(|text| text.trim_start_matches('(').trim_end_matches(')'));
        let digits: String = method.chars().filter(char::is_ascii_digit).collect();
        let named = vector.and_then(|text| text.strip_prefix("CVSS:")).and_then(|text| text.chars().next());
        let version = named.or(digits.chars().next()).and_then(|digit| digit.to_digit(10)).unwrap_or(0);
        let vector = vector.map(|text| match digits.as_str() {
            _ if named.is_some() => text.to_owned(),
            "3" | "30" => format!("CVSS:3.0/{text}"),
            "31" => format!("CVSS:3.1/{text}"),
            "4" | "40" => format!("CVSS:4.0/{text}"),
            _ => text.to_owned(),
        });
        let score = score.or_else(|| self::score(vector.as_deref()?));
        let there = score.is_some() || vector.is_some();
        there.then(|| (u8::try_from(version).unwrap_or(0), Self { score, vector }))
    }
}

/// The rating of the newest version; of several the first.
pub fn best(ratings: impl IntoIterator<Item = Option<(u8, Rating)>>) -> Rating {
    let newest = ratings.into_iter().flatten().reduce(|best, next| if next.0 > best.0 { next } else { best });
    newest.map(|(_, rating)| rating).unwrap_or_default()
}

/// The base score of a vector of version 2, 3.0 or 3.1, and the score of one of version 4.0. `None` for anything else,
/// and where a part that the score needs is missing.
pub fn score(vector: &str) -> Option<f64> {
    let vector = vector.trim();
    let needed: &[&str] = match vector.get(..7) {
        Some("CVSS:3.") => &["AV:", "AC:", "PR:", "UI:", "S:", "C:", "I:", "A:"],
        Some("CVSS:4.") => &["AV:", "AC:", "AT:", "PR:", "UI:", "VC:", "VI:", "VA:", "SC:", "SI:", "SA:"],
        _ => &["AV:", "AC:", "Au:", "C:", "I:", "A:"],
    };
    if !needed.iter().all(|metric| vector.split('/').any(|part| part.starts_with(metric))) {
        return None;
    }
    let score = Cvss::from_str(vector).ok()?.score();
    // Sums of tenths are not exact in binary.
    Some((score * 10.0).round() / 10.0).filter(|score| (0.0..=10.0).contains(score))
}

/// The severity that the standard gives a score.
pub fn severity(score: f64) -> Severity {
    match score {
        score if score >= 9.0 => Severity::Critical,
        score if score >= 7.0 => Severity::High,
        score if score >= 4.0 => Severity::Medium,
        score if score > 0.0 => Severity::Low,
        _ => Severity::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_standard() {
        let cases = [
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", Some(7.8)),
            ("AV:N/AC:M/Au:N/C:C/I:C/A:C", Some(9.3)),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(9.8)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", Some(10.0)),
            ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:N", Some(0.0)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H/MC:N/MI:N/MA:N", Some(10.0)),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", Some(10.0)),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Some(9.3)),
            ("CVSS:3.1/AV:N/AC:L", None),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H", None),
            ("CVSS:9.9/AV:N/AC:L/Au:N/C:N/I:N/A:C", None),
            ("AV:N", None),
            ("", None),
            ("a wörd", None),
        ];
        for (vector, expected) in cases {
            assert_eq!(score(vector), expected, "{vector}");
        }
    }

    #[test]
    fn the_newest_version_is_taken() {
        let two = Rating::new("CVSSv2", Some(10.0), Some("(AV:N/AC:L/Au:N/C:C/I:C/A:C)"));
        let three = Rating::new("CVSSv31", None, Some("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"));
        let other = Rating::new("3.1", Some(1.0), None);
        let best = best([None, two.clone(), three, other]);
        assert_eq!(best.vector.as_deref(), Some("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"));
        assert_eq!(best.score, Some(7.5));
        assert_eq!(two.and_then(|(_, two)| two.vector).as_deref(), Some("AV:N/AC:L/Au:N/C:C/I:C/A:C"));
        assert_eq!(Rating::new("OWASP", None, Some(" ")), None);
    }
}
