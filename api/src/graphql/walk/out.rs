//! The bytes that the walk writes, and the errors beside them.

use std::io::Write;

use async_graphql::parser::types::Field;
use async_graphql::{ContextSelectionSet, PathSegment, Pos, Positioned, QueryPathSegment, ServerError};

use super::plan::Step;

/// A value that could not be written where null cannot stand: what holds it is null in its place. Its
/// error has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

pub type Written = Result<(), Failed>;

/// An error, and the way to it from where it is held, its last part first. The error of a field has no
/// place in the document until it leaves the field.
#[derive(Debug)]
pub struct Fault {
    error: ServerError,
    path: Vec<PathSegment>,
}

impl Fault {
    fn leave(&mut self, pos: Pos, segment: PathSegment) {
        if self.error.locations.is_empty() {
            self.error.locations.push(pos);
        }
        self.path.push(segment);
    }

    /// The error with its whole path, where what was walked is the value of `field` in `ctx`.
    pub fn place(self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerError {
        let Self { mut error, path } = self;
        if error.locations.is_empty() {
            error.locations.push(field.pos);
        }
        let above = ctx.path_node.as_ref().map(|node| std::iter::once(node).chain(node.parents()));
        let above = above.into_iter().flatten().map(|node| match node.segment {
            QueryPathSegment::Index(at) => PathSegment::Index(at),
            QueryPathSegment::Name(name) => PathSegment::Field(name.to_owned()),
        });
        error.path = path.into_iter().chain(above).collect();
        error.path.reverse();
        error
    }
}

/// JSON that is being written, row by row where there are many.
#[derive(Default)]
pub struct Out {
    bytes: Vec<u8>,
    faults: Vec<Fault>,
    rows: Vec<End>,
}

/// Where a row ends.
struct End {
    bytes: usize,
    faults: usize,
    written: Written,
}

impl Out {
    /// Makes room for columns that will be taken into it, and for what stands around them.
    pub fn expect(&mut self, columns: &[Column]) {
        let bytes: usize = columns.iter().map(|column| column.bytes.len()).sum();
        self.bytes.reserve(bytes + bytes / 2);
    }

    pub fn null(&mut self) -> Written {
        self.raw(b"null")
    }

    /// Writes what is JSON already.
    pub fn raw(&mut self, json: &[u8]) -> Written {
        self.bytes.extend_from_slice(json);
        Ok(())
    }

    /// Writes by a function that appends JSON.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Written {
        write(&mut self.bytes);
        Ok(())
    }

    /// Writes as a text what shows itself by characters that JSON takes as they are.
    pub fn shown(&mut self, value: &impl std::fmt::Display) -> Written {
        self.append(|json| write!(json, "\"{value}\"").expect("bytes can be written to"))
    }

    pub fn text(&mut self, text: &str) -> Written {
        self.serialize(text)
    }

    /// Writes what has a JSON by itself.
    pub fn serialize(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Written {
        serde_json::to_writer(&mut self.bytes, value).expect("a value of an answer has a JSON");
        Ok(())
    }

    /// Tells of an error, and writes null in the place of the value, if it can stand there.
    pub fn fail(&mut self, error: ServerError, nullable: bool) -> Written {
        self.faults.push(Fault { error, path: Vec::new() });
        if nullable { self.null() } else { Err(Failed) }
    }

    /// Writes a value, or null in its place.
    pub fn or_null(&mut self, write: impl FnOnce(&mut Self) -> Written) -> Written {
        let start = self.bytes.len();
        write(self).or_else(|Failed| {
            self.bytes.truncate(start);
            self.null()
        })
    }

    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&T, &mut Self) -> Written) -> Written {
        let mut written = Ok(());
        self.bytes.push(b'[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            let told = self.faults.len();
            written = written.and(write(item, self));
            for fault in &mut self.faults[told..] {
                fault.path.push(PathSegment::Index(at));
            }
        }
        self.bytes.push(b']');
        written
    }

    pub fn object<'a>(
        &mut self,
        steps: &[Step<'a>],
        mut write: impl FnMut(&Step<'a>, &mut Self) -> Written,
    ) -> Written {
        let mut written = Ok(());
        self.bytes.push(b'{');
        for (at, step) in steps.iter().enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            self.bytes.push(b'"');
            self.bytes.extend_from_slice(step.key.as_bytes());
            self.bytes.extend_from_slice(b"\":");
            let told = self.faults.len();
            let field = write(step, self);
            written = written.and(field);
            for fault in &mut self.faults[told..] {
                fault.leave(step.field.pos, PathSegment::Field(step.key.to_owned()));
            }
        }
        self.bytes.push(b'}');
        written
    }

    /// Ends a row.
    pub fn end_row(&mut self, written: Written) {
        if written.is_err() {
            self.bytes.truncate(self.rows.last().map_or(0, |end| end.bytes));
        }
        self.rows.push(End { bytes: self.bytes.len(), faults: self.faults.len(), written });
    }
}

/// Encoded rows, to be taken one after the other.
#[derive(Default)]
pub struct Column {
    bytes: Vec<u8>,
    faults: std::vec::IntoIter<Fault>,
    rows: std::vec::IntoIter<End>,
    /// What has been taken.
    taken_bytes: usize,
    taken_faults: usize,
}

impl From<Out> for Column {
    fn from(out: Out) -> Self {
        Self {
            bytes: out.bytes,
            faults: out.faults.into_iter(),
            rows: out.rows.into_iter(),
            taken_bytes: 0,
            taken_faults: 0,
        }
    }
}

impl Column {
    /// Writes the next row.
    pub fn next(&mut self, out: &mut Out) -> Written {
        let End { bytes, faults, written } = self.rows.next().expect("a column has a row for each record");
        out.bytes.extend_from_slice(&self.bytes[self.taken_bytes..bytes]);
        out.faults.extend(self.faults.by_ref().take(faults - self.taken_faults));
        (self.taken_bytes, self.taken_faults) = (bytes, faults);
        written
    }

    /// The parts of a column of one row.
    pub fn into_row(mut self) -> (Written, Vec<u8>, Vec<Fault>) {
        let written = self.rows.next().map_or(Err(Failed), |end| end.written);
        (written, self.bytes, self.faults.collect())
    }
}
