//! What vulnerabilities refer to: the document that they are in, and its tree of products.

use std::collections::HashMap;

use serde::Deserialize;

use crate::error::Result;
use crate::intake::json::{Value, or_default};
use crate::intake::late::{Scope, Weight};
use crate::intake::limits::{Limits, too_large};
use crate::intake::package::Package;
use crate::intake::place::Meter;
use crate::intake::report::{Product as Named, ReportedAsset};
use crate::intake::text;
use crate::vocabulary::time::Timestamp;

#[derive(Clone, Debug, Default)]
pub struct Advisory {
    pub category: Option<String>,
    pub publisher: Option<String>,
    pub id: Option<String>,
    pub severity: Option<String>,
    products: HashMap<String, Product>,
    /// The groups of each product.
    groups: HashMap<String, Vec<String>>,
    weight: usize,
}

impl Weight for Advisory {
    fn weight(&self) -> usize {
        self.weight
    }
}

/// A product of the tree.
#[derive(Clone, Debug, Default)]
struct Product {
    name: String,
    vendor: Option<String>,
    product: Option<String>,
    version: Option<String>,
    /// Whether the version is a range of versions.
    ranged: bool,
    purl: Option<String>,
    /// The ids of a component, and of the product that it is a component of.
    relation: Option<(String, String)>,
}

/// A product in the words of a finding.
pub struct Subject {
    pub asset: ReportedAsset,
    /// The full name, or else the id.
    pub key: String,
    pub component: String,
    pub version: Option<String>,
    pub ranged: bool,
    pub purl: Option<String>,
    /// What it is at last a component of, and whether that is another product.
    pub product: Named,
    pub part: bool,
}

#[derive(Deserialize)]
struct FullName {
    product_id: String,
    name: Option<String>,
    #[serde(default, rename = "product_identification_helper", deserialize_with = "or_default")]
    helper: Helper,
}

