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
}

/// A component as it is written, with what it is known by.
#[derive(Default)]
pub struct Written {
    pub reference: Option<String>,
    pub kind: Option<String>,
    pub component: Component,
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
}

impl Bom {
    pub fn add(&mut self, written: Written) {
        let Written { reference, component, .. } = written;
        let reference = reference.filter(|text| !text.trim().is_empty()).or_else(|| component.purl.clone());
        let Some(reference) = reference else { return };
        let texts = [&component.group, &component.version, &component.purl].into_iter().flatten();
        self.weight += reference.len() + component.name.len() + texts.map(String::len).sum::<usize>() + 200;
        self.components.insert(reference, component);
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
        let name =
            self.about.as_ref().map(Component::full_name).filter(|name| !matches!(name.as_str(), "" | "."));
        let kind = match self.kind.as_deref().map(str::trim) {
            Some("container") => Some("container_image".to_owned()),
            Some("file") => Some("filesystem".to_owned()),
            Some(kind) => Some(kind.replace('-', "_")),
            None => None,
        };
        match (name, by_caller) {
            (Some(name), _) => ReportedAsset { name, kind },
            (None, by_caller) => ReportedAsset { name: by_caller.unwrap_or_default().to_owned(), kind },
        }
    }

    /// What the bill is about as a product, and whether `subject` is another component of it.
    pub fn product(&self, subject: Option<&Subject>) -> (Product, bool) {
        let Some(about) = &self.about else { return (Product::default(), false) };
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
            return match package {
                Some(package) => Subject {
                    key: package.key,
                    name: package.name,
                    version: version.or(package.version),
                    purl: component.purl.clone(),
                },
                None => Subject { key: name.clone(), name, version, purl: None },
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
            },
            None => Subject {
                key: if bill.is_empty() { inside.to_owned() } else { format!("{bill}#{inside}") },
                name: inside.to_owned(),
                version: None,
                purl: None,
            },
        }
    }
}
