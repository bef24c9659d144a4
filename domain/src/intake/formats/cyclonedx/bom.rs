//! What vulnerabilities refer to: the components of a bill of materials, and what it is about.

use std::collections::HashMap;

use crate::intake::late::Weight;
use crate::intake::package::Package;
use crate::intake::report::{Product, ReportedAsset};

#[derive(Clone, Debug, Default)]
pub struct Bom {
    /// What the bill is about, and its kind.
    pub about: Option<Component>,
    pub kind: Option<String>,
    pub tool: Option<String>,
    pub author: Option<String>,
    /// By their `bom-ref`.
    components: HashMap<String, Component>,
    pub weight: usize,
}

impl Weight for Bom {
    fn weight(&self) -> usize {
        self.weight
    }
}

#[derive(Clone, Debug, Default)]
pub struct Component {
    pub group: Option<String>,
    pub name: String,
    pub version: Option<String>,
    pub purl: Option<String>,
    place: Place,
}

/// Where a component stands among the others.
#[derive(Clone, Debug, Default)]
struct Place {
    kind: Option<String>,
    /// The reference of the component that it lies inside of.
    inside: Option<String>,
    /// Whether it lists components inside of it, be there any or not.
    assembled: bool,
}

/// A component as it is written, with what it is known by.
#[derive(Default)]
pub struct Written {
    pub reference: Option<String>,
    pub kind: Option<String>,
    pub component: Component,
    /// The references of those inside of it, where it lists any.
    pub parts: Option<Vec<String>>,
}

impl Component {
    pub fn full_name(&self) -> String {
        match self.group.as_deref().map(str::trim).filter(|group| !group.is_empty()) {
            Some(group) => format!("{group}/{}", self.name.trim()),
            None => self.name.trim().to_owned(),
        }
    }
}

/// What a vulnerability affects, in the words of a finding.
pub struct Subject {
    /// By what it is known in another report.
    pub key: String,
    pub name: String,
    pub version: Option<String>,
    pub purl: Option<String>,
    /// What it is part of, where components lie inside of others.
    whole: Option<Whole>,
}

/// A component that others lie inside of.
struct Whole {
    asset: ReportedAsset,
    purl: Option<String>,
    /// Whether it is another one than the subject.
    other: bool,
}

/// How many components lie around one that are looked at.
const CHAIN: usize = 8;

impl Bom {
    /// Learns of a component; returns what it is referred to by.
    pub fn add(&mut self, written: Written) -> Option<String> {
        let Written { reference, kind, mut component, parts } = written;
        let reference =
            reference.filter(|text| !text.trim().is_empty()).or_else(|| component.purl.clone())?;
        let texts = [&component.group, &component.version, &component.purl, &kind].into_iter().flatten();
        self.weight += reference.len() + component.name.len() + texts.map(String::len).sum::<usize>() + 250;
        component.place = Place { kind, inside: None, assembled: parts.is_some() };
        for part in parts.into_iter().flatten() {
            if let Some(part) = self.components.get_mut(&part) {
                self.weight += reference.len();
                part.place.inside = Some(reference.clone());
            }
        }
        self.components.insert(reference.clone(), component);
        Some(reference)
    }

    /// What the whole bill is about is also a component of it.
    pub fn is_about(&mut self, written: Written) {
        self.about = Some(written.component.clone());
        self.kind.clone_from(&written.kind);
        self.add(written);
    }

    /// A tool that made the bill. Those that only write CycloneDX say nothing of who found a vulnerability.
    pub fn made_by(&mut self, tool: &str) {
        let tool = tool.trim().to_lowercase();
        if self.tool.is_none() && !tool.is_empty() && !tool.contains("cyclonedx") {
            self.tool = Some(tool);
        }
    }

    pub fn asset(&self, by_caller: Option<&str>) -> ReportedAsset {
        let name = self.about_name();
        let kind = asset_kind(self.kind.as_deref());
        ReportedAsset { name: name.unwrap_or_else(|| by_caller.unwrap_or_default().to_owned()), kind }
    }

