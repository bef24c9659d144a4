//! Any other report: a table of comma-separated values, JSON objects line by line, or a JSON array
//! of objects, with a mapping that says what they mean.

use std::io::BufRead;
use std::rc::Rc;

use crate::error::{Code, Error, Result};
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::guard::Guard;
use crate::intake::json::{Value, is_crowded};
use crate::intake::limits::{Limits, too_large};
use crate::intake::mapping::{Mapped, Mapping, SEVERITIES};
use crate::intake::members::{Members, say};
use crate::intake::notes::Notes;
use crate::intake::place::{Meter, Place};
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text::{self, EXCERPT};
use crate::vocabulary::terms::{FindingClass, Severity, Term};
use crate::vocabulary::time::Timestamp;

const COUNTING: &str = "Each row or object is an entry; rows whose cells are all empty are not. Entries of the \
     same identity are one finding: a table with a row for each CVE id of a check makes one finding with \
     all the ids.";
const IDENTITY: &str = "The values of the columns that the mapping names as `identity`. If it names none: the \
     scanner's reference, or else the title and the CVE ids; with the component's name, the file, the endpoint and the port.";
const ASSET: &str = "The column mapped to `asset`, or else the constant, or the asset that the caller names.";
const FIELDS: &[(&str, &str)] = &[
    ("any field of a finding", "the column or member that the mapping gives for it, or else its constant"),
    ("cve_ids", "every CVE id in the text"),
    ("cwe_ids", "a number or a CWE id, of each element of the list"),
    ("known_exploit, fix_available", "`true`, `yes`, `y` or `1`; `false`, `no`, `n` or `0`"),
    ("excerpt", "the row or object"),
];

pub const CSV: Entry = Entry {
    key: "CSV",
    label: "Comma-separated values, under a mapping",
    media_types: &["text/csv"],
    extensions: &["csv", "tsv"],
    scanner: "csv",
    counting: COUNTING,
    identity: IDENTITY,
    asset: ASSET,
    required: "A header row with every column that the mapping names; as many cells in each row as in the header; \
         a title or a reference in each row.",
    severities: SEVERITIES,
    fields: FIELDS,
    mapped: true,
    vex: None,
    sniff: |_| false,
    reader: |plan| reader(plan, Shape::Table),
};

pub const JSONL: Entry = Entry {
    key: "JSONL",
    label: "JSON lines, under a mapping",
    media_types: &["application/jsonl", "application/x-ndjson"],
    extensions: &["jsonl", "ndjson"],
    scanner: "jsonl",
    counting: COUNTING,
    identity: IDENTITY,
    asset: ASSET,
    required: "An object on each line that is not empty; a title or a reference in each.",
    severities: SEVERITIES,
    fields: FIELDS,
    mapped: true,
    vex: None,
    sniff: |_| false,
    reader: |plan| reader(plan, Shape::Lines),
};

pub const JSON: Entry = Entry {
    key: "JSON",
    label: "A JSON array of objects, under a mapping",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "json",
    counting: COUNTING,
    identity: IDENTITY,
    asset: ASSET,
    required: "An array of objects where the mapping's `items` points; a title or a reference in each.",
    severities: SEVERITIES,
    fields: FIELDS,
    mapped: true,
    vex: None,
    sniff: |_| false,
    reader: |plan| reader(plan, Shape::Array),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Table,
    Lines,
    Array,
}

#[derive(Clone)]
struct Tabular {
    shape: Shape,
    mapping: Mapping,
    asset: Option<String>,
    scanner: String,
}

fn reader(plan: &Plan<'_>, shape: Shape) -> Result<Box<dyn Reader>> {
    let entry = match shape {
        Shape::Table => &CSV,
        Shape::Lines => &JSONL,
        Shape::Array => &JSON,
    };
    let Some(mapping) = plan.mapping else {
        let message = format!("{} is read through a mapping: say what its columns mean.", entry.key);
        return Err(Error::new(Code::Required, message).at("mapping"));
    };
    mapping.validate(plan.asset).map_err(|error| error.at("mapping"))?;
    let scanner =
        mapping.scanner.as_deref().map_or(entry.scanner.to_owned(), |name| name.trim().to_lowercase());
    Ok(Box::new(Tabular { shape, mapping: mapping.clone(), asset: plan.asset.map(str::to_owned), scanner }))
}

