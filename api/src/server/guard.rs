//! What a query may be before it is parsed.
//!
//! The parser recurses into nested values without a bound, so that 4 KB of `[[[[…` would overflow
//! the stack and end the process. This is one pass over the bytes, without recursion or
//! allocation, that counts tokens and the depth of `{[(` as the parser would meet them. Where the
//! parser and the specification read a text differently, the reading that counts more is taken.

use std::fmt;

/// What the pass saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Names, numbers, strings and punctuation.
    pub tokens: usize,
    /// The deepest nesting of `{`, `[` and `(`.
    pub depth: usize,
}

/// Why the parser must not see a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    TooDeep {
        max: usize,
    },
    TooManyTokens {
        max: usize,
    },
    /// A string that never ends; parsers differ in what they make of the rest.
    Unterminated {
        at: usize,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep { max } => write!(f, "The query nests brackets more than {max} deep."),
            Self::TooManyTokens { max } => write!(f, "The query has more than {max} tokens."),
            Self::Unterminated { at } => write!(f, "The string that begins at byte {at} has no end."),
        }
    }
}

/// Counts tokens and depth of `query`, and stops at the first that is over its limit.
pub fn scan(query: &str, max_tokens: usize, max_depth: usize) -> Result<Scan, Refused> {
    let bytes = query.as_bytes();
    let mut seen = Scan::default();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (next, tokens) = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | 0x80.. => (at + 1, 0),
            b'#' => (comment(bytes, at), 0),
            b'"' => (string(bytes, at).ok_or(Refused::Unterminated { at })?, 1),
            b'{' | b'[' | b'(' => {
                depth += 1;
                seen.depth = seen.depth.max(depth);
                if depth > max_depth {
                    return Err(Refused::TooDeep { max: max_depth });
                }
                (at + 1, 1)
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                (at + 1, 1)
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (name(bytes, at), 1),
            b'-' | b'0'..=b'9' => (number(bytes, at), 1),
            b'.' if bytes[at..].starts_with(b"...") => (at + 3, 1),
            _ => (at + 1, 1),
        };
        seen.tokens += tokens;
        if seen.tokens > max_tokens {
            return Err(Refused::TooManyTokens { max: max_tokens });
        }
        at = next;
    }
    Ok(seen)
}

/// The end of the comment that begins at `at`.
fn comment(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| matches!(b, b'\n' | b'\r')).map_or(bytes.len(), |length| at + length)
}

/// The end of the string or block string that begins at `at`; `None` if it has no end.
fn string(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes[at..].starts_with(br#"""""#) {
        return block_string(bytes, at + 3);
    }
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\n' | b'\r' => return None,
            // What is escaped cannot end the string, but a line break still does.
            b'\\' if !matches!(bytes.get(at + 1)?, b'\n' | b'\r') => at += 2,
            _ => at += 1,
        }
    }
}

fn block_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        if rest.starts_with(br#"""""#) {
            return Some(at + 3);
        }
        at += if rest.starts_with(br#"\""""#) { 4 } else { 1 };
    }
}

/// The end of the name at `at`, which is the end of a keyword where one begins: the parser takes
/// `truefalse` in a list for two values.
fn name(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let keyword = [&b"true"[..], b"false", b"null"].into_iter().find(|keyword| rest.starts_with(keyword));
    let length = || rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    at + keyword.map_or_else(length, <[u8]>::len)
}

