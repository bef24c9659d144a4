//! What a text must have in it for a regular expression to match: found once, so that the expression
//! is tried on few texts.

use regex_syntax::hir::{Class, Hir, HirKind};

/// How many needles a clause has at most: of more, each says little.
const NEEDLES: usize = 16;
/// How long a needle is at least: shorter ones are in every text.
const SHORTEST: usize = 2;
/// How long the needles of one clause may grow.
const LONGEST: usize = 64;
/// How many clauses are of use.
const CLAUSES: usize = 3;

/// Needles of which a text that matches has at least one, ASCII case ignored.
pub(super) type Clause = Vec<Vec<u8>>;

/// Clauses that all hold of every text that `pattern` matches, the most selective first. None: there is
/// nothing to look for.
pub(super) fn required(pattern: &str) -> Vec<Clause> {
    let Ok(hir) = regex_syntax::parse(pattern) else { return Vec::new() };
    let mut clauses = clauses(&hir);
    clauses.sort_by(|a, b| share(a).total_cmp(&share(b)));
    clauses.truncate(CLAUSES);
    clauses
}

/// The share of texts that are expected to have one of these needles.
pub(super) fn share<N: AsRef<[u8]>>(clause: &[N]) -> f64 {
    let shortest = clause.iter().map(|needle| needle.as_ref().len()).min().unwrap_or(LONGEST);
    let one = 0.5_f64.powi(i32::try_from(shortest).unwrap_or(i32::MAX)).max(0.02);
    // Needles that differ in a class of characters are seldom all as likely as the first.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let many = (clause.len() as f64).sqrt();
    (one * many).min(1.0)
}

fn clauses(hir: &Hir) -> Vec<Clause> {
    let mut walk = Walk { done: Vec::new(), open: nothing() };
    walk.pass(hir);
    walk.close();
    walk.done.retain(|clause| clause.iter().all(|needle| needle.len() >= SHORTEST));
    walk.done
}

/// The one text of no length.
fn nothing() -> Clause {
    vec![Vec::new()]
}

/// A walk along an expression, from what it matches first to what it matches last.
struct Walk {
    done: Vec<Clause>,
    /// What the last part so far matches, word by word.
    open: Clause,
}

impl Walk {
    fn pass(&mut self, hir: &Hir) {
        if let Some(words) = words(hir) {
            return self.append(words);
        }
        match hir.kind() {
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.pass(part)),
            HirKind::Capture(capture) => self.pass(&capture.sub),
            HirKind::Repetition(repetition) if repetition.min > 0 => {
                self.pass(&repetition.sub);
                self.close();
            }
            HirKind::Alternation(branches) => {
                self.close();
                self.done.extend(either(branches));
            }
            _ => self.close(),
        }
    }

    fn append(&mut self, words: Clause) {
        let longest = |clause: &Clause| clause.iter().map(Vec::len).max().unwrap_or(0);
        let fits = self.open.len() * words.len() <= NEEDLES;
        if !fits || longest(&self.open) + longest(&words) > LONGEST {
            self.close();
        }
        self.open = joined(&self.open, &words);
    }

    fn close(&mut self) {
        self.done.push(std::mem::replace(&mut self.open, nothing()));
    }
}

/// The best that all branches together require.
fn either(branches: &[Hir]) -> Option<Clause> {
    let mut all = Vec::new();
    for branch in branches {
        all.extend(clauses(branch).into_iter().min_by(|a, b| share(a).total_cmp(&share(b)))?);
    }
    all.sort_unstable();
    all.dedup();
    (all.len() <= NEEDLES).then_some(all)
}

