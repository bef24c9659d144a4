//! Ranges of versions: how documents write them, and whether a version lies in one. Pure.
//!
//! Two versions are compared by the rules of the packages that they are of, and by no others: what
//! cannot be told is not guessed.

use std::cmp::Ordering;
use std::str::FromStr;

/// How many constraints a range may have.
const MOST: usize = 100;
/// Longer versions are none.
const LONGEST: usize = 128;

/// How versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Semver,
    Python,
    Maven,
    Debian,
    Rpm,
    /// Numbers with dots between them.
    Numbers,
}

/// The schemes by the types of `vers:` ranges and of package URLs, for the documents too.
pub const SCHEMES: &[(Scheme, &[&str], &str)] = &[
    (
        Scheme::Semver,
        &["semver", "npm", "cargo", "golang", "go", "hex", "pub", "nuget", "swift", "github"],
        "Semantic Versioning; a `v` in front and missing parts do not count, nor does what stands behind a `+`; what is not of \
         that form, numbers with dots",
    ),
    (Scheme::Python, &["pypi"], "PEP 440"),
    (Scheme::Maven, &["maven"], "the order of Maven's own versions"),
    (Scheme::Debian, &["deb"], "the order of dpkg"),
    (Scheme::Rpm, &["rpm"], "the order of rpm; releases where both have one"),
    (
        Scheme::Numbers,
        &["generic", "intdot", "docker", "oci"],
        "numbers with dots between them, and nothing else",
    ),
];

impl Scheme {
    /// The scheme of a type of `vers:` ranges or package URLs; `None`: it is not known.
    pub fn of(kind: &str) -> Option<Self> {
        let known =
            |(_, kinds, _): &&(Self, &[&str], &str)| kinds.iter().any(|one| one.eq_ignore_ascii_case(kind));
        SCHEMES.iter().find(known).map(|(scheme, ..)| *scheme)
    }

    /// How `one` stands to `other`; `None`: one of them is no version of the scheme.
    pub fn compare(self, one: &str, other: &str) -> Option<Ordering> {
        let is_version = |text: &str| !text.is_empty() && text.len() <= LONGEST && text.is_ascii();
        if !is_version(one) || !is_version(other) {
            return None;
        }
        match self {
            Self::Semver => semver(one)
                .zip(semver(other))
                .map(|(one, other)| one.cmp_precedence(&other))
                .or_else(|| Self::Numbers.compare(one, other)),
            Self::Python => {
                let version = |text| pep440_rs::Version::from_str(text).ok();
                Some(version(one)?.cmp(&version(other)?))
            }
            Self::Debian => {
                let version = |text| debversion::Version::from_str(text).ok();
                Some(version(one)?.cmp(&version(other)?))
            }
            Self::Rpm => rpm(one, other),
            Self::Maven => Some(maven::compare(one, other)),
            Self::Numbers => {
                let (one, other) = (numbers(one)?, numbers(other)?);
                Some(one.cmp(&other))
            }
        }
    }
}

fn semver(text: &str) -> Option<semver::Version> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let missing = 2_usize.checked_sub(core.matches('.').count())?;
    semver::Version::parse(&format!("{core}{}{rest}", ".0".repeat(missing))).ok()
}

/// Without an epoch it is 0, and releases are compared where both sides have one, as rpm does.
fn rpm(one: &str, other: &str) -> Option<Ordering> {
    let parts = |text| {
        let (epoch, version, release) = rpm_version::Evr::parse_values(text);
        let epoch = if epoch.is_empty() { "0" } else { epoch };
        (!version.is_empty()).then_some((epoch, version, release))
    };
    let (one, other) = (parts(one)?, parts(other)?);
    let has_releases = !one.2.is_empty() && !other.2.is_empty();
    let evr = |(epoch, version, release): (&str, &str, &str)| {
        rpm_version::Evr::new(
            epoch.to_owned(),
            version.to_owned(),
            if has_releases { release.to_owned() } else { String::new() },
        )
    };
    Some(evr(one).cmp(&evr(other)))
}

/// The numbers of a version, without zeros at its end.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let number = |part: &str| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let mut numbers = text.split('.').map(number).collect::<Option<Vec<u64>>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

