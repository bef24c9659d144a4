//! Bytes on their way to a parser: counted, located, and held to the limits before the parser
//! can buffer them.

mod csv;
mod json;
mod xml;

use std::io::{self, BufRead, Read};
use std::rc::Rc;

pub use self::csv::CsvScan;
pub use self::json::JsonScan;
pub use self::xml::XmlScan;
use crate::error::Error;
use crate::intake::limits::{Limit, Limits, too_large};
use crate::intake::place::Meter;

const BLOCK: usize = 64 << 10;

/// What stops a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    TooLarge(Limit),
    Malformed(&'static str),
    Unreadable(String),
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(f, "more than {} {}", limit.value, limit.what),
            Self::Malformed(what) => f.write_str(what),
            Self::Unreadable(what) => f.write_str(what),
        }
    }
}

/// Readers below the guard that stop a reading say so through [`io::Error`].
impl std::error::Error for Breach {}

/// Looks over the bytes of one syntax, block by block.
pub trait Scan {
    /// The place in `block` of the first byte that goes over a limit, and the limit.
    fn scan(&mut self, block: &[u8]) -> Result<(), (usize, Breach)>;

    /// Called once at the end of the report.
    fn end(&mut self) -> Result<(), Breach> {
        Ok(())
    }
}

/// A reader that serves what its scanner has looked over.
pub struct Guard {
    inner: Box<dyn Read>,
    block: Box<[u8]>,
    at: usize,
    len: usize,
    left: u64,
    utf8: Utf8,
    scan: Box<dyn Scan>,
    /// A breach at the end of the block.
    pending: Option<Breach>,
    meter: Rc<Meter>,
    limits: Limits,
}

impl Guard {
    pub fn new(inner: Box<dyn Read>, scan: Box<dyn Scan>, meter: Rc<Meter>, limits: &Limits) -> Self {
        Self {
            inner,
            block: vec![0; BLOCK].into_boxed_slice(),
            at: 0,
            len: 0,
            left: limits.bytes,
            utf8: Utf8::default(),
            scan,
            pending: None,
            meter,
            limits: limits.clone(),
        }
    }

    fn fail(&self, breach: Breach) -> io::Error {
        self.meter.carry(self.error(breach));
        io::Error::other("the report was refused")
    }

    fn error(&self, breach: Breach) -> Error {
        match breach {
            Breach::TooLarge(limit) => too_large(limit, self.meter.place()),
            Breach::Malformed(what) => self.meter.malformed(what),
            Breach::Unreadable(what) => self.meter.malformed(what),
        }
    }

    /// Makes sure that there is a byte to serve, unless the report ends here.
    #[inline]
    fn fill(&mut self) -> io::Result<()> {
        if self.meter.is_past_fence() {
            return Err(self.fail(Breach::TooLarge(self.limits.over_item())));
        }
        if self.meter.is_past_piece() {
            return Err(self.fail(Breach::TooLarge(self.limits.over_text())));
        }
        if self.at < self.len { Ok(()) } else { self.refill() }
    }

    #[cold]
    fn refill(&mut self) -> io::Result<()> {
        if let Some(breach) = &self.pending {
            return Err(self.fail(breach.clone()));
        }
        let read = loop {
            match self.inner.read(&mut self.block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if let Some(breach) = breach(&error) => return Err(self.fail(breach)),
                Err(error) => {
                    self.meter.carry(Error::internal(error));
                    return Err(io::Error::other("the report cannot be read"));
                }
                Ok(read) => break read,
            }
        };
        self.at = 0;
        self.len = read;
        if read == 0 {
            let end = self.utf8.end().and_then(|()| self.scan.end());
            return end.map_err(|breach| self.fail(breach));
        }
        if read as u64 > self.left {
            self.len = usize::try_from(self.left).unwrap_or(read).min(read);
            self.pending = Some(Breach::TooLarge(self.limits.over_bytes()));
        }
        self.left -= self.len as u64;
        if let Err((len, breach)) = self.utf8.scan(&self.block[..self.len]) {
            self.len = len;
            self.pending = Some(breach);
        }
        if let Err((len, breach)) = self.scan.scan(&self.block[..self.len]) {
            self.len = len;
            self.pending = Some(breach);
        }
        if self.len == 0 { self.refill() } else { Ok(()) }
    }
}

/// What a reader below the guard says of the report, if the fault is the report's.
pub fn breach(error: &io::Error) -> Option<Breach> {
    let said = error.get_ref().and_then(|inner| inner.downcast_ref::<Breach>()).cloned();
    said.or_else(|| {
        (error.kind() == io::ErrorKind::InvalidData).then(|| Breach::Unreadable(error.to_string()))
    })
}

impl Read for Guard {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let count = into.len().min(self.len - self.at);
        let served = &self.block[self.at..self.at + count];
        into[..count].copy_from_slice(served);
        self.meter.advance(served);
        self.at += count;
        Ok(count)
    }
}

impl BufRead for Guard {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.block[self.at..self.len])
    }

    fn consume(&mut self, count: usize) {
        self.meter.advance(&self.block[self.at..self.at + count]);
        self.at += count;
    }
}

const NOT_UTF8: Breach = Breach::Malformed("the bytes are not UTF-8");

/// Checks that what streams by is UTF-8, characters across blocks included.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character whose rest is in the next block.
    begun: Vec<u8>,
}

impl Scan for Utf8 {
    fn scan(&mut self, block: &[u8]) -> Result<(), (usize, Breach)> {
        let mut at = 0;
        while !self.begun.is_empty() && at < block.len() {
            self.begun.push(block[at]);
            at += 1;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_some() => return Err((at - 1, NOT_UTF8)),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(&block[at..]) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err((at + error.valid_up_to(), NOT_UTF8)),
            Err(error) => {
                self.begun.extend_from_slice(&block[at + error.valid_up_to()..]);
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), Breach> {
        if self.begun.is_empty() { Ok(()) } else { Err(NOT_UTF8) }
    }
}
