//! What findings refer to, where a report may write it after them: the name of an artifact, the
//! rules of a tool. Where that happens the report is gone through once more, with all of it known.

use std::collections::HashMap;

use crate::error::Result;
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::Meter;

/// The scopes of one kind in a report (its runs, its results), in order of appearance.
#[derive(Clone, Debug, Default)]
pub struct Late<T> {
    kept: HashMap<u64, T>,
    begun: u64,
    weight: usize,
    again: bool,
}

/// One scope, while it streams by.
#[derive(Debug)]
pub struct Scope<T> {
    number: u64,
    known: T,
    /// All of it is known from before.
    complete: bool,
    used: bool,
    late: bool,
}

/// About how many bytes a value takes in memory.
pub trait Weight {
    fn weight(&self) -> usize;
}

impl<T: Clone + Default + Weight> Late<T> {
    /// To be called before each pass over the report.
    pub fn rewind(&mut self) {
        self.begun = 0;
        self.again = false;
    }

    pub fn begin(&mut self) -> Scope<T> {
        let number = self.begun;
        self.begun += 1;
        let kept = self.kept.get(&number);
        Scope {
            number,
            complete: kept.is_some(),
            known: kept.cloned().unwrap_or_default(),
            used: false,
            late: false,
        }
    }

    /// Ends a scope; what was known too late in it is kept for the next pass.
    ///
    /// # Errors
    /// `REPORT_TOO_LARGE` where more is kept than [`Limits::collected`].
    pub fn end(&mut self, scope: Scope<T>, limits: &Limits, meter: &Meter) -> Result<()> {
        if scope.late {
            self.again = true;
            self.weight += scope.known.weight();
            if self.weight > limits.collected {
                return Err(too_large(limits.over_collected(), meter.place()));
            }
            self.kept.insert(scope.number, scope.known);
        }
        Ok(())
    }

    /// Whether findings of this pass were read before what they refer to.
    pub fn again(&self) -> bool {
        self.again
    }
}

impl<T> Scope<T> {
    /// Adds to what is known.
    pub fn learn(&mut self, learn: impl FnOnce(&mut T)) {
        if !self.complete {
            self.late |= self.used;
            learn(&mut self.known);
        }
    }

    /// Whether there is nothing to learn any more.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What is known so far. What is learned after this is late.
    pub fn used(&mut self) -> &T {
        self.used = true;
        &self.known
    }

    /// What is known so far, for what does not depend on its being complete.
    pub fn so_far(&self) -> &T {
        &self.known
    }
}
