//! What the JSON around a query may be before it is parsed.
//!
//! The JSON parser refuses more than 128 levels by itself, but with an error that looks like
//! malformed input, and everything that walks variables later (coercion, the domain's own trees)
//! recurses again. So depth and size are bounded here first, in one pass without recursion.

use domain::error::{Code, Error, Result};

/// Refuses JSON that is nested deeper than `max_depth`, or that has more than `max_values` values.
///
/// # Errors
///
/// [`Code::LimitExceeded`] with `limit` and `max`. Malformed JSON is left for the parser to refuse.
pub fn check(json: &[u8], max_depth: usize, max_values: usize) -> Result<()> {
    let mut depth = 0_usize;
    let mut values = 1_usize;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(json, at),
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > max_depth {
            return Err(over("variablesDepth", max_depth, "The variables are nested too deep"));
        }
        if values > max_values {
            return Err(over("variablesValues", max_values, "The variables have too many values"));
        }
    }
    Ok(())
}

fn over(limit: &str, max: usize, what: &str) -> Error {
    Error::new(Code::LimitExceeded, format!("{what}: the most is {max}."))
        .with("limit", limit)
        .with("max", max)
}

fn string_end(json: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn limit(json: &str, depth: usize, values: usize) -> Option<Value> {
        check(json.as_bytes(), depth, values).err().map(|error| error.details["limit"].clone())
    }

    #[test]
    fn bounds_depth_and_size_outside_of_strings() {
        let nested = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
        let cases = [
            (nested("[", "]", 64), None),
            (nested("[", "]", 65), Some(json!("variablesDepth"))),
            (nested("[", "]", 6_000), Some(json!("variablesDepth"))),
            (nested("{\"a\":", "}", 6_000), Some(json!("variablesDepth"))),
            (format!("{:?}", "[\"".repeat(500)), None),
            (format!("[{}1]", "1,".repeat(97)), None),
            (format!("[{}1]", "1,".repeat(99)), Some(json!("variablesValues"))),
            ("]]]]".to_owned(), None),
            ("\"abc".to_owned(), None),
            ("\"abc\\".to_owned(), None),
        ];
        for (text, expected) in cases {
            assert_eq!(limit(&text, 64, 100), expected, "{text}");
        }
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from)];
        leaf.prop_recursive(6, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn finds_the_depth_of_any_value(value in tree()) {
            let (text, deep) = (value.to_string(), depth(&value));
            prop_assert_eq!(limit(&text, deep, 10_000), None);
            if let Some(less) = deep.checked_sub(1) {
                prop_assert_eq!(limit(&text, less, 10_000), Some(json!("variablesDepth")));
            }
        }

        #[test]
        fn never_panics(json in any::<Vec<u8>>()) {
            let _ = check(&json, 3, 10);
        }
    }
}