/// The end of the number at `at`. It is read as the parser does, for which `0000` is four numbers.
fn number(bytes: &[u8], at: usize) -> usize {
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = at + usize::from(bytes[at] == b'-');
    end = match bytes.get(end) {
        Some(b'0') => end + 1,
        Some(b'1'..=b'9') => digits(end),
        _ => return end,
    };
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NO_LIMIT: usize = usize::MAX;

    #[test]
    fn counts_what_the_parser_meets() {
        let cases: &[(&str, usize, usize)] = &[
            ("", 0, 0),
            ("{ a }", 3, 1),
            ("query Q($a: [Int!]! = [1, -2.5e3]) { f(a: $a) { ...g } }", 30, 2),
            ("# {[(\n{ a # }}}\r b }", 4, 1),
            (r#"{ a(b: "{[(#\"{") }"#, 8, 2),
            (r#"{ a(b: """{[( "" \""" {[(""") }"#, 8, 2),
            (r#"{ a(b: "") }"#, 8, 2),
            ("[0000]", 6, 1),
            ("[1-1-1]", 5, 1),
            ("[truefalsenull]", 5, 1),
            ("nullable", 2, 0),
            ("\u{feff}{é}", 2, 1),
        ];
        for (query, tokens, depth) in cases {
            let seen = scan(query, NO_LIMIT, NO_LIMIT);
            assert_eq!(seen, Ok(Scan { tokens: *tokens, depth: *depth }), "{query}");
        }
    }

    #[test]
    fn refuses_at_the_limit_and_not_before() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(scan(&nested(64), 1_000, 64).is_ok());
        assert_eq!(scan(&nested(65), 1_000, 64), Err(Refused::TooDeep { max: 64 }));
        assert!(scan(&"a ".repeat(100), 100, 64).is_ok());
        assert_eq!(scan(&"a ".repeat(101), 100, 64), Err(Refused::TooManyTokens { max: 100 }));
    }

    #[test]
    fn a_string_without_end_is_refused() {
        // The parser would read the first as an empty string, a string and 70 nested lists.
        let cases = [
            (format!(r#"{{a(b:[""" x"{}"#, "[".repeat(70)), 6),
            ("\"abc".to_owned(), 0),
            ("\"abc\n\"".to_owned(), 0),
            ("\"abc\\".to_owned(), 0),
            ("\"abc\\\n\"".to_owned(), 0),
            (r#""""abc\""""#.to_owned(), 0),
        ];
        for (query, at) in cases {
            assert_eq!(scan(&query, NO_LIMIT, NO_LIMIT), Err(Refused::Unterminated { at }), "{query}");
        }
    }

    /// The same count by cutting strings and comments out of the text first, then looking at what is left.
    fn oracle(query: &str) -> Option<Scan> {
        let mut plain = String::new();
        let mut rest = query;
        while let Some(c) = rest.chars().next() {
            if let Some(body) = rest.strip_prefix(r#"""""#) {
                let hidden = body.replace(r#"\""""#, "____");
                rest = &body[hidden.find(r#"""""#)? + 3..];
                plain.push_str(" $ ");
            } else if let Some(body) = rest.strip_prefix('"') {
                let mut escaped = false;
                let end = body.char_indices().find(|(_, c)| {
                    let ends = matches!(c, '\n' | '\r') || (*c == '"' && !escaped);
                    escaped = *c == '\\' && !escaped;
                    ends
                })?;
                if end.1 != '"' {
                    return None;
                }
                rest = &body[end.0 + 1..];
                plain.push_str(" $ ");
            } else if c == '#' {
                rest = rest.find(['\n', '\r']).map_or("", |end| &rest[end..]);
            } else {
                plain.push(if c.is_ascii() { c } else { ' ' });
                rest = &rest[c.len_utf8()..];
            }
        }
        let mut depth = 0_i64;
        let mut deepest = 0;
        for c in plain.chars() {
            match c {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth = (depth - 1).max(0),
                _ => {}
            }
            deepest = deepest.max(depth);
        }
        let token = count_tokens(&plain);
        Some(Scan { tokens: token, depth: usize::try_from(deepest).unwrap() })
    }

    /// Tokens of a text without strings and comments, longest first at each place.
    fn count_tokens(plain: &str) -> usize {
        let chars: Vec<char> = plain.chars().collect();
        let is_token = |text: &str| {
            let keyword = matches!(text, "true" | "false" | "null");
            let name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !["true", "false", "null"].iter().any(|word| text.starts_with(word));
            keyword || name || is_number(text) || text == "..." || text == "-"
        };
        let mut tokens = 0;
        let mut at = 0;
        while at < chars.len() {
            if matches!(chars[at], ' ' | '\t' | '\n' | '\r' | ',') {
                at += 1;
                continue;
            }
            let length = (1..=chars.len() - at)
                .rev()
                .find(|length| is_token(&chars[at..at + length].iter().collect::<String>()))
                .unwrap_or(1);
            tokens += 1;
            at += length;
        }
        tokens
    }

    fn is_number(text: &str) -> bool {
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
    }

    /// Texts made of what decides how a query is read.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\""),
            Just("\"\"\""),
            Just("\\"),
            Just("\n"),
            Just("\r"),
            Just("#"),
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just("("),
            Just(")"),
            Just("..."),
            Just("."),
            Just("-"),
            Just("0"),
            Just("17"),
            Just("e"),
            Just("+"),
            Just("true"),
            Just("null"),
            Just("a_"),
            Just(" "),
            Just(","),
            Just("é"),
            Just("$"),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn never_panics(query in any::<String>(), tokens in 0..40_usize, depth in 0..8_usize) {
            let _ = scan(&query, tokens, depth);
        }

        #[test]
        fn agrees_with_the_oracle(query in hostile()) {
            prop_assert_eq!(scan(&query, NO_LIMIT, NO_LIMIT).ok(), oracle(&query));
        }

        #[test]
        fn what_it_finds_without_end_no_parser_accepts(query in hostile()) {
            if let Err(Refused::Unterminated { .. }) = scan(&query, NO_LIMIT, NO_LIMIT) {
                prop_assert!(async_graphql::parser::parse_query(&query).is_err());
            }
        }
    }
}