mod maven {
    //! The order that Maven's reference gives.

    use std::cmp::Ordering;

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Token {
        Number(u128),
        Word(String),
    }

    /// What stands in front of each token: a dot, or a dash or a change between digits and letters.
    type Tokens = Vec<(bool, Token)>;

    fn tokens(version: &str) -> Tokens {
        let version = version.to_ascii_lowercase();
        let bytes = version.as_bytes();
        let mut tokens = Tokens::new();
        let (mut from, mut dotted) = (0, true);
        for at in 0..=bytes.len() {
            let ends = at == bytes.len() || matches!(bytes[at], b'.' | b'-' | b'_');
            let turns = !ends && at > from && bytes[at].is_ascii_digit() != bytes[at - 1].is_ascii_digit();
            if !ends && !turns {
                continue;
            }
            let text = &version[from..at];
            let before_number = turns && bytes[at].is_ascii_digit();
            let token = match text.parse() {
                Ok(number) => Token::Number(number),
                Err(_) if text.is_empty() => Token::Number(0),
                Err(_) => Token::Word(word(text, before_number).to_owned()),
            };
            tokens.push((dotted, token));
            dotted = !turns && (at == bytes.len() || bytes[at] == b'.');
            from = if turns { at } else { at + 1 };
        }
        trimmed(tokens)
    }

    fn word(text: &str, before_number: bool) -> &str {
        match text {
            "a" if before_number => "alpha",
            "b" if before_number => "beta",
            "m" if before_number => "milestone",
            "cr" => "rc",
            "ga" | "final" | "release" => "",
            text => text,
        }
    }

    fn is_null(token: &Token) -> bool {
        *token == Token::Number(0) || *token == Token::Word(String::new())
    }

    /// Without what says nothing, at the end and before each dash.
    fn trimmed(tokens: Tokens) -> Tokens {
        let mut kept = Tokens::new();
        for (dotted, token) in tokens {
            // A word stands behind a dash, whatever is written.
            if !dotted || matches!(token, Token::Word(_)) {
                while kept.len() > 1 && kept.last().is_some_and(|(_, last)| is_null(last)) {
                    kept.pop();
                }
            }
            kept.push((dotted, token));
        }
        while kept.last().is_some_and(|(_, last)| is_null(last)) {
            kept.pop();
        }
        kept
    }