#[derive(Default, Deserialize)]
struct Helper {
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Relationship {
    full_product_name: FullName,
    product_reference: String,
    relates_to_product_reference: String,
}

#[derive(Deserialize)]
struct ProductGroup {
    group_id: String,
    #[serde(default, deserialize_with = "or_default")]
    product_ids: Vec<String>,
}

impl FullName {
    fn product(self) -> (String, Product) {
        let name = self.name.filter(|name| !name.trim().is_empty());
        let name = name.unwrap_or_else(|| self.product_id.clone());
        (self.product_id, Product { name, purl: self.helper.purl, ..Product::default() })
    }
}

/// Products in order of the tree, each with its id.
type Listed = Vec<(String, Product)>;

fn weigh(id: &str, product: &Product) -> usize {
    let texts = [&product.vendor, &product.product, &product.version, &product.purl].into_iter().flatten();
    id.len() + product.name.len() + texts.map(String::len).sum::<usize>() + 256
}

pub fn document(
    value: Value<'_>,
    advisory: &mut Scope<Advisory>,
    version: &mut Option<String>,
    released: &mut Option<Timestamp>,
) -> Result<()> {
    value.object(&mut |name, value| {
        match name {
            "csaf_version" => *version = value.get()?,
            "category" => {
                let category = value.get()?;
                advisory.learn(|advisory| advisory.category = category);
            }
            "publisher" => value.object(&mut |name, value| {
                if name == "name" {
                    let publisher = value.get()?;
                    advisory.learn(|advisory| advisory.publisher = publisher);
                }
                Ok(())
            })?,
            "tracking" => value.object(&mut |name, value| {
                match name {
                    "id" => {
                        let id = value.get()?;
                        advisory.learn(|advisory| advisory.id = id);
                    }
                    "current_release_date" => {
                        *released = value.get::<Option<String>>()?.as_deref().and_then(text::time);
                    }
                    _ => {}
                }
                Ok(())
            })?,
            "aggregate_severity" => value.object(&mut |name, value| {
                if name == "text" {
                    let severity = value.get()?;
                    advisory.learn(|advisory| advisory.severity = severity);
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })
}

pub fn tree(value: Value<'_>, advisory: &mut Scope<Advisory>, limits: &Limits, meter: &Meter) -> Result<()> {
    let mut listed = Listed::new();
    let mut grouped: Vec<ProductGroup> = Vec::new();
    let mut weight = 0;
    let mut weigh_in = |bytes: usize| {
        weight += bytes;
        if weight > limits.collected {
            Err(too_large(limits.over_collected(), meter.place()))
        } else {
            Ok(())
        }
    };
    value.object(&mut |name, value| match name {
        "branches" => branches(value, &mut listed, &mut weigh_in),
        "full_product_names" => value.array(&mut |value| {
            let (id, product) = value.get::<FullName>()?.product();
            weigh_in(weigh(&id, &product))?;
            listed.push((id, product));
            Ok(())
        }),
        "relationships" => value.array(&mut |value| {
            let read: Relationship = value.get()?;
            let (id, mut product) = read.full_product_name.product();
            weigh_in(
                weigh(&id, &product) + read.product_reference.len() + read.relates_to_product_reference.len(),
            )?;
            product.relation = Some((read.product_reference, read.relates_to_product_reference));
            listed.push((id, product));
            Ok(())
        }),
        "product_groups" => value.array(&mut |value| {
            let group: ProductGroup = value.get()?;
            let of_ids = group.product_ids.iter().map(|id| id.len() + group.group_id.len() + 128);
            weigh_in(of_ids.sum())?;
            grouped.push(group);
            Ok(())
        }),
        _ => Ok(()),
    })?;
    advisory.learn(|advisory| {
        advisory.weight += weight;
        advisory.products.extend(listed);
        for group in grouped {
            for id in group.product_ids {
                advisory.groups.entry(id).or_default().push(group.group_id.clone());
            }
        }
    });
    Ok(())
}

/// Branches, inside of each other. What a branch is comes before or after what is in it, so its products are told when it ends.
fn branches(
    value: Value<'_>,
    listed: &mut Listed,
    weigh_in: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    value.array(&mut |branch| {
        let from = listed.len();
        let (mut category, mut name) = (None::<String>, None::<String>);
        branch.object(&mut |member, value| {
            match member {
                "branches" => branches(value, listed, weigh_in)?,
                "category" => category = value.get()?,
                "name" => name = value.get()?,
                "product" => {
                    let (id, product) = value.get::<FullName>()?.product();
                    weigh_in(weigh(&id, &product))?;
                    listed.push((id, product));
                }
                _ => {}
            }
            Ok(())
        })?;
        let Some(name) = name.filter(|name| !name.trim().is_empty()) else { return Ok(()) };
        for (_, product) in &mut listed[from..] {
            let field = match category.as_deref() {
                Some("vendor") => &mut product.vendor,
                Some("product_name") => &mut product.product,
                Some("product_version" | "product_version_range") => &mut product.version,
                _ => break,
            };
            if field.is_none() {
                weigh_in(name.len())?;
                *field = Some(name.clone());
                product.ranged |= category.as_deref() == Some("product_version_range");
            }
        }
        Ok(())
    })
}

impl Product {
    /// Vendor and product, or else the full name.
    fn without_version(&self) -> String {
        match (self.vendor.as_deref(), self.product.as_deref()) {
            (Some(vendor), Some(product)) if !product.starts_with(vendor) => format!("{vendor} {product}"),
            (_, Some(product)) => product.to_owned(),
            _ => self.name.clone(),
        }
    }
}

/// How many relationships are followed from a product to what it is at last a component of.
const CHAIN: usize = 8;

impl Advisory {
    /// The groups that a product is in.
    pub fn groups(&self, id: &str) -> &[String] {
        self.groups.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn subject(&self, id: &str, by_caller: Option<&str>) -> Subject {
        let unknown = || Product { name: id.to_owned(), ..Product::default() };
        let product = self.products.get(id).cloned().unwrap_or_else(unknown);
        let relation = product.relation.as_ref();
        let component = relation.and_then(|(component, _)| self.products.get(component)).unwrap_or(&product);
        let mut whole = &product;
        for _ in 0..CHAIN {
            let Some(next) = whole.relation.as_ref().and_then(|(_, whole)| self.products.get(whole)) else {
                break;
            };
            whole = next;
        }
        let purl = component.purl.clone().or_else(|| product.purl.clone());
        let package = purl.as_deref().and_then(Package::parse);
        let name = package.as_ref().map(|package| package.name.clone()).or_else(|| component.product.clone());
        let asset = match by_caller {
            Some(name) => ReportedAsset { name: name.to_owned(), kind: None },
            None => ReportedAsset { name: whole.without_version(), kind: Some("product".to_owned()) },
        };
        let own_version = package.and_then(|package| package.version);
        Subject {
            asset,
            ranged: own_version.is_none() && component.ranged,
            component: name.unwrap_or_else(|| component.name.clone()),
            version: own_version.or_else(|| component.version.clone()),
            purl,
            product: Named { name: whole.without_version(), purl: whole.purl.clone() },
            part: product.relation.is_some(),
            key: product.name.clone(),
        }
    }
}
