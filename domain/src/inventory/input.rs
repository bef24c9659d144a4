//! The form of what people type: names, texts and lists of words, trimmed and bounded.

use std::collections::BTreeSet;

use crate::error::{Code, Error, Result};

/// The most characters in the name of a person, team, project and the like.
pub const NAME: usize = 200;
/// The most characters in the name of an asset: image references and URLs are long.
pub const ASSET_NAME: usize = 1_024;
/// The most characters in a text.
pub const TEXT: usize = 10_000;
/// The most characters in a word of a list, and the most words.
pub const WORD: usize = 200;
pub const WORDS: usize = 200;

/// A name: trimmed, not empty, on one line, of at most `most` characters.
pub(crate) fn name(field: &str, text: &str, most: usize) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::new(Code::Required, "This cannot be empty.").at(field));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "This is one line of text, without control characters."));
    }
    bounded(field, text, most)
}

/// A name that may be missing; an empty one is.
pub(crate) fn optional_name(field: &str, text: Option<&str>, most: usize) -> Result<Option<String>> {
    text.filter(|text| !text.trim().is_empty()).map(|text| name(field, text, most)).transpose()
}

/// A text of several lines that may be missing; an empty one is.
pub(crate) fn optional_text(field: &str, text: Option<&str>) -> Result<Option<String>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
        return Err(Error::invalid(field, "This is text, without control characters."));
    }
    bounded(field, text, TEXT).map(Some)
}

/// A set of words: each trimmed, sorted, without repeats.
pub(crate) fn words(field: &str, words: &[String]) -> Result<Vec<String>> {
    let place =
        |(at, word): (usize, &String)| name(&at.to_string(), word, WORD).map_err(|error| error.at(field));
    let words: BTreeSet<String> = words.iter().enumerate().map(place).collect::<Result<_>>()?;
    if words.len() > WORDS {
        return Err(Error::invalid(field, format!("These are at most {WORDS} words.")));
    }
    Ok(words.into_iter().collect())
}

/// A mail address, in lower case.
pub(crate) fn email(field: &str, text: &str) -> Result<String> {
    let address = name(field, text, 254)?.to_ascii_lowercase();
    let formed = address.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && !host.contains('@') && !address.contains(char::is_whitespace)
    });
    if formed { Ok(address) } else { Err(Error::invalid(field, "This is not a mail address.")) }
}

fn bounded(field: &str, text: &str, most: usize) -> Result<String> {
    if text.chars().count() > most {
        return Err(Error::invalid(field, format!("This has at most {most} characters.")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("name", "  Web shop \t", NAME).unwrap(), "Web shop");
        assert_eq!(name("name", &"é".repeat(NAME), NAME).unwrap().chars().count(), NAME);
        for (text, code) in
            [("", Code::Required), (" \n", Code::Required), ("a\0b", Code::Invalid), ("a\nb", Code::Invalid)]
        {
            let error = name("name", text, NAME).unwrap_err();
            assert_eq!((error.code, error.field), (code, vec!["name".to_owned()]), "{text:?}");
        }
        assert!(name("name", &"é".repeat(NAME + 1), NAME).is_err());
    }

    #[test]
    fn an_empty_text_is_a_missing_one() {
        assert_eq!(optional_text("d", Some(" \n ")).unwrap(), None);
        assert_eq!(optional_text("d", Some(" a\nb ")).unwrap(), Some("a\nb".into()));
        assert!(optional_text("d", Some("a\u{7}b")).is_err());
        assert_eq!(optional_name("d", Some("  "), NAME).unwrap(), None);
    }

    #[test]
    fn words_are_a_sorted_set() {
        let given = ["b", " a", "b "].map(str::to_owned);
        assert_eq!(words("tags", &given).unwrap(), ["a", "b"]);
        let error = words("tags", &["a".to_owned(), String::new()]).unwrap_err();
        assert_eq!(error.field, ["tags", "1"]);
        let many: Vec<String> = (0..=WORDS).map(|at| at.to_string()).collect();
        assert!(words("tags", &many).is_err());
    }

    #[test]
    fn addresses_are_told_from_other_text() {
        assert_eq!(email("email", " Ann@Example.org ").unwrap(), "ann@example.org");
        for text in ["ann", "@a", "a@", "a@b@c", "a b@c"] {
            assert!(email("email", text).is_err(), "{text}");
        }
    }
}
