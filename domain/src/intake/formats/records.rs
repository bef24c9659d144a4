//! Reports that are a list of records, each a finding of its own: an array of objects, objects one
//! after the other as in JSON lines, several arrays one after the other, a single object, or an
//! object with the array in a member.

use crate::error::Result;
use crate::intake::format::{Emit, Head, Pass, Plan, Reader};
use crate::intake::json::{Raw, Value};
use crate::intake::place::Meter;
use crate::intake::report::ReportHead;
use crate::intake::source::Source;
use crate::intake::text;
use crate::vocabulary::time::Timestamp;

/// What a format says of its records.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The scanner, where the records name none.
    pub scanner: &'static str,
    /// The member of an object around the records that holds them.
    pub member: Option<&'static str>,
    /// Whether an empty file is a report without findings.
    pub may_be_empty: bool,
    pub read: fn(&Record<'_>, &mut Seen, Emit<'_>) -> Result<()>,
}

/// One record, before it is read.
pub struct Record<'r> {
    pub raw: &'r Raw,
    pub meter: &'r Meter,
    /// The asset that the caller names.
    pub asset: Option<&'r str>,
}

impl Record<'_> {
    pub fn excerpt(&self) -> Option<String> {
        Some(text::beginning(self.raw.text(), text::EXCERPT).to_owned())
    }
}

/// What the records so far said of the whole report.
#[derive(Clone, Default)]
pub struct Seen {
    /// The scanner of the first record.
    pub scanner: Option<String>,
    /// The latest time of all records.
    pub scanned_at: Option<Timestamp>,
}

#[derive(Clone)]
struct Records {
    shape: Shape,
    asset: Option<String>,
    seen: Seen,
}

pub fn reader(plan: &Plan<'_>, shape: Shape) -> Box<dyn Reader> {
    Box::new(Records { shape, asset: plan.asset.map(str::to_owned), seen: Seen::default() })
}

impl Reader for Records {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        let meter = source.meter();
        let head = Head::of(source.head());
        let around = self.shape.member.filter(|member| !head.array && head.has(member));
        let mut values = 0;
        source.json_values(&mut |mut value| {
            values += 1;
            let mut record = |value: Value<'_>| {
                let raw = value.raw()?;
                let record = Record { raw: &raw, meter: &meter, asset: self.asset.as_deref() };
                (self.shape.read)(&record, &mut self.seen, emit)
            };
            match around {
                Some(member) => value.object(&mut |name, value| {
                    if name == member { value.array(&mut record) } else { Ok(()) }
                }),
                None if value.is_array()? => value.array(&mut record),
                None => record(value),
            }
        })?;
        if values == 0 && !self.shape.may_be_empty {
            return Err(meter.malformed("it is empty"));
        }
        Ok(Pass::Settled)
    }

    fn head(&self) -> ReportHead {
        let scanner = self.seen.scanner.as_deref().unwrap_or(self.shape.scanner).to_owned();
        ReportHead { scanner, scanned_at: self.seen.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}
