//! The lengths and numbers of cells, and whether the last one is closed.

use super::{Breach, Scan};
use crate::intake::limits::Limits;

pub struct CsvScan {
    limits: Limits,
    delimiter: u8,
    cell: usize,
    /// The cells of the present row so far.
    cells: usize,
    state: State,
}

enum State {
    /// At the first byte of a cell.
    Start,
    Bare,
    Quoted,
    /// After a quote inside of a quoted cell: its end, or the first half of a doubled quote.
    Quote,
}

impl CsvScan {
    pub fn new(limits: &Limits, delimiter: u8) -> Self {
        Self { limits: limits.clone(), delimiter, cell: 0, cells: 0, state: State::Start }
    }
}

impl Scan for CsvScan {
    fn scan(&mut self, block: &[u8]) -> Result<(), (usize, Breach)> {
        for (at, &byte) in block.iter().enumerate() {
            let ends = byte == self.delimiter || byte == b'\n' || byte == b'\r';
            self.state = match self.state {
                State::Quoted if byte == b'"' => State::Quote,
                State::Quoted => State::Quoted,
                State::Quote if byte == b'"' => State::Quoted,
                State::Start if byte == b'"' => State::Quoted,
                _ if ends => State::Start,
                _ => State::Bare,
            };
            if matches!(self.state, State::Start) {
                self.cell = 0;
                self.cells = if byte == self.delimiter { self.cells + 1 } else { 0 };
                if self.cells > self.limits.values {
                    return Err((at, Breach::TooLarge(self.limits.over_values())));
                }
            } else {
                self.cell += 1;
                if self.cell > self.limits.string {
                    return Err((at, Breach::TooLarge(self.limits.over_string())));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Breach> {
        match self.state {
            State::Quoted => Err(Breach::Malformed("the report ends inside of a quoted cell")),
            _ => Ok(()),
        }
    }
}
