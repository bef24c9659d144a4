//! The two readings of a report: one that checks and counts, one that hands over each finding.
//!
//! Nothing of a report is stored before the first reading has gone through all of it. What that
//! keeps is small: 32 bytes for each entry, the names of the assets, and what entries refer to
//! where a report writes it after them (then it goes through the report a second time).
//!
//! The second reading hands over every finding once. Findings with one entry pass as they stream;
//! entries that share a fingerprint are set aside on disk and follow at the end, merged. The order
//! depends on the report alone, so an import that was interrupted goes on after the findings that
//! it has.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use uuid::Uuid;

use crate::error::{Code, Error, Result};
use crate::intake::aside::Aside;
use crate::intake::census::{Census, Named, SeverityCounts};
use crate::intake::fingerprint::{self, Room, fingerprint};
use crate::intake::format::{Format, Pass, Plan, Reader};
use crate::intake::limits::{Limits, Spread, too_large};
use crate::intake::report::{Fingerprint, ReportHead, Reported};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intel::vex::Said;

/// The asset of findings for which neither the report nor the caller names one.
pub const UNNAMED: &str = "unnamed asset";

/// What the first reading found, and what the second needs.
pub struct Checked {
    pub format: Format,
    pub head: ReportHead,
    /// The findings as the report lists them.
    pub entries: u64,
    /// The findings after entries of the same fingerprint are merged.
    pub findings: u64,
    /// The findings by severity as the scanner gave it, after merging.
    pub counts: SeverityCounts,
    /// VEX statements of ranges of versions that are not understood: they hold for nothing.
    pub undecided: u64,
    /// The names of the assets that findings are on, in order.
    pub assets: Vec<String>,
    /// A name for this set of assets, by which a series without a name is known.
    pub assets_digest: Uuid,
    /// All findings, by their fingerprints.
    pub named: Named,
    reader: Box<dyn Reader>,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("format", &self.format)
            .field("head", &self.head)
            .field("entries", &self.entries)
            .field("findings", &self.findings)
            .field("counts", &self.counts)
            .field("assets", &self.assets)
            .finish_non_exhaustive()
    }
}

/// Goes through all of the report at `path`: what this accepts, [`read`] can hand over.
/// The format is `named`, or else told from the beginning of the report.
///
/// # Errors
/// `REPORT_UNKNOWN` where no format is named and none is recognised, and for packed files;
/// `REPORT_MALFORMED` and `REPORT_TOO_LARGE` with `line`, `column`, `offset` and where there is one
/// the `path` of the fault in their details; `REQUIRED` and `INVALID` for a mapping that is missing
/// or does not fit.
pub fn check(path: &Path, named: Option<Format>, plan: &Plan<'_>, limits: &Limits) -> Result<Checked> {
    check_watched(path, named, plan, limits, &mut |_| Ok(()))
}