    /// Where a word stands: `alpha` to `snapshot` before a release, the others behind it.
    fn rank(word: &str) -> (usize, &str) {
        const WORDS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];
        WORDS.iter().position(|one| *one == word).map_or((WORDS.len(), word), |at| (at, ""))
    }

    pub fn compare(one: &str, other: &str) -> Ordering {
        let (one, other) = (tokens(one), tokens(other));
        for at in 0..one.len().max(other.len()) {
            let padding = |token: &(bool, Token)| match token {
                (dotted, Token::Number(_)) => (*dotted, Token::Number(0)),
                (dotted, Token::Word(_)) => (*dotted, Token::Word(String::new())),
            };
            let (left, right) = match (one.get(at), other.get(at)) {
                (Some(left), Some(right)) => (left.clone(), right.clone()),
                (Some(left), None) => (left.clone(), padding(left)),
                (None, Some(right)) => (padding(right), right.clone()),
                (None, None) => return Ordering::Equal,
            };
            let order = match (&left, &right) {
                ((_, Token::Word(left)), (_, Token::Word(right))) => rank(left).cmp(&rank(right)),
                ((_, Token::Word(_)), (_, Token::Number(_))) => Ordering::Less,
                ((_, Token::Number(_)), (_, Token::Word(_))) => Ordering::Greater,
                ((left_dot, Token::Number(left)), (right_dot, Token::Number(right))) => {
                    left_dot.cmp(right_dot).then(left.cmp(right))
                }
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// What a constraint of a range asks of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Is,
    Not,
    Below,
    UpTo,
    From,
    Above,
}

/// The operators as they are written, the longer ones first.
const OPS: [(&str, Op); 7] = [
    ("!=", Op::Not),
    ("<=", Op::UpTo),
    (">=", Op::From),
    ("==", Op::Is),
    ("<", Op::Below),
    (">", Op::Above),
    ("=", Op::Is),
];

/// A range of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    scheme: Scheme,
    /// By version; `None`: all versions.
    constraints: Option<Vec<(Op, String)>>,
}

impl Range {
    /// Reads `vers:npm/>=1.0.0|<1.4.2`, or what vendors write of a product: `<4.2`, `>= 1.0, < 2.0`,
    /// `all versions`. That goes by the type of the component's package URL, or else by numbers.
    ///
    /// `None`: it is not understood, or its versions are none of the scheme.
    pub fn parse(text: &str, kind: Option<&str>) -> Option<Self> {
        let text = text.trim();
        let is_vers = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("vers:"));
        let (scheme, listed) = if is_vers {
            let (kind, listed) = text[5..].split_once('/')?;
            // Of all versions it does not matter how they are compared.
            let scheme = Scheme::of(kind).or((listed.trim() == "*").then_some(Scheme::Numbers))?;
            (scheme, decoded(listed.trim().trim_matches('|')))
        } else {
            (kind.map_or(Some(Scheme::Numbers), Scheme::of)?, text.to_owned())
        };
        if ["*", "all", "all versions"].iter().any(|all| listed.eq_ignore_ascii_case(all)) {
            return Some(Self { scheme, constraints: None });
        }
        let mut constraints: Vec<(Op, String)> = Vec::new();
        for part in parts(&listed, is_vers) {
            let op = OPS.iter().find_map(|(sign, op)| Some((*op, part.strip_prefix(sign)?.trim())));
            // A vendor's words are a range by their signs alone: `4.2 and earlier` is not read as 4.2.
            let (op, version) = op.or(is_vers.then_some((Op::Is, part)))?;
            scheme.compare(version, version)?;
            // By version, whatever order they are written in.
            let orders = constraints.iter().map(|(_, one)| scheme.compare(one, version));
            let orders: Vec<Ordering> = orders.collect::<Option<_>>()?;
            let at = orders.iter().position(|order| order.is_gt()).unwrap_or(orders.len());
            constraints.insert(at, (op, version.to_owned()));
            if constraints.len() > MOST {
                return None;
            }
        }
        (!constraints.is_empty()).then_some(Self { scheme, constraints: Some(constraints) })
    }

    /// Whether the version lies in the range; `None`: it is no version of the scheme.
    pub fn contains(&self, version: &str) -> Option<bool> {
        let version = version.trim();
        let Some(constraints) = &self.constraints else { return Some(true) };
        let orders = constraints.iter().map(|(op, bound)| Some((*op, self.scheme.compare(version, bound)?)));
        let orders: Vec<(Op, Ordering)> = orders.collect::<Option<_>>()?;
        let is_named =
            |(op, order): &(Op, Ordering)| order.is_eq() && matches!(op, Op::Is | Op::UpTo | Op::From);
        if orders.iter().any(is_named) {
            return Some(true);
        }
        if orders.iter().any(|(_, order)| order.is_eq()) {
            return Some(false);
        }
        // Bounds alone are left. The version lies between two of them, or beyond the outer ones.
        let bounds: Vec<&(Op, Ordering)> =
            orders.iter().filter(|(op, _)| !matches!(op, Op::Is | Op::Not)).collect();
        let before = bounds.iter().rev().find(|(_, order)| order.is_gt()).map(|(op, _)| op);
        let behind = bounds.iter().find(|(_, order)| order.is_lt()).map(|(op, _)| op);
        let opens = |op: &Op| matches!(op, Op::From | Op::Above);
        let closes = |op: &Op| matches!(op, Op::Below | Op::UpTo);
        Some(match (before, behind) {
            (None, None) => orders.iter().all(|(op, _)| *op == Op::Not),
            (None, Some(behind)) => closes(behind),
            (Some(before), None) => opens(before),
            (Some(before), Some(behind)) => opens(before) && closes(behind),
        })
    }
}

