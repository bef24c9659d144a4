//! An uploaded report on disk, opened for one reading.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use quick_xml::encoding::DecodingReader;
use quick_xml::events::Event;

use crate::error::{Error, Result};
use crate::intake::guard::{Breach, CsvScan, Guard, JsonScan, XmlScan, breach};
use crate::intake::json::{self, Value};
use crate::intake::limits::{Limits, too_large};
use crate::intake::notes::Notes;
use crate::intake::packing::{self, Wanted};
use crate::intake::place::Meter;
use crate::intake::xml::Xml;

/// How much of a report's beginning is looked at to tell its format.
pub const HEAD: usize = 64 << 10;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One reading of a report, unpacked and, where it is UTF-16, decoded. Offsets count after a byte order
/// mark, which is passed over.
pub struct Source {
    bytes: Box<dyn Read>,
    head: Vec<u8>,
    /// Whether the bytes are UTF-8 already, whatever the report itself declares.
    decoded: bool,
    limits: Limits,
    meter: Rc<Meter>,
    /// Where a dry run gathers what is wrong with single entries.
    notes: Option<Rc<Notes>>,
}

impl Source {
    /// Opens the report.
    ///
    /// # Errors
    /// `REPORT_TOO_LARGE` for a file larger than a report may be, and those of
    /// [`packing::unpacked`].
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        Self::open_wanted(path, Wanted::One, limits)
    }

    /// Opens a feed's file: of an archive, each file that `is_wanted` by its name, one after the other.
    ///
    /// # Errors
    /// Those of [`Source::open`].
    pub fn open_all(path: &Path, is_wanted: fn(&str) -> bool, limits: &Limits) -> Result<Self> {
        Self::open_wanted(path, Wanted::Every(is_wanted), limits)
    }

    fn open_wanted(path: &Path, wanted: Wanted, limits: &Limits) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::internal)?;
        let meter = Rc::new(Meter::default());
        if file.metadata().map_err(Error::internal)?.len() > limits.bytes {
            return Err(too_large(limits.over_bytes(), meter.place()));
        }
        let mut magic = [0; packing::MAGIC];
        let len = read_up(&mut file, &mut magic).map_err(Error::internal)?;
        let spool = path.parent().unwrap_or(path);
        let mut bytes = packing::unpacked(file, &magic[..len], (wanted, spool), limits, &meter)?;
        let refused = |error: io::Error| match breach(&error) {
            Some(Breach::TooLarge(limit)) => too_large(limit, meter.place()),
            Some(breach) => meter.malformed(breach),
            None => Error::internal(error),
        };
        let mut head = vec![0; HEAD];
        let len = read_up(&mut *bytes, &mut head).map_err(&refused)?;
        head.truncate(len);
        let wide = wide(&head);
        if let Some(encoding) = wide {
            let begun = Cursor::new(std::mem::take(&mut head)).chain(bytes);
            let mut narrow = DecodingReader::new(BufReader::new(begun));
            narrow.set_encoding(encoding);
            bytes = Box::new(narrow);
            head.resize(HEAD, 0);
            let len = read_up(&mut *bytes, &mut head).map_err(&refused)?;
            head.truncate(len);
        }
        if head.starts_with(BOM) {
            head.drain(..BOM.len());
        }
        let bytes = Box::new(Cursor::new(head.clone()).chain(bytes));
        Ok(Self { bytes, head, decoded: wide.is_some(), limits: limits.clone(), meter, notes: None })
    }

    /// The beginning of a report as a text, for a dry run.
    pub fn sample(text: Rc<[u8]>, limits: &Limits, notes: Rc<Notes>) -> Self {
        let from = if text.starts_with(BOM) { BOM.len() } else { 0 };
        let head = text[from..text.len().min(HEAD)].to_vec();
        let mut bytes = Cursor::new(text);
        bytes.set_position(from as u64);
        let meter = Rc::new(Meter::default());
        let bytes = Box::new(bytes);
        Self { bytes, head, decoded: true, limits: limits.clone(), meter, notes: Some(notes) }
    }

    /// Where to note what is wrong with single entries; `None` where a fault ends the reading.
    pub fn notes(&self) -> Option<Rc<Notes>> {
        self.notes.clone()
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
        let guard = Guard::new(self.bytes, Box::new(scan), Rc::clone(&self.meter), &self.limits);
        json::walk(guard, &self.meter, &self.limits, each)
    }

    /// Walks the report as JSON values one after the other, of which there may be none.
    pub fn json_values(self, each: &mut dyn FnMut(Value<'_>) -> Result<()>) -> Result<()> {
        let scan = JsonScan::new(&self.limits);
        let guard = Guard::new(self.bytes, Box::new(scan), Rc::clone(&self.meter), &self.limits);
        json::walk_all(guard, &self.meter, &self.limits, each)
    }

    /// The report as a table of comma-separated values, or of values between other delimiters.
    pub fn table(self, delimiter: u8) -> Guard {
        let scan = CsvScan::new(&self.limits, delimiter);
        Guard::new(self.bytes, Box::new(scan), self.meter, &self.limits)
    }

    /// The report as lines of JSON.
    pub fn lines(self) -> Guard {
        let scan = JsonScan::new(&self.limits);
        Guard::new(self.bytes, Box::new(scan), self.meter, &self.limits)
    }

    /// Walks the report as an XML document, in the encoding that it declares.
    pub fn xml(
        self,
        root: &mut dyn FnMut(&mut Xml<'_>, &crate::intake::xml::Tag) -> Result<()>,
    ) -> Result<()> {
        let mut decoded = DecodingReader::new(BufReader::new(self.bytes));
        if !self.decoded
            && let Some(Event::Decl(declaration)) =
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
        Xml::new(guard, &self.meter, &self.limits).document(root)
    }
}

/// UTF-16, by its byte order mark or, as every format begins with an ASCII character, by the zero
/// beside that.
fn wide(head: &[u8]) -> Option<&'static Encoding> {
    match head {
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        [first, 0, _, 0, ..] if *first != 0 => Some(UTF_16LE),
        [0, second, 0, _, ..] if *second != 0 => Some(UTF_16BE),
        _ => None,
    }
}

/// Reads until `into` is full or there is no more.
fn read_up(bytes: &mut (impl Read + ?Sized), into: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < into.len() {
        match bytes.read(&mut into[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
