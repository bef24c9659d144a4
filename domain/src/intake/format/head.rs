//! The beginning of a report, as far as it tells the format.

/// What the first bytes of a report show.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The names of the members of the outermost object, or of those in the outermost array.
    pub members: Vec<String>,
    /// The names of the members of objects in arrays that are members of the outermost object.
    pub inner: Vec<String>,
    /// Whether the outermost value is an array.
    pub array: bool,
    /// The name of the root element.
    pub root: Option<String>,
    /// The tag of the root element, behind its name.
    pub attributes: String,
}

impl Head {
    /// Looks at the beginning of a report, which may end anywhere.
    pub fn of(bytes: &[u8]) -> Self {
        // Without its zeros, markup in UTF-16 reads like markup in ASCII.
        let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self { members: members(&text, 1), inner: members(&text, 3), ..Self::default() },
            Some(b'[') => Self { members: members(&text, 2), array: true, ..Self::default() },
            _ => {
                let (root, attributes) = root(&text).unzip();
                Self { root, attributes: attributes.unwrap_or_default(), ..Self::default() }
            }
        }
    }

    /// Whether a member of an object within the outermost one has that name.
    pub fn has_inside(&self, member: &str) -> bool {
        self.inner.iter().any(|name| name == member)
    }

    /// Whether the root element has an attribute of that name.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attributes.split_whitespace().any(|part| part.split('=').next() == Some(name))
    }

    pub fn has(&self, member: &str) -> bool {
        self.members.iter().any(|name| name == member)
    }
}

/// The names of members at `depth`.
fn members(text: &[u8], depth: usize) -> Vec<String> {
    let mut names = Vec::new();
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
            b':' if at_depth == depth => {
                names.extend(last.take().map(|name| String::from_utf8_lossy(&name).into_owned()))
            }
            _ => {}
        }
    }
    names
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