impl Reader for Tabular {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        match self.shape {
            Shape::Table => self.table(source, emit)?,
            Shape::Lines => self.lines(source, emit)?,
            Shape::Array => self.array(source, emit)?,
        }
        Ok(Pass::Settled)
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: self.scanner.clone(), scanned_at: None }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Tabular {
    fn table(&self, source: Source, emit: Emit<'_>) -> Result<()> {
        let (meter, notes) = (source.meter(), Noting(source.notes()));
        let limits = source.limits().clone();
        let delimiter = self.mapping.delimiter.map_or_else(|| likely_delimiter(source.head()), |c| c as u8);
        let mut rows = ::csv::ReaderBuilder::new().delimiter(delimiter).from_reader(source.table(delimiter));
        meter.fence(limits.item);
        let header = rows.headers().map_err(|error| refuse(&meter, error))?.clone();
        if header.iter().all(|name| name.trim().is_empty()) {
            return Err(meter.malformed("there is no header row"));
        }
        header.iter().for_each(|name| notes.column(name.trim()));
        let columns = Columns::of(&self.mapping, &header)?;
        let mut row = ::csv::StringRecord::new();
        loop {
            meter.fence(limits.item);
            let uneven =
                |error: &::csv::Error| matches!(error.kind(), ::csv::ErrorKind::UnequalLengths { .. });
            match rows.read_record(&mut row) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if uneven(&error) => {
                    notes.sound(Err::<(), _>(refuse(&meter, error)))?;
                    continue;
                }
                Err(error) => return Err(refuse(&meter, error)),
            }
            if row.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            let place = row.position().map_or_else(
                || meter.place(),
                |position| Place { line: position.line(), column: 1, offset: position.byte() },
            );
            let cell = |at: Option<usize>| {
                at.and_then(|at| row.get(at)).map(str::trim).filter(|cell| !cell.is_empty())
            };
            let read = self.finding(
                &|field| cell(columns.of[usize::from(field.code())]).map(str::to_owned),
                &|number| cell(Some(columns.identity[number])).unwrap_or_default().to_owned(),
                &|what| place.malformed(what),
            );
            if let Some(mut reported) = notes.sound(read)? {
                reported.excerpt = Some(excerpt(&header, &row));
                emit(&self.scanner, reported)?;
            }
        }
    }

    fn lines(&self, source: Source, emit: Emit<'_>) -> Result<()> {
        let (meter, notes) = (source.meter(), Noting(source.notes()));
        let limits = source.limits().clone();
        let mut guard = source.lines();
        let mut line = Vec::new();
        loop {
            line.clear();
            let start = Place { line: meter.line(), column: 1, offset: meter.offset() };
            if !read_line(&mut guard, &mut line, &meter, &limits)? {
                return Ok(());
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if is_crowded(&line, &limits) {
                return Err(too_large(limits.over_values(), start));
            }
            let text = String::from_utf8_lossy(&line);
            let object = serde_json::from_str(&text).map_err(|error| {
                let column = error.column().max(1) as u64;
                let place = Place { column, offset: start.offset + column - 1, ..start };
                place.malformed(crate::intake::json::without_place(&error.to_string()))
            });
            if let Some(object) = notes.sound(object)? {
                self.object(&text, &object, &|what| start.malformed(what), &notes, emit)?;
            }
        }
    }

    fn array(&self, source: Source, emit: Emit<'_>) -> Result<()> {
        let (meter, notes) = (source.meter(), Noting(source.notes()));
        let items = self.mapping.items.clone().unwrap_or_default();
        let steps: Vec<String> =
            items.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
        let mut found = false;
        source.json(&mut |root| self.descend(root, &steps, &meter, &notes, &mut found, emit))?;
        if found {
            Ok(())
        } else {
            let message = format!("There is nothing at `{items}` in the report.");
            Err(Error::invalid("items", message).at("mapping"))
        }
    }

    /// Goes down to the array that `steps` lead to, and through its objects.
    fn descend(
        &self,
        value: Value<'_>,
        steps: &[String],
        meter: &Meter,
        notes: &Noting,
        found: &mut bool,
        emit: Emit<'_>,
    ) -> Result<()> {
        let Some((step, rest)) = steps.split_first() else {
            *found = true;
            return value.array(&mut |element| {
                let raw = element.raw()?;
                let object = raw.parse(meter)?;
                self.object(raw.text(), &object, &|what| meter.malformed(what), notes, emit)
            });
        };
        value.object(&mut |name, member| {
            if name == step { self.descend(member, rest, meter, notes, found, emit) } else { Ok(()) }
        })
    }

    fn object(
        &self,
        text: &str,
        object: &Members<'_>,
        fault: &dyn Fn(&str) -> Error,
        notes: &Noting,
        emit: Emit<'_>,
    ) -> Result<()> {
        let Members::Object(members) = object else {
            return notes.sound(Err(fault("an object was expected"))).map(|_: Option<()>| ());
        };
        members.iter().for_each(|(name, _)| notes.column(name));
        let read = self.finding(
            &|field| say(members, self.mapping.columns.get(&field)?, self.separator()),
            &|number| say(members, &self.mapping.identity[number], self.separator()).unwrap_or_default(),
            fault,
        );
        let Some(mut reported) = notes.sound(read)? else { return Ok(()) };
        reported.excerpt = Some(text::beginning(text, EXCERPT).to_owned());
        emit(&self.scanner, reported)
    }

    fn separator(&self) -> &str {
        self.mapping.list_separator.as_deref().unwrap_or(",")
    }

    /// The finding that one row or object describes.
    fn finding(
        &self,
        column: &dyn Fn(Mapped) -> Option<String>,
        identity: &dyn Fn(usize) -> String,
        fault: &dyn Fn(&str) -> Error,
    ) -> Result<Reported> {
        let text = |field| column(field).or_else(|| self.mapping.constants.get(&field).cloned());
        let list = |field| text(field).map(|cell| self.elements(&cell)).unwrap_or_default();
        let wrong = |field: Mapped, value: &str| {
            fault(&format!("`{}` is not a value of `{}`", text::beginning(value, 80), field.word()))
        };
        let number = |field| -> Result<Option<f64>> {
            let Some(value) = text(field) else { return Ok(None) };
            value
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Some)
                .ok_or_else(|| wrong(field, &value))
        };
        let whole = |field| -> Result<Option<u32>> {
            let Some(value) = text(field) else { return Ok(None) };
            value.parse().map(Some).map_err(|_| wrong(field, &value))
        };
        let truth = |field| -> Result<Option<bool>> {
            let Some(value) = text(field) else { return Ok(None) };
            match value.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "1" => Ok(Some(true)),
                "false" | "no" | "n" | "0" => Ok(Some(false)),
                _ => Err(wrong(field, &value)),
            }
        };
        let title = text(Mapped::Title);
        let reference = text(Mapped::Reference);
        let asset = text(Mapped::Asset)
            .or_else(|| self.asset.clone())
            .ok_or_else(|| fault("the row has no asset"))?;
        let severity = match text(Mapped::Severity) {
            None => Severity::Info,
            Some(word) => self.mapping.severity(&word).ok_or_else(|| {
                fault(&format!(
                    "the severity `{}` is not known: map it under `severities`",
                    text::beginning(&word, 80)
                ))
            })?,
        };
        let class = match text(Mapped::Class) {
            None => FindingClass::Vulnerability,
            Some(word) => FindingClass::parse(&word).ok_or_else(|| wrong(Mapped::Class, &word))?,
        };
        let first_seen_at = match text(Mapped::FirstSeenAt) {
            None => None,
            Some(value) => Some(self.time(&value).ok_or_else(|| wrong(Mapped::FirstSeenAt, &value))?),
        };
        let port = match whole(Mapped::Port)? {
            None | Some(0) => None,
            Some(port) => Some(u16::try_from(port).map_err(|_| wrong(Mapped::Port, &port.to_string()))?),
        };
        let mut reported = Reported {
            asset: ReportedAsset { name: asset, kind: text(Mapped::AssetKind) },
            class,
            title: title
                .clone()
                .or_else(|| reference.clone())
                .ok_or_else(|| fault("the row has no title"))?,
            description: text(Mapped::Description),
            severity,
            scanner_category: text(Mapped::Category),
            vulnerability_type: text(Mapped::Type),
            cvss_score: number(Mapped::CvssScore)?,
            cvss_vector: text(Mapped::CvssVector),
            epss_score: number(Mapped::EpssScore)?,
            known_exploit: truth(Mapped::KnownExploit)?,
            cve_ids: text(Mapped::CveIds).map(|cell| text::cves(&cell)).unwrap_or_default(),
            cwe_ids: list(Mapped::CweIds).iter().filter_map(|cwe| text::cwe(cwe)).collect(),
            endpoint: text(Mapped::Endpoint),
            port,
            component_name: text(Mapped::ComponentName),
            component_version: text(Mapped::ComponentVersion),
            component_purl: text(Mapped::ComponentPurl),
            fixed_version: text(Mapped::FixedVersion),
            fix_available: truth(Mapped::FixAvailable)?,
            file_path: text(Mapped::FilePath),
            line: whole(Mapped::Line)?,
            references: list(Mapped::References),
            tags: list(Mapped::Tags),
            remediation: text(Mapped::Remediation),
            first_seen_at,
            ..Reported::default()
        };
        reported.identity = if self.mapping.identity.is_empty() {
            usual_identity(&reported, reference.as_deref(), title.as_deref())
        } else {
            (0..self.mapping.identity.len()).map(identity).collect()
        };
        reported.scanner_reference = reference;
        Ok(reported)
    }

    fn elements(&self, cell: &str) -> Vec<String> {
        let parts = cell.split('\n').flat_map(|line| line.split(self.separator()));
        parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn time(&self, value: &str) -> Option<Timestamp> {
        let Some(form) = &self.mapping.time_format else { return text::time(value) };
        let at = chrono::NaiveDateTime::parse_from_str(value, form).or_else(|_| {
            chrono::NaiveDate::parse_from_str(value, form).map(|day| day.and_time(chrono::NaiveTime::MIN))
        });
        Timestamp::of(at.ok()?.and_utc())
    }
}

