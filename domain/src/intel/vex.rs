//! What VEX documents say of products, and of which findings it holds. Pure.
//!
//! A statement holds for the findings of its project that name its vulnerability and are about its
//! product: [`RULES`] says when. Of those that hold for a finding the one that was said last counts.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::finding::facts::Finding;
use crate::finding::layers::{self, Verdict};
use crate::intake::package::Package;
use crate::intake::report::{Fingerprint, Product, Reported, ReportedAsset};
use crate::vocabulary::time::Timestamp;

use versions::Range;

pub mod query;
pub(crate) mod store;
pub mod versions;

/// A statement's shape, and what of a finding has to be what.
pub const RULES: &[(&str, &str)] = &[
    (
        "of a product, which is not part of another, on an asset that the caller did not name",
        "its component is the product, or its asset is the product",
    ),
    (
        "of a component of a product, on an asset that the caller did not name",
        "its asset is the product and its component is the component",
    ),
    (
        "of a product, on an asset that the caller named",
        "its asset has that name, and its component is the product, or its asset is the product",
    ),
    (
        "of a component of a product, on an asset that the caller named",
        "its asset has that name and its component is the component",
    ),
];

/// What one VEX statement says, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The state in the format's word: `not_affected`.
    pub state: String,
    /// What it makes of a finding; `None`: the finding stands as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The asset, where the caller named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    pub product: Product,
    /// What the statement is about: a component of the product, or the product itself.
    pub subject: Component,
    /// Whether it is a component of the product.
    pub part: bool,
}

/// A component by what reports know it by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// Whether `version` is a range of versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ranged: bool,
}

/// A statement with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The series of documents that it is of.
    pub series: Uuid,
    /// The fingerprint of the finding that was made of it.
    pub key: Fingerprint,
    pub said_at: Timestamp,
    pub said: Said,
}

/// Where a finding was found, in the words of matching.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub asset: &'a ReportedAsset,
    pub name: Option<&'a str>,
    pub version: Option<&'a str>,
    pub purl: Option<&'a str>,
}

impl Said {
    /// The statement that a finding was made of, if it is one.
    pub fn of(reported: &Reported) -> Option<Self> {
        let vex = reported.vex.as_deref()?;
        Some(Self {
            state: vex.state.clone(),
            verdict: reported.verdict.clone(),
            asset: vex.by_caller.then(|| reported.asset.name.clone()),
            product: vex.product.clone(),
            subject: Component {
                name: reported.component_name.clone(),
                version: reported.component_version.clone(),
                purl: reported.component_purl.clone(),
                ranged: vex.ranged,
            },
            part: vex.part,
        })
    }

    /// Whether a finding was made of a statement of a range of versions that nobody can decide on.
    pub fn is_undecided(reported: &Reported) -> bool {
        reported.vex.as_deref().is_some_and(|vex| vex.ranged)
            && Self::of(reported).is_some_and(|said| said.subject.is_undecidable())
    }

    /// Whether the statement is about what was found there, whatever its vulnerability.
    pub fn is_about(&self, place: &Place<'_>) -> bool {
        if let Some(named) = &self.asset
            && !same_asset(named, place.asset)
        {
            return false;
        }
        let is_component = || self.subject.is(place);
        let is_product = || is_asset(&self.product, place.asset);
        match (self.part, &self.asset) {
            (true, Some(_)) => is_component(),
            (true, None) => is_product() && is_component(),
            (false, _) => is_component() || is_product(),
        }
    }

    /// How closely it says what it is about: of two that were said at once the closer one counts.
    fn closeness(&self) -> (bool, bool, bool) {
        let version = self.subject.version.is_some();
        (self.asset.is_some(), self.part, version)
    }
}

impl Component {
    /// By package URLs where both sides have one, or else by name and version.
    fn is(&self, place: &Place<'_>) -> bool {
        let own = self.purl.as_deref().and_then(Package::parse);
        let other = place.purl.and_then(Package::parse);
        let same = |one: Option<&str>, other: Option<&str>| {
            one.zip(other).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
        };
        let is_same = match (&own, &other) {
            (Some(own), Some(other)) => own.covers(other),
            _ => same(self.name.as_deref(), place.name),
        };
        if !is_same {
            return false;
        }
        let version = |package: &Option<Package>| package.as_ref()?.version.clone();
        let found = version(&other).or_else(|| place.version.map(str::to_owned));
        if self.ranged {
            let kind = own.as_ref().or(other.as_ref()).map(|package| package.kind.as_str());
            let range = self.version.as_deref().and_then(|range| Range::parse(range, kind));
            return range.zip(found).and_then(|(range, found)| range.contains(&found)) == Some(true);
        }
        let wanted = version(&own).or_else(|| self.version.clone());
        wanted.is_none() || wanted == found
    }

