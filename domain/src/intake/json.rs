//! A walk over JSON that streams by: objects and arrays are gone through member by member, only
//! what is asked for as a whole is ever in memory, and what nobody asks for is checked and skipped.
//!
//! What is asked for as a whole is copied from the stream in one piece and parsed by serde_json.
//! That is several times faster than its parser for readers, which goes byte by byte.

use std::io::BufRead;
use std::rc::Rc;

use memchr::{memchr2, memchr3_iter};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};

use crate::error::{Error, Result};
use crate::intake::guard::Guard;
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::{Meter, Place};

/// A function called with the name and the value of each member of an object.
type EachMember<'f> = &'f mut dyn FnMut(&str, Value<'_>) -> Result<()>;
type EachElement<'f> = &'f mut dyn FnMut(Value<'_>) -> Result<()>;

/// Walks the one value that `guard` serves.
///
/// # Errors
/// What `each` returns; `REPORT_MALFORMED` and `REPORT_TOO_LARGE` with the place of the fault.
pub fn walk(guard: Guard, meter: &Rc<Meter>, limits: &Limits, each: EachElement<'_>) -> Result<()> {
    let mut json = Json { guard, meter: Rc::clone(meter), limits: limits.clone() };
    json.offer(each)?;
    match json.next()? {
        None => Ok(()),
        Some(_) => Err(json.malformed("there is more after the end")),
    }
}

/// Walks the values that `guard` serves one after the other, on lines of their own or not. There
/// may be none.
///
/// # Errors
/// Those of [`walk`].
pub fn walk_all(guard: Guard, meter: &Rc<Meter>, limits: &Limits, each: EachElement<'_>) -> Result<()> {
    let mut json = Json { guard, meter: Rc::clone(meter), limits: limits.clone() };
    while json.next()?.is_some() {
        json.offer(&mut *each)?;
    }
    Ok(())
}

/// A value that has not been read yet.
pub struct Value<'v> {
    json: &'v mut Json,
    read: &'v mut bool,
}

impl Value<'_> {
    /// Goes through the members of an object. `null` has none.
    ///
    /// # Errors
    /// `REPORT_MALFORMED` where the value is neither.
    pub fn object(self, each: EachMember<'_>) -> Result<()> {
        *self.read = true;
        self.json.container(Some(each), None)
    }

    /// Goes through the elements of an array. `null` has none.
    ///
    /// # Errors
    /// `REPORT_MALFORMED` where the value is neither.
    pub fn array(self, each: EachElement<'_>) -> Result<()> {
        *self.read = true;
        self.json.container(None, Some(each))
    }

    /// Goes through an object or an array, whichever it is; the elements have no name.
    pub fn object_or_array(self, each: &mut dyn FnMut(Option<&str>, Value<'_>) -> Result<()>) -> Result<()> {
        *self.read = true;
        match self.json.peek()? {
            b'[' => self.json.container(None, Some(&mut |value| each(None, value))),
            b'{' => self.json.container(Some(&mut |name, value| each(Some(name), value)), None),
            _ => Err(self.json.malformed("an object or an array was expected")),
        }
    }

    /// Whether this is an array. It stays unread.
    pub fn is_array(&mut self) -> Result<bool> {
        Ok(self.json.peek()? == b'[')
    }

    /// The whole value as its text, which is JSON only if [`Raw::parse`] says so.
    ///
    /// # Errors
    /// `REPORT_TOO_LARGE` where it is larger than an item may be.
    pub fn raw(self) -> Result<Raw> {
        *self.read = true;
        self.json.capture()
    }

    /// The whole value as a `T`.
    pub fn get<T: DeserializeOwned>(self) -> Result<T> {
        *self.read = true;
        self.json.capture()?.parse(&self.json.meter)
    }
}

/// A value that was taken as a whole.
pub struct Raw {
    text: String,
    start: Place,
}

impl Raw {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn parse<'t, T: Deserialize<'t>>(&'t self, meter: &Meter) -> Result<T> {
        serde_json::from_str(&self.text).map_err(|error| {
            let place = self.start.further(&self.text, error.line(), error.column());
            meter.malformed_at(place, without_place(&error.to_string()))
        })
    }
}

/// Whether `text` may have more values than one finding may.
pub fn is_crowded(text: &[u8], limits: &Limits) -> bool {
    memchr3_iter(b',', b'{', b'[', text).count() > limits.values
}

/// The message of serde_json without the place that it ends with, which counts within a part.
pub fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}