/// All texts that an expression matches, or more, folded. None: they are too many.
fn words(hir: &Hir) -> Option<Clause> {
    let words = match hir.kind() {
        // What only looks at a place takes no text.
        HirKind::Empty | HirKind::Look(_) => nothing(),
        HirKind::Literal(literal) => vec![literal.0.to_ascii_lowercase()],
        HirKind::Class(class) => characters(class)?,
        HirKind::Capture(capture) => words(&capture.sub)?,
        HirKind::Concat(parts) => {
            let mut all = nothing();
            for part in parts {
                let part = words(part)?;
                if all.len() * part.len() > NEEDLES {
                    return None;
                }
                all = joined(&all, &part);
            }
            all
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(words(branch)?);
            }
            all.sort_unstable();
            all.dedup();
            all
        }
        HirKind::Repetition(_) => return None,
    };
    let short = words.iter().all(|word| word.len() <= LONGEST);
    (words.len() <= NEEDLES && short).then_some(words)
}

/// Every text of the first followed by every text of the second.
fn joined(first: &Clause, second: &Clause) -> Clause {
    first.iter().flat_map(|head| second.iter().map(|tail| [head.as_slice(), tail].concat())).collect()
}

/// The characters of a class, folded.
fn characters(class: &Class) -> Option<Clause> {
    // Twice as many may fold to as many needles as there may be.
    let most = 2 * NEEDLES;
    let mut all: Clause = Vec::new();
    match class {
        Class::Unicode(class) => {
            let count: usize = class.iter().map(|range| range.len()).sum();
            if count > most {
                return None;
            }
            for character in class.iter().flat_map(|range| range.start()..=range.end()) {
                all.push(character.to_ascii_lowercase().to_string().into_bytes());
            }
        }
        Class::Bytes(class) => {
            let count: usize = class.iter().map(|range| range.len()).sum();
            if count > most {
                return None;
            }
            for byte in class.iter().flat_map(|range| range.start()..=range.end()) {
                all.push(vec![byte.to_ascii_lowercase()]);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    (all.len() <= NEEDLES).then_some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(pattern: &str) -> Vec<Vec<String>> {
        let text = |needle: Vec<u8>| String::from_utf8(needle).expect("needles are of whole characters");
        required(pattern).into_iter().map(|clause| clause.into_iter().map(text).collect()).collect()
    }

    #[test]
    fn what_a_pattern_needs_is_found() {
        let cases: &[(&str, &[&[&str]])] = &[
            ("OpenSSL", &[&["openssl"]]),
            (r"(?i)\bcurl\b", &[&["curl"]]),
            // The Kelvin sign and the long s are cases of k and s.
            ("(?i)ok", &[&["ok", "o\u{212a}"]]),
            ("^(usr|opt)/.*libxml/.*\\.so$", &[&["libxml/"], &["opt/", "usr/"], &[".so"]]),
            ("(ab+c|de)f", &[&["ab", "de"]]),
            ("(foo)?bar", &[&["bar"]]),
            ("(?:xy){2,}z", &[&["xy"]]),
            ("a.b|cd", &[]),
            (r"\d+", &[]),
            ("", &[]),
            ("(", &[]),
            // It matches nothing, and nothing has one of no needles.
            ("[a&&b]", &[&[]]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(texts(pattern), *expected, "{pattern}");
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            prop::sample::select(
                &["a", "B", "k", "ss", "é", "[ab]", "[^a]", r"\d", ".", "^", "$", r"\b", ""][..]
            )
            .prop_map(str::to_owned),
            "[abkK]{1,4}",
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                2 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
                1 => (inner.clone(), prop::sample::select(&["*", "+", "?", "{2}", "{1,3}"][..]))
                    .prop_map(|(inner, times)| format!("(?:{inner}){times}")),
                1 => inner.prop_map(|inner| format!("(?i:{inner})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_text_that_matches_has_what_is_required(pattern in pattern(), text in "[abkKésſ\u{212a}1 ]{0,12}") {
            let regex = regex::Regex::new(&pattern).expect("the pattern is one");
            if regex.is_match(&text) {
                let text = text.to_ascii_lowercase();
                for clause in texts(&pattern) {
                    prop_assert!(clause.iter().any(|needle| text.contains(needle)), "{clause:?} of {pattern}");
                }
            }
        }
    }
}
