//! The files of feeds, read as streams: one reader a feed.

pub mod cve;
pub mod epss;
pub mod kev;
pub mod nvd;

use crate::error::Result;
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::Meter;
use crate::intel::fact::Fact;
use crate::intel::feed::Sink;

/// Counts what passes, and refuses more than a file may hold.
fn bounded<'s>(
    limits: &Limits,
    meter: std::rc::Rc<Meter>,
    sink: Sink<'s>,
) -> impl FnMut(String, Fact) -> Result<()> + 's {
    let limits = limits.clone();
    let mut count = 0;
    move |cve, fact| {
        count += 1;
        if count > limits.items {
            return Err(too_large(limits.over_items(), meter.place()));
        }
        sink(cve, fact.tidy())
    }
}

/// Whether a file of an archive is JSON, by its name.
fn is_json(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".json")
}
