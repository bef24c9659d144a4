//! An uploaded report on disk, opened for one reading.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use quick_xml::encoding::DecodingReader;
use quick_xml::events::Event;

use crate::error::{Code, Error, Result};
use crate::intake::guard::{CsvScan, Guard, JsonScan, XmlScan};
use crate::intake::json::{self, Value};
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::Meter;
use crate::intake::xml::Xml;

/// How much of a report's beginning is looked at to tell its format.
pub const HEAD: usize = 64 << 10;

/// What other kinds of file begin with, so that the refusal can name them.
const FOREIGN: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
];

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One reading of a report. Offsets count after a UTF-8 byte order mark, which is passed over.
pub struct Source {
    file: File,
    head: Vec<u8>,
    limits: Limits,
    meter: Rc<Meter>,
}

impl Source {
    /// Opens the report.
    ///
    /// # Errors
    /// `REPORT_UNKNOWN` for an archive or a compressed file: these have to be unpacked first;
    /// `REPORT_TOO_LARGE` for a file larger than a report may be.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::internal)?;
        let mut head = Vec::new();
        file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(Error::internal)?;
        if let Some((_, kind)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
            let message =
                format!("The file is packed ({kind}). Reports are read unpacked: upload what is inside.");
            return Err(Error::new(Code::ReportUnknown, message));
        }
        let meter = Rc::new(Meter::default());
        if file.metadata().map_err(Error::internal)?.len() > limits.bytes {
            return Err(too_large(limits.over_bytes(), meter.place()));
        }
        let skip = if head.starts_with(BOM) { BOM.len() } else { 0 };
        head.drain(..skip);
        file.seek(SeekFrom::Start(skip as u64)).map_err(Error::internal)?;
        Ok(Self { file, head, limits: limits.clone(), meter })
    }

    /// The first bytes of the report, at most [`HEAD`].
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    pub fn meter(&self) -> Rc<Meter> {
        Rc::clone(&self.meter)
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Walks the report as one JSON value.
    pub fn json(self, each: &mut dyn FnMut(Value<'_>) -> Result<()>) -> Result<()> {
        let scan = JsonScan::new(&self.limits);
        let guard = Guard::new(Box::new(self.file), Box::new(scan), Rc::clone(&self.meter), &self.limits);
        json::walk(guard, &self.meter, &self.limits, each)
    }

    /// Walks the report as JSON values one after the other, of which there may be none.
    pub fn json_values(self, each: &mut dyn FnMut(Value<'_>) -> Result<()>) -> Result<()> {
        let scan = JsonScan::new(&self.limits);
        let guard = Guard::new(Box::new(self.file), Box::new(scan), Rc::clone(&self.meter), &self.limits);
        json::walk_all(guard, &self.meter, &self.limits, each)
    }

    /// The report as a table of comma-separated values, or of values between other delimiters.
    pub fn table(self, delimiter: u8) -> Guard {
        let scan = CsvScan::new(&self.limits, delimiter);
        Guard::new(Box::new(self.file), Box::new(scan), self.meter, &self.limits)
    }

    /// The report as lines of JSON.
    pub fn lines(self) -> Guard {
        let scan = JsonScan::new(&self.limits);
        Guard::new(Box::new(self.file), Box::new(scan), self.meter, &self.limits)
    }

    /// Walks the report as an XML document, in the encoding that it declares.
    pub fn xml(
        self,
        root: &mut dyn FnMut(&mut Xml<'_>, &crate::intake::xml::Tag) -> Result<()>,
    ) -> Result<()> {
        let mut decoded = DecodingReader::new(BufReader::new(self.file));
        if let Some(Event::Decl(declaration)) =
            quick_xml::Reader::from_reader(&self.head[..]).read_event_into(&mut Vec::new()).ok()
            && declaration.encoding().is_some()
        {
            match declaration.encoder() {
                Some(encoding) => decoded.set_encoding(encoding),
                None => return Err(self.meter.malformed("the encoding that it declares is not known")),
            }
        }
        let scan = XmlScan::new(&self.limits);
        let guard = Guard::new(Box::new(decoded), Box::new(scan), Rc::clone(&self.meter), &self.limits);
        Xml::new(guard, &self.meter).document(root)
    }
}