/// Reads `null` like an absent member: as the default.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(json: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or_default())
}

/// The stream, at the beginning or the end of a value.
struct Json {
    guard: Guard,
    meter: Rc<Meter>,
    limits: Limits,
}

/// What can stand where, for a message.
const VALUE: &str = "a value was expected";
const ENDS: &str = "it ends too early";

impl Json {
    fn malformed(&self, what: impl std::fmt::Display) -> Error {
        self.meter.malformed_at(self.meter.next_place(), what)
    }

    fn block(&mut self) -> Result<&[u8]> {
        let meter = &self.meter;
        self.guard.fill_buf().map_err(|error| meter.carried().unwrap_or_else(|| meter.malformed(error)))
    }

    /// The next byte that is not white space, which is not yet consumed; `None` at the end.
    fn next(&mut self) -> Result<Option<u8>> {
        loop {
            let block = self.block()?;
            let Some(first) = block.first() else { return Ok(None) };
            let first = *first;
            let space = block.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
            if space == 0 {
                return Ok(Some(first));
            }
            self.guard.consume(space);
        }
    }

    fn peek(&mut self) -> Result<u8> {
        self.next()?.ok_or_else(|| self.malformed(ENDS))
    }

    /// Consumes `byte`, before which there may be white space.
    fn expect(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.peek()? != byte {
            return Err(self.malformed(what));
        }
        self.guard.consume(1);
        Ok(())
    }

    /// Hands the next value to `each`, and skips it where `each` did not want it.
    fn offer(&mut self, each: EachElement<'_>) -> Result<()> {
        let mut read = false;
        each(Value { json: self, read: &mut read })?;
        if read { Ok(()) } else { self.skip() }
    }

    fn container(&mut self, member: Option<EachMember<'_>>, element: Option<EachElement<'_>>) -> Result<()> {
        let meter = Rc::clone(&self.meter);
        match (self.peek()?, member, element) {
            (b'{', Some(each), _) => self.members(&mut |json| {
                let name = json.name()?;
                json.expect(b':', "a colon was expected")?;
                meter.enter(&name);
                json.offer(&mut |value| each(&name, value))?;
                meter.leave();
                Ok(())
            }),
            (b'[', _, Some(each)) => {
                let mut index = 0;
                self.elements(&mut |json| {
                    meter.enter_index(index);
                    json.offer(&mut *each)?;
                    meter.leave();
                    index += 1;
                    Ok(())
                })
            }
            (b'n', ..) => self.token(None),
            (_, Some(_), _) => Err(self.malformed("an object was expected")),
            _ => Err(self.malformed("an array was expected")),
        }
    }