fn usual_identity(reported: &Reported, reference: Option<&str>, title: Option<&str>) -> Vec<String> {
    let name = match reference {
        Some(reference) => vec![reference.to_owned()],
        None => vec![title.unwrap_or_default().to_owned(), reported.cve_ids.join(" ")],
    };
    let place = [&reported.component_name, &reported.file_path, &reported.endpoint];
    let port = reported.port.map(|port| port.to_string()).unwrap_or_default();
    name.into_iter().chain(place.map(|part| part.clone().unwrap_or_default())).chain([port]).collect()
}

/// What a dry run notes. In an import nothing is noted: the first fault ends it.
struct Noting(Option<Rc<Notes>>);

impl Noting {
    /// What was read of one entry; nothing, where a fault of it was noted.
    fn sound<T>(&self, read: Result<T>) -> Result<Option<T>> {
        match (read, &self.0) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(fault), Some(notes)) => notes.fault(fault).map(|()| None),
            (Err(fault), None) => Err(fault),
        }
    }

    fn column(&self, name: &str) {
        if let Some(notes) = &self.0 {
            notes.column(name);
        }
    }
}

/// Where in a row the fields are.
struct Columns {
    of: [Option<usize>; Mapped::ALL.len()],
    identity: Vec<usize>,
}

impl Columns {
    fn of(mapping: &Mapping, header: &::csv::StringRecord) -> Result<Self> {
        let find =
            |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name.trim()));
        let missing = |name: &str| {
            let there = header
                .iter()
                .take(50)
                .map(|column| text::beginning(column.trim(), 60))
                .collect::<Vec<_>>()
                .join(", ");
            format!("The table has no column `{name}`. It has: {there}.")
        };
        let mut of = [None; Mapped::ALL.len()];
        for (field, name) in &mapping.columns {
            let at = find(name)
                .ok_or_else(|| Error::invalid(field.word(), missing(name)).at("columns").at("mapping"))?;
            of[usize::from(field.code())] = Some(at);
        }
        let identity = mapping
            .identity
            .iter()
            .map(|name| find(name).ok_or_else(|| Error::invalid("identity", missing(name)).at("mapping")));
        Ok(Self { of, identity: identity.collect::<Result<_>>()? })
    }
}