/// [`check`], with `watch` called at each entry with the number of entries so far. Where it returns
/// an error the reading ends with that: so a long one can be cancelled.
///
/// # Errors
/// Those of [`check`], and what `watch` returns.
pub fn check_watched(
    path: &Path,
    named: Option<Format>,
    plan: &Plan<'_>,
    limits: &Limits,
    watch: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Checked> {
    let mut source = Source::open(path, limits)?;
    let format = match named {
        Some(format) => format,
        None => Format::detect(source.head())?,
    };
    let asset = plan.asset.filter(|name| !name.trim().is_empty());
    let mut reader = (format.entry().reader)(&Plan { asset, ..*plan })?;
    let (pass, mut tally) = count(reader.as_mut(), source, limits, watch)?;
    if pass == Pass::Again {
        source = Source::open(path, limits)?;
        (_, tally) = count(reader.as_mut(), source, limits, watch)?;
    }
    let (counts, named) = tally.census.finish();
    let assets: Vec<String> = tally.assets.into_iter().collect();
    Ok(Checked {
        format,
        head: reader.head(),
        entries: tally.entries,
        findings: counts.total(),
        counts,
        undecided: tally.undecided,
        assets_digest: fingerprint::of_assets(assets.iter().map(String::as_str)),
        assets,
        named,
        reader,
    })
}

#[derive(Default)]
struct Tally {
    entries: u64,
    undecided: u64,
    census: Census,
    room: Room,
    spread: Spread,
    assets: BTreeSet<String>,
    asset_bytes: usize,
}

/// What a name takes in memory beside its text.
const NAME: usize = 64;

fn count(
    reader: &mut dyn Reader,
    source: Source,
    limits: &Limits,
    watch: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<(Pass, Tally)> {
    let mut tally = Tally::default();
    let meter = source.meter();
    let pass = reader.pass(source, &mut |scanner, reported| {
        tally.spread.add(&reported, limits, &meter)?;
        let (reported, fingerprint) = settle(scanner, reported, limits);
        tally.entries += 1;
        if tally.entries > limits.items {
            return Err(too_large(limits.over_items(), meter.place()));
        }
        watch(tally.entries)?;
        tally.undecided += u64::from(Said::is_undecided(&reported));
        let said = fingerprint::said(scanner, &reported, &mut tally.room);
        tally.census.add(fingerprint, reported.severity, said);
        if !tally.assets.contains(&reported.asset.name) {
            tally.asset_bytes += reported.asset.name.len() + NAME;
            if tally.asset_bytes > limits.collected {
                return Err(too_large(limits.over_collected(), meter.place()));
            }
            tally.assets.insert(reported.asset.name);
        }
        Ok(())
    })?;
    Ok((pass, tally))
}

/// Brings a finding into its form and fingerprints it.
pub(super) fn settle(scanner: &str, mut reported: Reported, limits: &Limits) -> (Reported, Fingerprint) {
    text::tidy(&mut reported, limits.list);
    if reported.title.is_empty() {
        reported.title =
            reported.scanner_reference.clone().unwrap_or_else(|| "Finding without a title".to_owned());
    }
    if reported.asset.name.is_empty() {
        reported.asset.name = UNNAMED.to_owned();
    }
    let fingerprint = fingerprint(fingerprint::VERSION, scanner, &reported);
    (reported, fingerprint)
}

/// A finding as the second reading hands it over, and its place among those that the report names.
pub struct Handed {
    pub reported: Reported,
    pub fingerprint: Fingerprint,
    pub named: usize,
}

/// Hands each finding of the report at `path` to `sink` once, merged, in an order that depends on
/// the report alone. Entries to be merged are set aside in files under `scratch`, a folder of this
/// import's own; they are gone when this returns.
///
/// # Errors
/// What `sink` returns, at once; `INTERNAL` where the file is not the one that was checked.
pub fn read(
    path: &Path,
    checked: &Checked,
    limits: &Limits,
    scratch: &Path,
    sink: &mut dyn FnMut(Handed) -> Result<()>,
) -> Result<()> {
    let another = || Error::new(Code::Internal, "The report is not the one that was checked.");
    let mut aside = Aside::new(scratch, checked.named.repeated());
    let mut found = 0;
    let mut reader = checked.reader.fork();
    reader.pass(Source::open(path, limits)?, &mut |scanner, reported| {
        let (reported, fingerprint) = settle(scanner, reported, limits);
        let named = checked.named.find(fingerprint).ok_or_else(another)?;
        if checked.named.is_repeated(named) {
            return aside.put(reported, fingerprint);
        }
        found += 1;
        sink(Handed { reported, fingerprint, named })
    })?;
    aside.merged(limits.list, &mut |reported, fingerprint| {
        found += 1;
        let named = checked.named.find(fingerprint).ok_or_else(another)?;
        sink(Handed { reported, fingerprint, named })
    })?;
    if found == checked.findings { Ok(()) } else { Err(another()) }
}
