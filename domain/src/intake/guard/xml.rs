//! Text lengths of XML, and the refusal of entity declarations. Depth and attributes are counted where
//! the elements are read: what a parser makes of broken markup is the parser's to say.
//!
//! A document type may declare elements and their attributes, as the reports of some scanners do.
//! These declarations are passed over; any other declaration in it is refused.

use memchr::memchr;

use super::{Breach, Scan};
use crate::intake::limits::{Limit, Limits};

pub struct XmlScan {
    limits: Limits,
    /// The length so far of the text, tag, comment, instruction or section being read.
    run: usize,
    state: State,
    /// The last bytes of the present construct, newest lowest.
    tail: u32,
}

/// How what may stand in a document type begins: elements, attributes, notations, comments.
const DECLARED: [&[u8; 4]; 4] = [b"<!EL", b"<!AT", b"<!NO", b"<!--"];

#[derive(Clone, Copy)]
enum State {
    Text,
    /// After `<`: which construct it opens is not known yet.
    Opening,
    /// After `<!`: a comment, a CDATA section or a document type.
    Declaration,
    Tag {
        quote: Option<u8>,
    },
    Comment,
    Section,
    Instruction,
    DocumentType {
        quote: Option<u8>,
    },
    /// Between the square brackets of a document type.
    Subset {
        quote: Option<u8>,
    },
    /// A comment there.
    SubsetComment,
    /// Behind it, up to the end of the document type.
    Subsequent,
}

impl XmlScan {
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), run: 0, state: State::Text, tail: 0 }
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
                _ => {
                    self.enter(State::Tag { quote: None });
                    return self.byte(byte);
                }
            },
            State::Declaration => match byte {
                b'-' => self.enter(State::Comment),
                b'[' => self.enter(State::Section),
                _ => self.enter(State::DocumentType { quote: None }),
            },
            State::Tag { quote: Some(quote) } => {
                if byte == quote {
                    self.state = State::Tag { quote: None };
                }
            }
            State::Tag { quote: None } => match byte {
                b'"' | b'\'' => self.state = State::Tag { quote: Some(byte) },
                b'>' => self.enter(State::Text),
                _ => {}
            },
            // Its own first dashes do not end it: `<!--->` is only begun.
            State::Comment if byte == b'>' && self.run > 3 && ends(b"-->") => self.enter(State::Text),
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
                b'[' => {
                    self.state = State::Subset { quote: None };
                    self.tail = 0;
                }
                b'>' => self.enter(State::Text),
                _ => {}
            },
            State::Subset { .. } if newest[0] == b'<' && !DECLARED.contains(&&newest) => {
                return Err(Limits::over_entities());
            }
            State::Subset { .. } if newest == *b"<!--" => {
                self.state = State::SubsetComment;
                self.tail = 0;
            }
            State::Subset { quote: Some(quote) } => {
                if byte == quote {
                    self.state = State::Subset { quote: None };
                }
            }
            State::Subset { quote: None } => match byte {
                b'"' | b'\'' => self.state = State::Subset { quote: Some(byte) },
                b'%' => return Err(Limits::over_entities()),
                b']' => self.state = State::Subsequent,
                _ => {}
            },
            State::SubsetComment => {
                if byte == b'>' && ends(b"-->") {
                    self.state = State::Subset { quote: None };
                    self.tail = 0;
                }
            }
            State::Subsequent => {
                if byte == b'>' {
                    self.enter(State::Text);
                }
            }
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
