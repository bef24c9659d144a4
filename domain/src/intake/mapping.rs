//! How a caller says what the columns of a table, or the members of JSON objects, mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};
use crate::intake::text;
use crate::vocabulary::terms::{Severity, Term, terms};

terms! {
    /// What a column can be mapped to.
    Mapped {
        Asset = "asset", AssetKind = "asset_kind", Title = "title", Description = "description",
        Severity = "severity", Class = "class", Category = "scanner_category", Reference = "scanner_reference",
        Type = "vulnerability_type", CvssScore = "cvss_score", CvssVector = "cvss_vector",
        EpssScore = "epss_score", KnownExploit = "known_exploit", CveIds = "cve_ids", CweIds = "cwe_ids",
        Endpoint = "endpoint", Port = "port", ComponentName = "component_name",
        ComponentVersion = "component_version", ComponentPurl = "component_purl", FixedVersion = "fixed_version", FixAvailable = "fix_available",
        FilePath = "file_path", Line = "line", References = "references", Tags = "tags",
        Remediation = "remediation", FirstSeenAt = "first_seen_at",
    }
}

/// The mapping of one kind of report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mapping {
    /// Which column a field is read from: the name in the header row, ignoring ASCII case; for JSON
    /// the name of a member, or a JSON Pointer (`/cvss/score`).
    pub columns: BTreeMap<Mapped, String>,
    /// The value of a field whose column is empty, or that has none.
    pub constants: BTreeMap<Mapped, String>,
    /// The report's words for severities, beyond the usual ones.
    pub severities: BTreeMap<String, Severity>,
    /// What parts the elements of a list in one cell; `,` if not given. Lines always part them.
    pub list_separator: Option<String>,
    /// The columns by which a finding is known again. If not given: the scanner's reference, or
    /// else the title and the CVE ids; with component, file, endpoint and port.
    pub identity: Vec<String>,
    /// For JSON: a JSON Pointer to the array of findings; the whole document if not given.
    pub items: Option<String>,
    /// For CSV: what parts the cells; if not given, whichever of comma, semicolon, tab and bar the
    /// header row has most of.
    pub delimiter: Option<char>,
    /// How times are written, in the letters of strftime (`%d/%m/%Y`), where they are not RFC 3339.
    pub time_format: Option<String>,
    /// The scanner's name. It is part of every fingerprint.
    pub scanner: Option<String>,
}

impl Mapping {
    /// Whether the mapping says enough. `asset` is the caller's own default.
    ///
    /// # Errors
    /// `REQUIRED` and `INVALID`, with the member of the mapping at fault as the field.
    pub fn validate(&self, asset: Option<&str>) -> Result<()> {
        let given = |field| self.columns.contains_key(&field) || self.constants.contains_key(&field);
        if !given(Mapped::Title) && !given(Mapped::Reference) {
            return Err(required(
                "title",
                "Map a column to `title` or to `scanner_reference`: a finding needs a name.",
            ));
        }
        if !given(Mapped::Asset) && asset.is_none() {
            return Err(required("asset", "Map a column to `asset`, or name one asset for all findings."));
        }
        for (field, column) in &self.columns {
            if column.trim().is_empty() {
                return Err(Error::invalid(field.word(), "The name of the column is empty.").at("columns"));
            }
        }
        for (field, value) in &self.constants {
            let fault = match field {
                Mapped::Severity => self.severity(value).is_none(),
                Mapped::Class => crate::vocabulary::terms::FindingClass::parse(value).is_none(),
                Mapped::Port => value.parse::<u16>().is_err(),
                Mapped::Line => value.parse::<u32>().is_err(),
                _ => value.trim().is_empty(),
            };
            if fault {
                let message = format!("`{value}` is not a value of `{}`.", field.word());
                return Err(Error::invalid(field.word(), message).at("constants"));
            }
        }
        if self.list_separator.as_deref() == Some("") {
            return Err(Error::invalid("listSeparator", "The separator is empty."));
        }
        if let Some(delimiter) = self.delimiter
            && (!delimiter.is_ascii() || matches!(delimiter, '"' | '\n' | '\r'))
        {
            return Err(Error::invalid(
                "delimiter",
                "The delimiter is one ASCII character, and no quote or line end.",
            ));
        }
        if let Some(items) = &self.items
            && !items.is_empty()
            && !items.starts_with('/')
        {
            return Err(Error::invalid("items", "This is a JSON Pointer: it begins with `/`, or is empty."));
        }
        if let Some(form) = &self.time_format
            && chrono::format::StrftimeItems::new(form).any(|item| item == chrono::format::Item::Error)
        {
            return Err(Error::invalid("timeFormat", "This is not a strftime format, like `%d/%m/%Y`."));
        }
        if self.scanner.as_deref().is_some_and(|name| name.trim().is_empty()) {
            return Err(Error::invalid("scanner", "The scanner's name is empty."));
        }
        Ok(())
    }

    /// Whether the column, or the member of an object, of this name is read.
    pub fn uses(&self, name: &str) -> bool {
        let name = name.trim();
        self.columns.values().chain(&self.identity).any(|column| match column.strip_prefix('/') {
            Some(way) => {
                way.split('/').next().is_some_and(|step| step.replace("~1", "/").replace("~0", "~") == name)
            }
            None => column.trim().eq_ignore_ascii_case(name),
        })
    }

    /// The severity that a word of the report means: by the mapping, or else by [`SEVERITIES`].
    pub fn severity(&self, word: &str) -> Option<Severity> {
        let word = word.trim();
        let mapped = self.severities.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(word));
        mapped.map(|(_, severity)| *severity).or_else(|| text::severity(word, SEVERITIES))
    }
}

fn required(field: &str, message: &str) -> Error {
    Error::new(Code::Required, message).at(field).at("columns")
}

/// The words for severities that need no mapping.
pub const SEVERITIES: &[(&str, &str)] = &[
    ("info, informational, information, none, note, negligible, unknown, undefined, log", "info"),
    ("low, minor", "low"),
    ("medium, moderate, warning, warn", "medium"),
    ("high, major, important, error, serious", "high"),
    ("critical, severe, blocker", "critical"),
    ("urgent", "urgent"),
];
