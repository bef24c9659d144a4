//! What feeds say of CVEs, and the statements that follow for a finding that names them. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::feed::Feed;
use super::vex::Statements;
use crate::finding::layers::{Layers, Scalar, ScalarField, SetField, Source, Statement};
use crate::intake::cvss;
use crate::vocabulary::time::Timestamp;

/// How many references and CWE ids are kept of one CVE.
pub const LIST: usize = 50;

/// What one feed says of one CVE. It is kept as its JSON text, and has changed when that has: a
/// score by any digit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fact {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exploited: Option<Exploited>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epss: Option<Epss>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cwes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

/// It is listed as exploited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exploited {
    pub due: Option<Timestamp>,
    pub ransomware: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epss {
    pub score: f64,
    pub percentile: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cvss {
    pub score: f64,
    pub vector: Option<String>,
}

impl Cvss {
    /// A score with its vector; computed from that where the number is missing or none.
    pub fn of(score: Option<f64>, vector: Option<&str>) -> Option<Self> {
        let vector = vector.map(str::trim).filter(|vector| !vector.is_empty() && vector.len() <= 500);
        let score = score.filter(|score| (0.0..=10.0).contains(score));
        let score = score.or_else(|| cvss::score(vector?))?;
        Some(Self { score, vector: vector.map(str::to_owned) })
    }
}

impl Fact {
    /// Brings lists into their form: sorted, without doubles, not too long.
    pub fn tidy(mut self) -> Self {
        for list in [&mut self.cwes, &mut self.references] {
            let mut seen = BTreeSet::new();
            list.retain(|element| {
                !element.is_empty() && element.len() <= 2_048 && seen.insert(element.clone())
            });
            list.truncate(LIST);
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("facts encode")
    }
}

/// What is known of some CVEs, by feed: a company's own word takes the place of the global one.
#[derive(Clone, Debug, Default)]
pub struct Known {
    facts: HashMap<String, BTreeMap<Feed, Fact>>,
    /// What VEX documents say of them.
    pub(crate) vex: Statements,
}

impl Known {
    /// Adds a fact, in the place of what the feed said of the CVE before.
    pub fn add(&mut self, cve: String, feed: Feed, fact: Fact) {
        self.facts.entry(cve).or_default().insert(feed, fact);
    }

    /// The facts of the CVEs that a finding shows.
    fn of<'a>(&'a self, cves: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (Feed, &'a Fact)> {
        cves.filter_map(|cve| self.facts.get(cve)).flatten().map(|(feed, fact)| (*feed, fact))
    }

    /// All that the feeds say of a finding, in the order of its fields.
    pub fn statements(&self, layers: &Layers) -> Vec<(Uuid, Statement)> {
        let mut said = Vec::new();
        if self.facts.is_empty() {
            return said;
        }
        let mut exploited: Option<(Feed, Exploited)> = None;
        let mut epss: Option<(Feed, &Epss)> = None;
        for (feed, fact) in self.of(layers.set(SetField::CveIds)) {
            if let Some(one) = &fact.exploited {
                let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| a.into_iter().chain(b).min();
                exploited = Some(match exploited {
                    None => (feed, one.clone()),
                    Some((feed, all)) => {
                        let due = earlier(all.due, one.due);
                        (feed, Exploited { due, ransomware: all.ransomware || one.ransomware })
                    }
                });
            }
            if let Some(one) = &fact.epss
                && epss.is_none_or(|(_, highest)| one.score > highest.score)
            {
                epss = Some((feed, one));
            }
        }
        let mut set = |feed: Feed, field, value| said.push((feed.id(), Statement::Set(field, Some(value))));
        if let Some((feed, cvss)) = self.cvss(layers) {
            if !layers.scanned(ScalarField::CvssScore) {
                set(feed, ScalarField::CvssScore, Scalar::Number(cvss.score));
            }
            if let Some(vector) = &cvss.vector {
                set(feed, ScalarField::CvssVector, Scalar::Text(vector.clone()));
            }
        }
        if let Some((feed, epss)) = epss {
            set(feed, ScalarField::EpssScore, Scalar::Number(epss.score));
            if let Some(percentile) = epss.percentile {
                set(feed, ScalarField::EpssPercentile, Scalar::Number(percentile));
            }
        }
        if let Some((feed, exploited)) = exploited {
            set(feed, ScalarField::KnownExploit, Scalar::Flag(true));
            if let Some(due) = exploited.due {
                set(feed, ScalarField::KevDueAt, Scalar::Time(due));
            }
            set(feed, ScalarField::RansomwareUse, Scalar::Flag(exploited.ransomware));
        }
        if !layers.scanned_set(SetField::CweIds) {
            said.extend(
                self.elements(layers, |fact| &fact.cwes).into_iter().map(|(cwe, feed)| {
                    (feed.id(), Statement::Element(SetField::CweIds, cwe.to_owned(), true))
                }),
            );
        }
        said
    }

    /// The worst CVSS score of the CVEs, by the feed that is asked first, where the scanner left
    /// something open. Under a score of the scanner's only a vector of that score fits.
    fn cvss(&self, layers: &Layers) -> Option<(Feed, &Cvss)> {
        if layers.scanned(ScalarField::CvssVector) {
            return None;
        }
        let given = layers.stack(ScalarField::CvssScore).iter().find(|entry| entry.source == Source::SCANNER);
        let given = match given.and_then(|entry| entry.value.as_ref()) {
            Some(Scalar::Number(score)) => Some(*score),
            _ => None,
        };
        let mut worst: Option<(Feed, &Cvss)> = None;
        for cve in layers.set(SetField::CveIds).filter_map(|cve| self.facts.get(cve)) {
            let one = TRUSTED.iter().find_map(|feed| Some((*feed, cve.get(feed)?.cvss.as_ref()?)));
            let fits = |cvss: &Cvss| given.is_none_or(|score| score == cvss.score);
            if let Some((feed, one)) = one.filter(|(_, one)| fits(one))
                && worst.is_none_or(|(_, worst)| one.score > worst.score)
            {
                worst = Some((feed, one));
            }
        }
        worst
    }

    /// The elements of a list of the CVEs, each by the feed that is asked first and has any for it.
    fn elements<'a>(
        &'a self,
        layers: &'a Layers,
        list: impl Fn(&'a Fact) -> &'a Vec<String>,
    ) -> BTreeMap<&'a str, Feed> {
        let mut elements = BTreeMap::new();
        for cve in layers.set(SetField::CveIds).filter_map(|cve| self.facts.get(cve)) {
            let said = TRUSTED.iter().find_map(|feed| {
                let list = list(cve.get(feed)?);
                (!list.is_empty()).then_some((*feed, list))
            });
            if let Some((feed, list)) = said {
                elements.extend(list.iter().map(|element| (element.as_str(), feed)));
            }
        }
        elements
    }

    /// Where to read more about the CVEs of a finding.
    pub fn references(&self, cves: &[String]) -> Vec<String> {
        let mut references = Vec::new();
        for cve in cves.iter().filter_map(|cve| self.facts.get(cve)) {
            let said =
                TRUSTED.iter().filter_map(|feed| cve.get(feed)).find(|fact| !fact.references.is_empty());
            references.extend(said.into_iter().flat_map(|fact| fact.references.iter().cloned()));
        }
        let mut seen = BTreeSet::new();
        references.retain(|reference| seen.insert(reference.clone()));
        references
    }
}

/// Whose word on a CVE's nature is taken, the first that has one.
const TRUSTED: [Feed; 2] = [Feed::Nvd, Feed::Cve];
