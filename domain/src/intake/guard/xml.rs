//! Depth, attribute counts and text lengths of XML, and the refusal of entity declarations.

use memchr::memchr;

use super::{Breach, Scan};
use crate::intake::limits::{Limit, Limits};

pub struct XmlScan {
    limits: Limits,
    depth: usize,
    /// The length so far of the text, tag, comment, instruction or section being read.
    run: usize,
    attributes: usize,
    state: State,
    /// The last bytes of the present construct, newest lowest.
    tail: u32,
}

#[derive(Clone, Copy)]
enum State {
    Text,
    /// After `<`: which construct it opens is not known yet.
    Opening,
    /// After `<!`: a comment, a CDATA section or a document type.
    Declaration,
    Tag {
        closes: bool,
        quote: Option<u8>,
    },
    Comment,
    Section,
    Instruction,
    DocumentType {
        quote: Option<u8>,
    },
}

impl XmlScan {
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), depth: 0, run: 0, attributes: 0, state: State::Text, tail: 0 }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.run = 0;
        self.tail = 0;
    }

    /// The limit on the length of the present construct.
    fn bound(&self) -> (usize, Limit) {
        match self.state {
            State::Text | State::Comment | State::Section => (self.limits.text, self.limits.over_text()),
            _ => (self.limits.string, self.limits.over_string()),
        }
    }

    fn byte(&mut self, byte: u8) -> Result<(), Limit> {
        let newest = self.tail.to_be_bytes();
        let ends = |mark: &[u8]| newest.ends_with(mark);
        match self.state {
            State::Text => {
                if byte == b'<' {
                    self.enter(State::Opening);
                }
            }
            State::Opening => match byte {
                b'!' => self.enter(State::Declaration),
                b'?' => self.enter(State::Instruction),
                b'/' => self.enter(State::Tag { closes: true, quote: None }),
                _ => {
                    self.attributes = 0;
                    self.enter(State::Tag { closes: false, quote: None });
                    self.tail = u32::from(byte);
                }
            },
            State::Declaration => match byte {
                b'-' => self.enter(State::Comment),
                b'[' => self.enter(State::Section),
                _ => self.enter(State::DocumentType { quote: None }),
            },
            State::Tag { closes, quote: Some(quote) } => {
                if byte == quote {
                    self.attributes += 1;
                    if self.attributes > self.limits.attributes {
                        return Err(self.limits.over_attributes());
                    }
                    self.state = State::Tag { closes, quote: None };
                }
            }
            State::Tag { closes, quote: None } => match byte {
                b'"' | b'\'' => self.state = State::Tag { closes, quote: Some(byte) },
                b'>' if closes => {
                    self.depth = self.depth.saturating_sub(1);
                    self.enter(State::Text);
                }
                b'>' if ends(b"/>") => self.enter(State::Text),
                b'>' => {
                    self.depth += 1;
                    if self.depth > self.limits.nesting {
                        return Err(self.limits.over_nesting());
                    }
                    self.enter(State::Text);
                }
                _ => {}
            },
            State::Comment if byte == b'>' && ends(b"-->") => self.enter(State::Text),
            State::Section if byte == b'>' && ends(b"]]>") => self.enter(State::Text),
            State::Instruction if byte == b'>' && ends(b"?>") => self.enter(State::Text),
            State::Comment | State::Section | State::Instruction => {}
            State::DocumentType { quote: Some(quote) } => {
                if byte == quote {
                    self.state = State::DocumentType { quote: None };
                }
            }
            State::DocumentType { quote: None } => match byte {
                b'"' | b'\'' => self.state = State::DocumentType { quote: Some(byte) },
                b'[' => return Err(Limits::over_entities()),
                b'>' => self.enter(State::Text),
                _ => {}
            },
        }
        Ok(())
    }
}

impl Scan for XmlScan {
    fn scan(&mut self, block: &[u8]) -> Result<(), (usize, Breach)> {
        let mut at = 0;
        while at < block.len() {
            let span = match self.state {
                State::Text => memchr(b'<', &block[at..]).unwrap_or(block.len() - at).max(1),
                _ => 1,
            };
            self.run += span;
            self.tail = (self.tail << 8) | u32::from(block[at]);
            let (bound, limit) = self.bound();
            if self.run > bound {
                return Err((at, Breach::TooLarge(limit)));
            }
            self.byte(block[at]).map_err(|limit| (at, Breach::TooLarge(limit)))?;
            at += span;
        }
        Ok(())
    }
}
