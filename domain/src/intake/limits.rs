//! What a report may not exceed. Each limit holds while the report streams by, before anything
//! of that size is in memory.

use crate::error::{Code, Error, Result};
use crate::intake::place::{Meter, Place};
use crate::intake::report::Reported;

/// The limits of one report. Sizes are bytes, after decoding to UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole report.
    pub bytes: u64,
    /// How many times larger a report may be than it is packed.
    pub ratio: u64,
    /// Files and folders in a ZIP archive.
    pub entries: usize,
    /// Files and folders in a feed's ZIP archive.
    pub records: usize,
    /// Objects and arrays, or elements, inside of each other.
    pub nesting: usize,
    /// One JSON string, one cell of a table, one tag of an XML document with its attributes.
    pub string: usize,
    /// One JSON number or word.
    pub number: usize,
    /// One run of text between XML tags. Larger than `string`: a Nessus policy lists the numbers
    /// of all plugins in one text.
    pub text: usize,
    /// One finding as the report writes it.
    pub item: u64,
    /// Values in one finding: what takes two bytes in a report takes a hundred in memory.
    pub values: usize,
    /// Findings in a report.
    pub items: u64,
    /// What is kept of one list of a finding (references, CVE ids, tags); the rest is left out.
    pub list: usize,
    /// Attributes of one XML element.
    pub attributes: usize,
    /// What a reader keeps in memory of the report: rules, artifacts, the names of assets.
    pub collected: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            ratio: 250,
            entries: 1_000,
            records: 750_000,
            nesting: 64,
            string: 1 << 20,
            number: 1_024,
            text: 8 << 20,
            item: 16 << 20,
            values: 250_000,
            items: 2_000_000,
            list: 1_000,
            attributes: 64,
            collected: 64 << 20,
        }
    }
}

/// The refusal of a report that goes over `limit` at `place`.
pub fn too_large(limit: Limit, place: Place) -> Error {
    let Limit { name, value, what } = limit;
    let message = match value {
        0 => format!("The report has {what} at line {}; none are allowed.", place.line),
        _ => format!("The report has more than {value} {what} at line {}.", place.line),
    };
    place.mark(Error::new(Code::ReportTooLarge, message).with("limit", name).with("value", value))
}

/// What a report comes to with all that it says once of many findings written out for each of them: the
/// text of a rule, the name of a product. Held to the bytes of a report, so that a small one cannot become
/// a huge one.
#[derive(Debug, Default)]
pub struct Spread(u64);

/// How often a finding says what the report says of it alone: in a field, a title, the identity, the excerpt.
const OWN: u64 = 4;

impl Spread {
    /// # Errors
    /// `REPORT_TOO_LARGE` where it is more than a report may have, beside what the report so far says itself.
    pub fn add(&mut self, reported: &Reported, limits: &Limits, meter: &Meter) -> Result<()> {
        self.0 += reported.weight() as u64;
        if self.0 > limits.bytes.saturating_add(OWN * meter.offset()) {
            return Err(too_large(limits.over_bytes(), meter.place()));
        }
        Ok(())
    }
}

/// A limit that was met: its name and value, and what there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: &'static str,
    pub value: u64,
    pub what: &'static str,
}

impl Limits {
    pub fn over_bytes(&self) -> Limit {
        Limit { name: "bytes", value: self.bytes, what: "bytes" }
    }

    pub fn over_ratio(&self) -> Limit {
        Limit { name: "ratio", value: self.ratio, what: "times the bytes that it has packed" }
    }

    pub fn over_entries(&self) -> Limit {
        Limit { name: "entries", value: self.entries as u64, what: "entries in its archive" }
    }

    pub fn over_nesting(&self) -> Limit {
        Limit { name: "nesting", value: self.nesting as u64, what: "levels of nesting" }
    }

    pub fn over_string(&self) -> Limit {
        Limit { name: "string", value: self.string as u64, what: "bytes in one string" }
    }

    pub fn over_number(&self) -> Limit {
        Limit { name: "number", value: self.number as u64, what: "characters in one number or word" }
    }

    pub fn over_text(&self) -> Limit {
        Limit { name: "text", value: self.text as u64, what: "bytes in one text" }
    }

    pub fn over_item(&self) -> Limit {
        Limit { name: "item", value: self.item, what: "bytes in one finding" }
    }

    pub fn over_values(&self) -> Limit {
        Limit { name: "values", value: self.values as u64, what: "values in one finding" }
    }

    pub fn over_items(&self) -> Limit {
        Limit { name: "items", value: self.items, what: "findings" }
    }

    pub fn over_attributes(&self) -> Limit {
        Limit { name: "attributes", value: self.attributes as u64, what: "attributes on one element" }
    }

    pub fn over_collected(&self) -> Limit {
        Limit { name: "collected", value: self.collected as u64, what: "bytes of rules and names" }
    }

    /// XML documents may not declare entities at all.
    pub fn over_entities() -> Limit {
        Limit { name: "entities", value: 0, what: "a document type that declares more than elements" }
    }
}
