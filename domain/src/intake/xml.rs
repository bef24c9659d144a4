//! A walk over XML that streams by: element by element, with only the present one in memory.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::error::{Error, Result};
use crate::intake::guard::Guard;
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::Meter;

/// An XML document that is being read.
pub struct Xml<'m> {
    reader: Reader<Guard>,
    meter: &'m Meter,
    limits: &'m Limits,
    depth: usize,
    buffer: Vec<u8>,
}

/// The start of an element.
pub struct Tag {
    pub name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    /// The value of an attribute, trimmed; `None` where it is absent or empty.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(key, _)| key == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }
}

enum Next {
    Start(Tag),
    Text,
    End,
    Eof,
}

impl<'m> Xml<'m> {
    pub fn new(guard: Guard, meter: &'m Meter, limits: &'m Limits) -> Self {
        let mut reader = Reader::from_reader(guard);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, meter, limits, depth: 0, buffer: Vec::new() }
    }

    /// Reads the whole document: its one root element goes to `root`.
    ///
    /// # Errors
    /// What `root` returns; `REPORT_MALFORMED` and `REPORT_TOO_LARGE` with the place of the fault.
    pub fn document(mut self, root: &mut dyn FnMut(&mut Self, &Tag) -> Result<()>) -> Result<()> {
        let mut roots = 0;
        loop {
            let mut text = String::new();
            match self.next(Some(&mut text))? {
                Next::Start(tag) => {
                    roots += 1;
                    if roots > 1 {
                        return Err(self.meter.malformed("there is a second root element"));
                    }
                    self.offer(&tag, root)?;
                }
                Next::Text if text.trim().is_empty() => {}
                Next::Text => return Err(self.meter.malformed("there is text outside of the root element")),
                Next::End => return Err(self.meter.malformed("an element ends that was not begun")),
                Next::Eof if roots == 0 => return Err(self.meter.malformed("there is no element")),
                Next::Eof => return Ok(()),
            }
        }
    }

    /// Goes through the elements inside of the present one, to its end.
    pub fn children(&mut self, each: &mut dyn FnMut(&mut Self, &Tag) -> Result<()>) -> Result<()> {
        loop {
            match self.next(None)? {
                Next::Start(tag) => self.offer(&tag, each)?,
                Next::Text => {}
                Next::End => return Ok(()),
                Next::Eof => return Err(self.unfinished()),
            }
        }
    }

    /// The text of the present element, to its end; that of elements inside of it is left out.
    pub fn text(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.next(Some(&mut text))? {
                Next::Start(_) => self.skip_to(self.depth - 1)?,
                Next::Text => {}
                Next::End => return Ok(text),
                Next::Eof => return Err(self.unfinished()),
            }
        }
    }

    /// The text of the present element, and that of its children called `name`.
    pub fn text_and(&mut self, name: &str) -> Result<(String, String)> {
        let (mut text, mut inside) = (String::new(), String::new());
        loop {
            match self.next(Some(&mut text))? {
                Next::Start(tag) => self.offer(&tag, &mut |xml, tag| {
                    if tag.name == name {
                        inside.push_str(&xml.text()?);
                    }
                    Ok(())
                })?,
                Next::Text => {}
                Next::End => return Ok((text, inside)),
                Next::Eof => return Err(self.unfinished()),
            }
        }
    }

    /// The refusal of a document that is malformed here.
    pub fn malformed(&self, what: impl std::fmt::Display) -> Error {
        self.meter.malformed(what)
    }

    /// Hands an element to `each`, then skips what is left of it.
    fn offer(&mut self, tag: &Tag, each: &mut dyn FnMut(&mut Self, &Tag) -> Result<()>) -> Result<()> {
        let outside = self.depth - 1;
        self.meter.enter(&tag.name);
        each(self, tag)?;
        self.skip_to(outside)?;
        self.meter.leave();
        Ok(())
    }

    fn skip_to(&mut self, depth: usize) -> Result<()> {
        while self.depth > depth {
            if let Next::Eof = self.next(None)? {
                return Err(self.unfinished());
            }
        }
        Ok(())
    }

    fn unfinished(&self) -> Error {
        self.meter.malformed("the report ends before its elements do")
    }

    /// The next event. Text goes to `text`, where it is wanted.
    fn next(&mut self, text: Option<&mut String>) -> Result<Next> {
        self.buffer.clear();
        let (meter, limits) = (self.meter, self.limits);
        // No text and no tag is longer, so what is has no end that the parser knows.
        meter.fence_piece((limits.text + limits.string) as u64);
        let refuse = |error: quick_xml::Error| meter.carried().unwrap_or_else(|| meter.malformed(error));
        let next = match self.reader.read_event_into(&mut self.buffer).map_err(refuse)? {
            Event::Start(start) => {
                self.depth += 1;
                if self.depth > limits.nesting {
                    return Err(too_large(limits.over_nesting(), meter.place()));
                }
                Next::Start(tag(&start, meter, limits)?)
            }
            Event::End(_) => {
                self.depth = self
                    .depth
                    .checked_sub(1)
                    .ok_or_else(|| meter.malformed("an element ends that was not begun"))?;
                Next::End
            }
            Event::Eof => Next::Eof,
            Event::Text(run) => {
                if let Some(text) = text {
                    text.push_str(&run.xml10_content());
                }
                Next::Text
            }
            Event::CData(run) => {
                if let Some(text) = text {
                    text.push_str(&run.xml10_content());
                }
                Next::Text
            }
            Event::GeneralRef(name) => {
                let character = match name.resolve_char_ref().map_err(refuse)? {
                    Some(character) => character,
                    None => predefined(&name.xml10_content())
                        .ok_or_else(|| meter.malformed("an entity is used that is not declared"))?,
                };
                if let Some(text) = text {
                    text.push(character);
                }
                Next::Text
            }
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                return self.next(text);
            }
        };
        Ok(next)
    }
}

fn tag(start: &BytesStart<'_>, meter: &Meter, limits: &Limits) -> Result<Tag> {
    let attributes = start
        .attributes()
        .enumerate()
        .map(|(at, attribute)| {
            if at == limits.attributes {
                return Err(too_large(limits.over_attributes(), meter.place()));
            }
            let attribute = attribute.map_err(|error| meter.malformed(error))?;
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map_err(|error| meter.malformed(error))?;
            Ok((attribute.key.as_ref().to_owned(), value.into_owned()))
        })
        .collect::<Result<_>>()?;
    Ok(Tag { name: start.local_name().as_ref().to_owned(), attributes })
}

/// The five entities that XML itself declares.
fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}
