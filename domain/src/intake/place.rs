//! Where in a report the reader is, and errors that say so.

use std::cell::{Cell, RefCell};
use std::fmt::Write;

use memchr::memrchr;

use crate::error::{Code, Error};

/// A place in a report: line and column count from 1, the offset from 0; in bytes, after decoding
/// to UTF-8 and without a byte order mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: u64,
    pub column: u64,
    pub offset: u64,
}

impl Place {
    /// `error` with this place in its details.
    pub fn mark(self, error: Error) -> Error {
        error.with("line", self.line).with("column", self.column).with("offset", self.offset)
    }

    /// The refusal of a report that is malformed here.
    pub fn malformed(self, what: impl std::fmt::Display) -> Error {
        let message =
            format!("The report is malformed at line {}, column {}: {what}.", self.line, self.column);
        self.mark(Error::new(Code::ReportMalformed, message))
    }
}

impl Place {
    /// The place of a line and column, counted from 1, of `text`, which begins here.
    pub fn further(self, text: &str, line: usize, column: usize) -> Self {
        let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let (lines, columns) = (line.saturating_sub(1) as u64, column.saturating_sub(1) as u64);
        let first = if lines == 0 { self.column } else { 1 };
        Self {
            line: self.line + lines,
            column: first + columns,
            offset: self.offset + before as u64 + columns,
        }
    }
}

/// How far a reading has come. Shared between the guard that serves the bytes and the reader that
/// makes sense of them.
#[derive(Debug)]
pub struct Meter {
    offset: Cell<u64>,
    line: Cell<u64>,
    line_start: Cell<u64>,
    fence: Cell<u64>,
    piece: Cell<u64>,
    /// An error on its way through a library that can only carry its own.
    carried: RefCell<Option<Error>>,
    path: RefCell<Vec<Step>>,
}

#[derive(Debug)]
enum Step {
    Name(String),
    Index(u64),
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            offset: Cell::new(0),
            line: Cell::new(1),
            line_start: Cell::new(0),
            fence: Cell::new(u64::MAX),
            piece: Cell::new(u64::MAX),
            carried: RefCell::new(None),
            path: RefCell::new(Vec::new()),
        }
    }
}

impl Meter {
    pub fn offset(&self) -> u64 {
        self.offset.get()
    }

    /// The line that the next byte is on.
    pub fn line(&self) -> u64 {
        self.line.get()
    }

    /// The place of the byte that was served last.
    pub fn place(&self) -> Place {
        let offset = self.offset.get();
        Place {
            line: self.line.get(),
            column: (offset - self.line_start.get()).max(1),
            offset: offset.saturating_sub(1),
        }
    }

    /// The place of the byte that is served next.
    pub fn next_place(&self) -> Place {
        let offset = self.offset.get();
        Place { line: self.line.get(), column: offset - self.line_start.get() + 1, offset }
    }

    /// Counts `served` as read.
    pub fn advance(&self, served: &[u8]) {
        let from = self.offset.get();
        self.offset.set(from + served.len() as u64);
        if let Some(last) = memrchr(b'\n', served) {
            let lines = memchr::memchr_iter(b'\n', served).count() as u64;
            self.line.set(self.line.get() + lines);
            self.line_start.set(from + last as u64 + 1);
        }
    }

    /// Lets at most `bytes` more be served until [`Meter::unfence`]: the bound of one item.
    pub fn fence(&self, bytes: u64) {
        self.fence.set(self.offset.get().saturating_add(bytes));
    }

    pub fn unfence(&self) {
        self.fence.set(u64::MAX);
    }

    pub fn is_past_fence(&self) -> bool {
        self.offset.get() >= self.fence.get()
    }

    /// Lets at most `bytes` more be served until this is called again: the bound of what a parser
    /// takes in one piece.
    pub fn fence_piece(&self, bytes: u64) {
        self.piece.set(self.offset.get().saturating_add(bytes));
    }

    pub fn is_past_piece(&self) -> bool {
        self.offset.get() >= self.piece.get()
    }

    /// Keeps an error until the library in between has returned its own.
    pub fn carry(&self, error: Error) {
        self.carried.borrow_mut().get_or_insert(error);
    }

    pub fn carried(&self) -> Option<Error> {
        self.carried.borrow_mut().take()
    }

    pub fn enter(&self, name: &str) {
        self.path.borrow_mut().push(Step::Name(name.to_owned()));
    }

    pub fn enter_index(&self, index: u64) {
        self.path.borrow_mut().push(Step::Index(index));
    }

    /// Leaves the member or element entered last. Not called on the way of an error, so that the
    /// path goes on pointing at it.
    pub fn leave(&self) {
        self.path.borrow_mut().pop();
    }

    /// The way from the root to here, as a JSON Pointer.
    pub fn path(&self) -> String {
        self.path.borrow().iter().fold(String::new(), |mut path, step| {
            match step {
                Step::Name(name) => {
                    path.push('/');
                    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                }
                Step::Index(index) => write!(path, "/{index}").expect("writing to a string does not fail"),
            }
            path
        })
    }

    /// The refusal of a report that is malformed where the reading stands.
    pub fn malformed(&self, what: impl std::fmt::Display) -> Error {
        self.malformed_at(self.place(), what)
    }

    /// The refusal of a report that is malformed at `place`, inside of where the reading stands.
    pub fn malformed_at(&self, place: Place, what: impl std::fmt::Display) -> Error {
        let error = place.malformed(what);
        match self.path() {
            path if path.is_empty() => error,
            path => error.with("path", path),
        }
    }
}