    /// Goes through an object; `member` reads a name and its value.
    fn members(&mut self, member: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.guard.consume(1);
        if self.peek()? == b'}' {
            self.guard.consume(1);
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(self.malformed("the name of a member was expected"));
            }
            member(self)?;
            if self.ends(b'}', "a comma or the end of the object was expected")? {
                return Ok(());
            }
        }
    }

    /// Goes through an array; `element` reads a value.
    fn elements(&mut self, element: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.guard.consume(1);
        if self.peek()? == b']' {
            self.guard.consume(1);
            return Ok(());
        }
        loop {
            element(self)?;
            if self.ends(b']', "a comma or the end of the array was expected")? {
                return Ok(());
            }
        }
    }

    /// Consumes a comma or the end of what it parts. Whether it was the end.
    fn ends(&mut self, end: u8, what: &str) -> Result<bool> {
        match self.peek()? {
            b',' => {
                self.guard.consume(1);
                Ok(false)
            }
            byte if byte == end => {
                self.guard.consume(1);
                Ok(true)
            }
            _ => Err(self.malformed(what)),
        }
    }

    /// Checks a value without keeping it. The guard bounds how deep this recurses.
    fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            b'{' => self.members(&mut |json| {
                json.string(None)?;
                json.expect(b':', "a colon was expected")?;
                json.skip()
            }),
            b'[' => self.elements(&mut Self::skip),
            b'"' => self.string(None),
            _ => self.token(None),
        }
    }

    fn name(&mut self) -> Result<String> {
        let start = self.meter.next_place();
        let mut text = Vec::new();
        self.string(Some(&mut text))?;
        Raw { text: self.utf8(text)?, start }.parse(&self.meter)
    }

    /// Reads a string with its quotes.
    fn string(&mut self, mut into: Option<&mut Vec<u8>>) -> Result<()> {
        let mut keep = |part: &[u8]| {
            if let Some(into) = &mut into {
                into.extend_from_slice(part);
            }
        };
        keep(b"\"");
        self.guard.consume(1);
        loop {
            let block = self.block()?;
            if block.is_empty() {
                return Err(self.malformed(ENDS));
            }
            let plain = memchr2(b'"', b'\\', block).unwrap_or(block.len());
            if let Some(at) = block[..plain].iter().position(|byte| *byte < b' ') {
                self.guard.consume(at);
                return Err(self.malformed("a control character stands in a string"));
            }
            keep(&block[..plain]);
            let mark = block.get(plain).copied();
            self.guard.consume(plain);
            match mark {
                None => {}
                Some(b'"') => {
                    keep(b"\"");
                    self.guard.consume(1);
                    return Ok(());
                }
                Some(_) => keep(self.escape()?.as_slice()),
            }
        }
    }

    /// Reads a backslash and what it escapes.
    fn escape(&mut self) -> Result<Vec<u8>> {
        let mut escape = vec![b'\\'];
        self.guard.consume(1);
        loop {
            let Some(byte) = self.block()?.first().copied() else { return Err(self.malformed(ENDS)) };
            let fits = match escape.len() {
                1 => b"\"\\/bfnrtu".contains(&byte),
                _ => byte.is_ascii_hexdigit(),
            };
            if !fits {
                return Err(self.malformed("there is no such escape"));
            }
            escape.push(byte);
            self.guard.consume(1);
            let whole = if escape[1] == b'u' { 6 } else { 2 };
            if escape.len() == whole {
                return Ok(escape);
            }
        }
    }

    /// Reads a number, `true`, `false` or `null`. The guard bounds their length.
    fn token(&mut self, into: Option<&mut Vec<u8>>) -> Result<()> {
        let start = self.meter.next_place();
        let mut token = Vec::new();
        loop {
            let block = self.block()?;
            let length =
                block.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
            let ends = length < block.len() || block.is_empty();
            token.extend_from_slice(&block[..length]);
            self.guard.consume(length);
            if ends {
                break;
            }
        }
        if serde_json::from_slice::<IgnoredAny>(&token).is_err() {
            return Err(self.meter.malformed_at(start, VALUE));
        }
        if let Some(into) = into {
            into.append(&mut token);
        }
        Ok(())
    }

    /// Copies the next value, up to the bracket that closes it.
    fn capture(&mut self) -> Result<Raw> {
        let mut text = Vec::new();
        let first = self.peek()?;
        let start = self.meter.next_place();
        match first {
            b'{' | b'[' => self.enclosed(&mut text)?,
            b'"' => self.string(Some(&mut text))?,
            _ => self.token(Some(&mut text))?,
        }
        Ok(Raw { text: self.utf8(text)?, start })
    }

    fn enclosed(&mut self, text: &mut Vec<u8>) -> Result<()> {
        let (mut depth, mut values, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
        loop {
            let block = self.block()?;
            if block.is_empty() {
                return Err(self.malformed(ENDS));
            }
            let mut at = 0;
            let mut closed = false;
            while at < block.len() && !closed {
                if escaped {
                    escaped = false;
                } else if in_string {
                    at += memchr2(b'"', b'\\', &block[at..]).unwrap_or(block.len() - at);
                    match block.get(at) {
                        Some(b'"') => in_string = false,
                        mark => escaped = mark.is_some(),
                    }
                } else {
                    match block[at] {
                        b'"' => in_string = true,
                        b'{' | b'[' => {
                            depth += 1;
                            values += 1;
                        }
                        b'}' | b']' => {
                            depth -= 1;
                            closed = depth == 0;
                        }
                        b',' => values += 1,
                        _ => {}
                    }
                }
                at += 1;
            }
            let end = at.min(block.len());
            text.extend_from_slice(&block[..end]);
            self.guard.consume(end);
            if text.len() as u64 > self.limits.item {
                return Err(too_large(self.limits.over_item(), self.meter.place()));
            }
            if values > self.limits.values {
                return Err(too_large(self.limits.over_values(), self.meter.place()));
            }
            if closed {
                return Ok(());
            }
        }
    }

    fn utf8(&self, text: Vec<u8>) -> Result<String> {
        String::from_utf8(text).map_err(|_| self.malformed("the bytes are not UTF-8"))
    }
}