    /// Whether it is of a range of versions that nobody can decide on: it holds for nothing.
    pub fn is_undecidable(&self) -> bool {
        let package = self.purl.as_deref().and_then(Package::parse);
        let kind = package.as_ref().map(|package| package.kind.as_str());
        self.ranged && self.version.as_deref().is_none_or(|range| Range::parse(range, kind).is_none())
    }
}

/// Whether `asset` has this name; the tag and the digest of an image do not count.
fn same_asset(name: &str, asset: &ReportedAsset) -> bool {
    let is_image = asset.kind.as_deref() == Some(IMAGE);
    !name.is_empty()
        && (name.eq_ignore_ascii_case(&asset.name) || is_image && image(name) == image(&asset.name))
}

/// Whether `asset` is this product: the names of the two are equal, whatever the version.
fn is_asset(product: &Product, asset: &ReportedAsset) -> bool {
    if same_asset(&product.name, asset) {
        return true;
    }
    let Some(package) = product.purl.as_deref().and_then(Package::parse) else { return false };
    if let Some(other) = Package::parse(&asset.name) {
        return package.is_same_package(&other);
    }
    match package.kind.as_str() {
        "oci" | "docker" => {
            let may_be_image = asset.kind.as_deref().is_none_or(|kind| kind == IMAGE);
            may_be_image && image(&repository(&package)) == image(&asset.name)
        }
        // Repositories go by their place.
        "github" | "bitbucket" | "gitlab" => {
            let name = address(&asset.name);
            let at = name.split_once('/').filter(|(host, _)| host.contains('.')).map_or(name, |(_, at)| at);
            at.trim_end_matches(".git").eq_ignore_ascii_case(&package.path)
        }
        _ => package.name.eq_ignore_ascii_case(&asset.name),
    }
}

const IMAGE: &str = "container_image";

/// Where the image of a package URL is kept. A `repository_url` has the name in it, or is the
/// registry alone.
fn repository(package: &Package) -> String {
    let name = package.path.as_str();
    match package.qualifier("repository_url").map(address).map(|url| url.trim_end_matches('/')) {
        None | Some("") => name.to_owned(),
        Some(url) if url == name || url.ends_with(&format!("/{name}")) => url.to_owned(),
        Some(url) => format!("{url}/{name}"),
    }
}

/// `text` without a scheme in front.
fn address(text: &str) -> &str {
    text.split_once("://").map_or(text, |(_, rest)| rest)
}

/// The name of an image without tag and digest, and without what Docker adds to names by itself.
fn image(name: &str) -> String {
    let name = address(name.trim());
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let name = name[last..].find(':').map_or(name, |at| &name[..last + at]);
    let name = name.to_ascii_lowercase();
    let is_dockers = |host: &str| host.rsplit('.').take(2).eq(["io", "docker"]);
    let short = name.split_once('/').filter(|(host, _)| is_dockers(host)).map_or(&*name, |(_, path)| path);
    short.strip_prefix("library/").unwrap_or(short).to_owned()
}

/// The statements about some vulnerabilities, by project and the name of the vulnerability.
#[derive(Clone, Debug, Default)]
pub struct Statements(HashMap<(Uuid, String), Vec<Statement>>);

impl Statements {
    pub fn add(&mut self, project: Uuid, vulnerability: String, statement: Statement) {
        self.0.entry((project, vulnerability)).or_default().push(statement);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the statements make of a finding on `asset`, and by which series; `None`: nothing. The
    /// finding that was made of the statement that counts has heard of it from its own report.
    pub fn judge(&self, finding: &Finding, asset: &ReportedAsset) -> Option<(Uuid, layers::Statement)> {
        if self.is_empty() {
            return None;
        }
        let evidence = &finding.evidence;
        let place = Place {
            asset,
            name: evidence.component_name.as_deref(),
            version: evidence.component_version.as_deref(),
            purl: evidence.component_purl.as_deref(),
        };
        let names = finding.vulnerabilities();
        let said = names.into_iter().filter_map(|name| self.0.get(&(finding.project, name))).flatten();
        let last = last(said.filter(|one| one.said.is_about(&place)))?;
        let verdict = last.said.verdict.clone().filter(|_| last.key != finding.fingerprint)?;
        Some((last.series, layers::Statement::Judge(verdict)))
    }
}

/// The statement that counts: the one said last, of those said at once the closest, and of several
/// such one that excuses nothing.
pub fn last<'a>(said: impl Iterator<Item = &'a Statement>) -> Option<&'a Statement> {
    said.max_by_key(|one| {
        (one.said_at, one.said.closeness(), one.said.verdict.is_none(), one.series, one.key)
    })
}

#[cfg(test)]
mod tests;
