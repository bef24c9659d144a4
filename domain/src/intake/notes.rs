//! What a dry run notes of a report, where an import would end at the first fault.

use std::cell::RefCell;

use indexmap::IndexSet;

use crate::error::{Error, Result};

/// The faults that are noted; the next one ends the reading.
const FAULTS: usize = 50;
/// The names of columns that are noted.
const COLUMNS: usize = 500;

/// Shared between a reading and who looks at it afterwards.
#[derive(Debug, Default)]
pub struct Notes {
    faults: RefCell<Vec<Error>>,
    columns: RefCell<IndexSet<String>>,
}

impl Notes {
    /// Notes the fault of one entry, so that the reading goes on behind it.
    ///
    /// # Errors
    /// The fault itself, when there are too many.
    pub fn fault(&self, fault: Error) -> Result<()> {
        let mut faults = self.faults.borrow_mut();
        if faults.len() == FAULTS {
            return Err(fault);
        }
        faults.push(fault);
        Ok(())
    }

    /// Notes that the report has a column, or a member, of this name.
    pub fn column(&self, name: &str) {
        let mut columns = self.columns.borrow_mut();
        if columns.len() < COLUMNS && !columns.contains(name) {
            columns.insert(name.to_owned());
        }
    }

    /// The faults, and the names of the columns in order of appearance.
    pub fn take(&self) -> (Vec<Error>, Vec<String>) {
        (self.faults.take(), self.columns.take().into_iter().collect())
    }
}
