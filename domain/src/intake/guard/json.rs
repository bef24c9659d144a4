//! Nesting and token lengths of JSON.

use memchr::memchr2;

use super::{Breach, Scan};
use crate::intake::limits::Limits;

/// Follows strings and brackets; whether the rest is JSON is the parser's to say.
pub struct JsonScan {
    limits: Limits,
    depth: usize,
    /// The length so far of the string, or of the number or word, being read.
    run: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonScan {
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), depth: 0, run: 0, in_string: false, escaped: false }
    }
}

impl Scan for JsonScan {
    fn scan(&mut self, block: &[u8]) -> Result<(), (usize, Breach)> {
        let mut at = 0;
        while at < block.len() {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                    self.run += 1;
                    at += 1;
                    continue;
                }
                let span = memchr2(b'"', b'\\', &block[at..]).unwrap_or(block.len() - at);
                if self.run + span > self.limits.string {
                    let fits = self.limits.string - self.run.min(self.limits.string);
                    return Err((at + fits, Breach::TooLarge(self.limits.over_string())));
                }
                self.run += span;
                at += span;
                match block.get(at) {
                    Some(b'"') => {
                        self.in_string = false;
                        self.run = 0;
                    }
                    Some(_) => {
                        self.escaped = true;
                        self.run += 1;
                    }
                    None => {}
                }
                at += 1;
                continue;
            }
            match block[at] {
                b'"' => {
                    self.in_string = true;
                    self.run = 0;
                }
                b'{' | b'[' => {
                    self.run = 0;
                    self.depth += 1;
                    if self.depth > self.limits.nesting {
                        return Err((at, Breach::TooLarge(self.limits.over_nesting())));
                    }
                }
                b'}' | b']' => {
                    self.run = 0;
                    self.depth = self.depth.saturating_sub(1);
                }
                b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => self.run = 0,
                _ => {
                    self.run += 1;
                    if self.run > self.limits.number {
                        return Err((at, Breach::TooLarge(self.limits.over_number())));
                    }
                }
            }
            at += 1;
        }
        Ok(())
    }
}