/// The delimiter that the first line has most of.
fn likely_delimiter(head: &[u8]) -> u8 {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    let candidates = [b'|', b'\t', b';', b','];
    candidates.into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

/// What the reader of a table refuses, with its place.
pub(crate) fn refuse(meter: &Meter, error: ::csv::Error) -> Error {
    if let Some(ours) = meter.carried() {
        return ours;
    }
    let place = error.position().map_or_else(
        || meter.place(),
        |position| Place { line: position.line(), column: 1, offset: position.byte() },
    );
    place.malformed(match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} cells and the header {expected_len}")
        }
        ::csv::ErrorKind::Utf8 { .. } => "the bytes are not UTF-8".to_owned(),
        _ => error.to_string(),
    })
}

fn excerpt(header: &::csv::StringRecord, row: &::csv::StringRecord) -> String {
    let mut excerpt = String::new();
    for (name, cell) in header.iter().zip(row) {
        if excerpt.len() > EXCERPT {
            break;
        }
        if !cell.is_empty() {
            excerpt.push_str(name.trim());
            excerpt.push_str(": ");
            excerpt.push_str(text::beginning(cell, EXCERPT));
            excerpt.push('\n');
        }
    }
    excerpt
}

/// Reads one line, at most one item's bytes of it. Whether there was one.
pub(crate) fn read_line(
    guard: &mut Guard,
    line: &mut Vec<u8>,
    meter: &Meter,
    limits: &Limits,
) -> Result<bool> {
    meter.fence(limits.item);
    let read = guard
        .read_until(b'\n', line)
        .map_err(|error| meter.carried().unwrap_or_else(|| Error::internal(error)))?;
    meter.unfence();
    Ok(read > 0)
}