/// The constraints of a range: parted by bars in `vers:`, and in what vendors write by whatever stands
/// between a version and the next sign.
fn parts(listed: &str, is_vers: bool) -> Vec<&str> {
    if is_vers {
        return listed.split('|').map(str::trim).collect();
    }
    let mut parts: Vec<&str> = Vec::new();
    for piece in listed.split(['|', ',', ';', '&']).map(str::trim).filter(|piece| !piece.is_empty()) {
        // `>= 1.0 < 2.0`, `>=1.0 and <2.0`
        let signs = piece.match_indices(['<', '>', '=', '!']).map(|(at, _)| at);
        let starts: Vec<usize> = signs
            .filter(|at| *at == 0 || !piece[..*at].ends_with(['<', '>', '=', '!']))
            .chain([piece.len()])
            .collect();
        if starts.first() != Some(&0) {
            parts.push(piece);
            continue;
        }
        for bounds in starts.windows(2) {
            let part = piece[bounds[0]..bounds[1]].trim();
            parts.push(part.strip_suffix(" and").unwrap_or(part).trim());
        }
    }
    parts
}

/// Without the escapes of a URL, which versions in `vers:` may have.
fn decoded(text: &str) -> String {
    let escape = |at: usize| text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let mut decoded = String::with_capacity(text.len());
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (letter == '%').then(|| escape(at)).flatten().filter(u8::is_ascii) {
            Some(byte) => {
                decoded.push(char::from(byte));
                letters.nth(1);
            }
            None => decoded.push(letter),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_compared_by_their_scheme() {
        const CASES: &[(&str, &[&str])] = &[
            ("npm", &["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-rc.1", "1", "v1.0.1", "1.2", "1.10.0"]),
            ("golang", &["v0.0.0-20200101000000-abcdef", "v0.1.0", "v2.0.0+incompatible"]),
            ("nuget", &["1.0.0.1", "1.0.0.2", "1.0.1"]),
            ("pypi", &["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1!0.1"]),
            (
                "maven",
                &[
                    "1-alpha-1",
                    "1-b2",
                    "1-M3",
                    "1-rc",
                    "1-SNAPSHOT",
                    "1",
                    "1-sp",
                    "1-x",
                    "1-1",
                    "1.1",
                    "1.2",
                    "1.10",
                ],
            ),
            ("deb", &["1.0~rc1-1", "1.0-1", "1.0-1+deb12u1", "1.0-2", "1.1-1", "1:0.1-1"]),
            ("rpm", &["1.0~rc1-1", "1.0-1.el8", "1.0-2.el8", "1.10-1", "1:0.1-1"]),
            ("generic", &["0", "1", "1.2", "v1.10", "2.0.1"]),
        ];
        for (kind, ordered) in CASES {
            let scheme = Scheme::of(kind).expect(kind);
            for (at, one) in ordered.iter().enumerate() {
                for (other_at, other) in ordered.iter().enumerate() {
                    assert_eq!(
                        scheme.compare(one, other),
                        Some(at.cmp(&other_at)),
                        "{kind}: {one} and {other}"
                    );
                }
            }
        }
        let same = [
            ("npm", "1.2", "v1.2.0+build"),
            ("maven", "1.0.0-final", "1"),
            ("maven", "1.0.RC1", "1-cr-1"),
            ("pypi", "1.0", "1"),
            ("rpm", "1.0", "0:1.0-3.el9"),
            ("generic", "1.0.0", "V1"),
        ];
        for (kind, one, other) in same {
            assert_eq!(
                Scheme::of(kind).and_then(|scheme| scheme.compare(one, other)),
                Some(Ordering::Equal),
                "{one}"
            );
        }
        for (kind, text) in
            [("npm", "latest"), ("generic", "1.0a"), ("pypi", "1.0-x-y"), ("npm", ""), ("deb", "a b")]
        {
            assert_eq!(Scheme::of(kind).and_then(|scheme| scheme.compare("1", text)), None, "{kind} {text}");
        }
        assert_eq!(Scheme::of("brainfuck"), None);
    }

    #[test]
    fn a_version_lies_in_a_range() {
        const CASES: &[(&str, Option<&str>, &str, Option<bool>)] = &[
            ("vers:npm/>=1.0.0|<1.4.2", None, "1.4.1", Some(true)),
            ("vers:npm/>=1.0.0|<1.4.2", None, "1.4.2", Some(false)),
            ("vers:npm/>=1.0.0|<1.4.2", None, "1.4.2-rc.1", Some(true)),
            ("vers:npm/<1.4.2|>=1.0.0", None, "0.9.0", Some(false)),
            ("vers:npm/1.0.0|2.0.0", None, "2.0.0", Some(true)),
            ("vers:npm/1.0.0|2.0.0", None, "1.5.0", Some(false)),
            ("vers:npm/>=1.0.0|<2.0.0|>=3.0.0|!=3.1.0", None, "3.1.0", Some(false)),
            ("vers:npm/>=1.0.0|<2.0.0|>=3.0.0|!=3.1.0", None, "2.5.0", Some(false)),
            ("vers:npm/>=1.0.0|<2.0.0|>=3.0.0|!=3.1.0", None, "9.0.0", Some(true)),
            ("vers:npm/!=1.0.0", None, "2.0.0", Some(true)),
            ("vers:npm/*", None, "latest", Some(true)),
            ("vers:whatever/*", None, "1", Some(true)),
            ("vers:whatever/<2", None, "1", None),
            ("vers:npm/<2.0.0", None, "latest", None),
            ("vers:deb/<1%3A2.0-1", None, "1:1.9-1", Some(true)),
            ("vers:pypi/>1.0|<=2.0", None, "1.0.post1", Some(true)),
            ("vers:maven/<=2.14.1", None, "2.14.1", Some(true)),
            ("<4.2", None, "4.1.9", Some(true)),
            ("< 4.2", None, "4.2", Some(false)),
            ("<V4.2", None, "V4.1", Some(true)),
            (">= 1.0, < 2.0", None, "1.5", Some(true)),
            (">=1.0 and <2.0", None, "2.0", Some(false)),
            (">=1.0 <2.0", None, "0.9", Some(false)),
            ("All Versions", None, "anything", Some(true)),
            ("<1.0~rc1-1", Some("deb"), "1.0~beta-1", Some(true)),
            ("<2.0", Some("whatever"), "1.0", None),
            ("4.2", None, "4.2", None),
            ("4.2 and earlier", None, "4.1", None),
            ("prior to 4.2", None, "4.1", None),
            ("<", None, "1", None),
            ("", None, "1", None),
            ("vers:npm/", None, "1", None),
            ("vers:npm", None, "1", None),
        ];
        for (range, kind, version, expected) in CASES {
            let found = Range::parse(range, *kind).and_then(|range| range.contains(version));
            assert_eq!(found, *expected, "{version} in {range} of {kind:?}");
        }
    }

    fn version() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9.a-z~+:-]{0,12}",
            "[0-9]{1,2}(\\.[0-9]{1,2}){0,3}(-(rc|alpha|sp|x)\\.?[0-9]?)?",
            any::<String>()
        ]
    }

    proptest! {
        #[test]
        fn every_scheme_orders_what_it_knows(one in version(), other in version(), third in version()) {
            for (scheme, ..) in SCHEMES {
                let compare = |one: &str, other: &str| scheme.compare(one, other);
                prop_assert_eq!(compare(&one, &other), compare(&other, &one).map(Ordering::reverse));
                if let (Some(first), Some(second)) = (compare(&one, &other), compare(&other, &third))
                    && first == second
                    // What only some have of the parts of a version is compared pair by pair.
                    && matches!(scheme, Scheme::Python | Scheme::Debian | Scheme::Numbers)
                {
                    prop_assert_eq!(compare(&one, &third), Some(first), "{:?}: {} {} {}", scheme, one, other, third);
                }
            }
        }

        #[test]
        fn no_text_is_too_wild(range in any::<String>(), version in any::<String>(), kind in "[a-z]{0,6}") {
            for text in [range.clone(), format!("vers:npm/{range}"), format!("<{range}"), format!("vers:deb/>={range}|<2")] {
                if let Some(range) = Range::parse(&text, Some(&kind)) {
                    range.contains(&version);
                }
            }
        }
    }
}
