//! Package URLs (`pkg:npm/%40scope/name@1.2?x=y#z`), as far as findings need them.

/// What a package URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The name as its ecosystem writes it: `@scope/name`, `group:artifact`, `golang.org/x/net`.
    pub name: String,
    pub version: Option<String>,
    /// The package URL without version, qualifiers and path: the package, whichever version.
    pub key: String,
    /// The type, such as `npm`.
    pub kind: String,
    /// Namespace and name, decoded.
    pub path: String,
    qualifiers: Vec<(String, String)>,
    subpath: String,
}

/// The types whose namespaces and names are compared in any case.
const CASELESS: [&str; 14] = [
    "alpm",
    "apk",
    "bitbucket",
    "composer",
    "deb",
    "docker",
    "github",
    "golang",
    "hex",
    "npm",
    "nuget",
    "oci",
    "pypi",
    "rpm",
];

impl Package {
    /// `None` for what is not a package URL.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = text.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("pkg:")).and(text.get(4..))?;
        let rest = rest.trim_start_matches('/');
        let (rest, subpath) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (kind, path) = rest.split_once('/')?;
        let kind = kind.to_ascii_lowercase();
        // An at sign before the last slash is of a scope that somebody left as it is.
        let name_from = path.rfind('/').map_or(0, |at| at + 1);
        let (path, version) = match path[name_from..].rfind('@').filter(|at| *at > 0) {
            Some(at) => (&path[..name_from + at], Some(decoded(&path[name_from + at + 1..]))),
            None => (path, None),
        };
        let path = path.trim_matches('/');
        if kind.is_empty() || path.is_empty() {
            return None;
        }
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (namespace, name) = (decoded(namespace), decoded(name));
        let joined = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
        let full = match kind.as_str() {
            // Of packages of a system the namespace is the distribution.
            "deb" | "rpm" | "apk" | "alpm" | "oci" | "docker" => name,
            "maven" if !namespace.is_empty() => format!("{namespace}:{name}"),
            _ => joined.clone(),
        };
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=')?;
            (!value.is_empty()).then(|| (key.to_ascii_lowercase(), decoded(value)))
        };
        Some(Self {
            name: full,
            version: version.filter(|version| !version.is_empty()),
            key: format!("pkg:{kind}/{path}"),
            kind,
            path: joined,
            qualifiers: qualifiers.split('&').filter_map(pair).collect(),
            subpath: decoded(subpath.trim_matches('/')),
        })
    }

    pub fn qualifier(&self, key: &str) -> Option<&str> {
        self.qualifiers.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Whether `self` speaks of `other`, but for the version: the same type, namespace and name, and of
    /// qualifiers and subpath whatever `self` has.
    pub fn covers(&self, other: &Self) -> bool {
        self.is_same_package(other)
            && self.qualifiers.iter().all(|(key, value)| other.qualifier(key) == Some(value))
            && (self.subpath.is_empty() || self.subpath == other.subpath)
    }

    /// Whether both have the same type, namespace and name.
    pub fn is_same_package(&self, other: &Self) -> bool {
        let path = |package: &Self| {
            let path = package.path.as_str();
            match package.kind.as_str() {
                "pypi" => path.to_ascii_lowercase().replace(['_', '.'], "-"),
                kind if CASELESS.contains(&kind) => path.to_ascii_lowercase(),
                _ => path.to_owned(),
            }
        };
        self.kind == other.kind && path(self) == path(other)
    }
}

/// The package URL of a version of a package without a namespace, or with one in its name (`@scope/name`).
pub fn url(kind: &str, name: &str, version: Option<&str>) -> String {
    let name = encoded(name);
    match version.map(str::trim).filter(|version| !version.is_empty()) {
        Some(version) => format!("pkg:{kind}/{name}@{}", encoded(version)),
        None => format!("pkg:{kind}/{name}"),
    }
}

/// `url`, which has no version, with one.
pub fn with_version(url: &str, version: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    format!("{}@{}{}", &url[..end], encoded(version), &url[end..])
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.trim().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b'/' | b':' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_their_ecosystem() {
        let cases = [
            ("pkg:npm/%40scope/name@1.2.3?x=y#z", "@scope/name", Some("1.2.3"), "pkg:npm/%40scope/name"),
            ("pkg:npm/@scope/name", "@scope/name", None, "pkg:npm/@scope/name"),
            ("pkg:maven/org.a/b@1", "org.a:b", Some("1"), "pkg:maven/org.a/b"),
            (
                "pkg:deb/debian/libc6@2.28-10%2Bdeb?arch=amd64",
                "libc6",
                Some("2.28-10+deb"),
                "pkg:deb/debian/libc6",
            ),
            (
                "pkg:golang/golang.org/x/net@v0.1",
                "golang.org/x/net",
                Some("v0.1"),
                "pkg:golang/golang.org/x/net",
            ),
            ("PKG:Cargo/serde@", "serde", None, "pkg:cargo/serde"),
            ("pkg:pypi/a%zzb@%", "a%zzb", Some("%"), "pkg:pypi/a%zzb"),
        ];
        for (text, name, version, key) in cases {
            let package = Package::parse(text).expect(text);
            let found = (package.name.as_str(), package.version.as_deref(), package.key.as_str());
            assert_eq!(found, (name, version, key), "{text}");
        }
        for text in ["", "pkg:", "pkg:npm", "pkg:npm/", "pkg:/a", "https://example.org/a@1", "pkgé"] {
            assert_eq!(Package::parse(text), None, "{text}");
        }
        assert_eq!(url("npm", "@a/b", Some("1+2")), "pkg:npm/%40a/b@1%2B2");
    }
}