    fn about_name(&self) -> Option<String> {
        self.about.as_ref().map(Component::full_name).filter(|name| !matches!(name.as_str(), "" | "."))
    }

    /// The asset that `subject` is part of, where neither the bill nor the caller names one.
    pub fn asset_around(&self, subject: &Subject, by_caller: Option<&str>) -> Option<ReportedAsset> {
        let whole = subject.whole.as_ref().filter(|_| by_caller.is_none() && self.about_name().is_none())?;
        Some(whole.asset.clone())
    }

    /// What the bill is about as a product, and whether `subject` is another component of it. A bill that is about nothing, on an
    /// asset that nobody named, is of the components that others lie inside of.
    pub fn product(&self, subject: Option<&Subject>, by_caller: Option<&str>) -> (Product, bool) {
        let Some(about) = &self.about else {
            let whole = subject.and_then(|subject| subject.whole.as_ref()).filter(|_| by_caller.is_none());
            return whole.map_or_else(
                || (Product::default(), false),
                |whole| (Product { name: whole.asset.name.clone(), purl: whole.purl.clone() }, whole.other),
            );
        };
        let itself = |subject: &Subject| match (&subject.purl, &about.purl) {
            (Some(purl), Some(own)) => purl == own,
            _ => subject.name == about.full_name(),
        };
        let name = self.asset(None).name;
        (Product { name, purl: about.purl.clone() }, subject.is_some_and(|subject| !itself(subject)))
    }

    /// What `reference` points at.
    pub fn subject(&self, reference: &str) -> Subject {
        let reference = reference.trim();
        if let Some(component) = self.components.get(reference) {
            let package = component.purl.as_deref().and_then(Package::parse);
            let (name, version) = (component.full_name(), component.version.clone());
            let version = version.filter(|version| !version.trim().is_empty());
            let whole = self.whole(component);
            return match package {
                Some(package) => Subject {
                    key: package.key,
                    name: package.name,
                    version: version.or(package.version),
                    purl: component.purl.clone(),
                    whole,
                },
                None => Subject { key: name.clone(), name, version, purl: None, whole },
            };
        }
        // A component of another bill: urn:cdx:serial/version#reference. The version is of the bill.
        let linked = reference.strip_prefix("urn:cdx:").and_then(|rest| rest.split_once('#'));
        let (bill, inside) = linked
            .map_or(("", reference), |(bill, inside)| (bill.split('/').next().unwrap_or_default(), inside));
        match Package::parse(inside) {
            Some(package) => Subject {
                key: package.key,
                name: package.name,
                version: package.version,
                purl: Some(inside.to_owned()),
                whole: None,
            },
            None => Subject {
                key: if bill.is_empty() { inside.to_owned() } else { format!("{bill}#{inside}") },
                name: inside.to_owned(),
                version: None,
                purl: None,
                whole: None,
            },
        }
    }

    /// The outermost component around `component`, or itself if it has a list of its own.
    fn whole(&self, component: &Component) -> Option<Whole> {
        let around = |component: &Component| self.components.get(component.place.inside.as_ref()?);
        let outermost = std::iter::successors(Some(component), |inner| around(inner)).take(CHAIN).last()?;
        let other = !std::ptr::eq(outermost, component);
        (other || component.place.assembled).then(|| Whole {
            asset: ReportedAsset {
                name: outermost.full_name(),
                kind: asset_kind(outermost.place.kind.as_deref()),
            },
            purl: outermost.purl.clone(),
            other,
        })
    }
}

/// The kind of a component as the kind of an asset.
fn asset_kind(kind: Option<&str>) -> Option<String> {
    match kind.map(str::trim)? {
        "container" => Some("container_image".to_owned()),
        "file" => Some("filesystem".to_owned()),
        kind => Some(kind.replace('-', "_")),
    }
}
