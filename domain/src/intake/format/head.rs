//! The beginning of a report, as far as it tells the format.

use std::collections::HashSet;

/// What the first bytes of a report show.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The names of the members of the outermost object, or of those in the outermost array.
    pub members: Vec<String>,
    /// The names of the members one and two levels further inside.
    pub inner: HashSet<String>,
    /// Whether the outermost value is an array.
    pub array: bool,
    /// The name of the root element.
    pub root: Option<String>,
    /// The rest of its tag.
    pub attributes: String,
}

impl Head {
    /// Looks at the beginning of a report, which may end anywhere.
    pub fn of(bytes: &[u8]) -> Self {
        // Without its zeros, markup in UTF-16 reads like markup in ASCII.
        let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => {
                let (members, inner) = members(&text, 1);
                Self { members, inner, ..Self::default() }
            }
            Some(b'[') => {
                let (members, inner) = members(&text, 2);
                Self { members, inner, array: true, ..Self::default() }
            }
            _ => {
                let (root, attributes) = root(&text).unzip();
                Self { root, attributes: attributes.unwrap_or_default(), ..Self::default() }
            }
        }
    }

    pub fn has(&self, member: &str) -> bool {
        self.members.iter().any(|name| name == member)
    }

    /// Whether a member one or two levels further inside is called that.
    pub fn has_inside(&self, member: &str) -> bool {
        self.inner.contains(member)
    }

    /// Whether the root element has an attribute of that name.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attributes.split_whitespace().any(|part| part.split('=').next() == Some(name))
    }
}

/// The names of members at `depth`, and of those one and two levels deeper.
fn members(text: &[u8], depth: usize) -> (Vec<String>, HashSet<String>) {
    let (mut names, mut inner) = (Vec::new(), HashSet::new());
    let mut at_depth = 0_usize;
    let mut string: Option<Vec<u8>> = None;
    let mut last: Option<Vec<u8>> = None;
    let mut escaped = false;
    for &byte in text {
        if let Some(content) = &mut string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    last = string.take();
                    continue;
                }
                _ => {}
            }
            content.push(byte);
            continue;
        }
        match byte {
            b'"' => string = Some(Vec::new()),
            b'{' | b'[' => at_depth += 1,
            b'}' | b']' => at_depth = at_depth.saturating_sub(1),
            b':' if (depth..=depth + 2).contains(&at_depth) => {
                let name = last.take().map(|name| String::from_utf8_lossy(&name).into_owned());
                if at_depth == depth { names.extend(name) } else { inner.extend(name) }
            }
            _ => {}
        }
    }
    (names, inner)
}

/// The name of the first element, and the rest of its tag.
fn root(text: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(text);
    let mut rest = &*text;
    loop {
        rest = &rest[rest.find('<')? + 1..];
        let end = match rest {
            _ if rest.starts_with('?') => "?>",
            _ if rest.starts_with("!--") => "-->",
            _ if rest.starts_with('!') => ">",
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
                let attributes = rest[end..].split('>').next().unwrap_or_default();
                return Some((rest[..end].to_owned(), attributes.to_owned()));
            }
        };
        rest = &rest[rest.find(end)?..];
    }
}
