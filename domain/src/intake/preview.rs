//! A dry run: the first rows of a report as the findings they would become, and what of them was not
//! understood. Nothing is written.

use std::rc::Rc;

use uuid::Uuid;

use super::format::{Format, Pass, Plan};
use super::limits::Limits;
use super::mapping::Mapping;
use super::notes::Notes;
use super::reading::settle;
use super::report::{Fingerprint, Reported};
use super::source::Source;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};

/// The most bytes of a sample.
pub const SAMPLE: usize = 512 << 10;
/// The most findings that are shown.
pub const MOST: usize = 100;

/// The beginning of a report, and how to read it.
#[derive(Clone, Debug)]
pub struct PreviewRequest {
    /// `None`: the saved mapping's, or told from the sample.
    pub format: Option<Format>,
    pub mapping: Option<Mapping>,
    /// A saved mapping instead.
    pub saved: Option<Uuid>,
    /// The asset of findings whose report names none.
    pub asset: Option<String>,
    /// The beginning of the report. It may end anywhere: the fault of that is told as the last.
    pub sample: String,
    /// How many findings to show.
    pub most: usize,
}

/// What an import would make of a sample.
#[derive(Debug)]
pub struct Preview {
    pub format: Format,
    /// The findings of the first rows, each row by itself: rows of one identity are not merged.
    pub findings: Vec<(Reported, Fingerprint)>,
    /// What is wrong with rows; an import would end at the first.
    pub faults: Vec<Error>,
    /// The columns, or the members of objects, of a report that is read through a mapping.
    pub columns: Vec<String>,
    /// Those of them that the mapping does not use.
    pub unused: Vec<String>,
    /// Whether the sample holds more findings than are shown.
    pub more: bool,
}

impl Domain {
    /// What an import would make of the beginning of a report.
    ///
    /// # Errors
    ///
    /// `REPORT_UNKNOWN`, and what is wrong with the mapping itself. Faults of rows are told beside
    /// the findings instead.
    pub async fn import_preview(&self, actor: &Actor, request: PreviewRequest) -> Result<Preview> {
        actor.allow(Permission::Import)?;
        if request.sample.len() > SAMPLE {
            let message = format!("A sample has at most {} KiB.", SAMPLE >> 10);
            return Err(Error::invalid("sample", message));
        }
        if request.most == 0 || request.most > MOST {
            return Err(Error::invalid("first", format!("From 1 to {MOST} findings are shown.")));
        }
        let (format, mapping) =
            self.mapping_of(actor, request.format, request.mapping.as_ref(), request.saved).await?;
        let limits = self.settings().limits.clone();
        let read = move || {
            let plan = Plan { mapping: mapping.as_ref(), asset: request.asset.as_deref() };
            preview(request.sample, format, &plan, request.most, &limits)
        };
        tokio::task::spawn_blocking(read).await.map_err(Error::internal)?
    }
}

/// What an import would make of a sample, with the mapping of `plan`.
///
/// # Errors
/// Those of [`Domain::import_preview`].
pub fn preview(
    sample: String,
    named: Option<Format>,
    plan: &Plan<'_>,
    most: usize,
    limits: &Limits,
) -> Result<Preview> {
    let format = named.map_or_else(|| Format::detect(sample.as_bytes()), Ok)?;
    let mut reader = (format.entry().reader)(plan)?;
    let sample: Rc<[u8]> = sample.into_bytes().into();
    let mut once = || {
        let notes = Rc::new(Notes::default());
        let (mut findings, mut more) = (Vec::new(), false);
        let source = Source::sample(Rc::clone(&sample), limits, Rc::clone(&notes));
        let pass = reader.pass(source, &mut |scanner, reported| {
            more = findings.len() == most;
            if more {
                return Err(Error::new(Code::Internal, "enough is shown"));
            }
            findings.push(settle(scanner, reported, limits));
            Ok(())
        });
        let (mut faults, columns) = notes.take();
        let again = matches!(pass, Ok(Pass::Again));
        if let Err(fault) = pass
            && !more
        {
            faults.push(fault);
        }
        (Preview { format, findings, faults, columns, unused: Vec::new(), more }, again)
    };
    let (mut preview, again) = once();
    if again {
        preview = once().0;
    }
    // What is wrong with the mapping itself is no fault of a row.
    let of_mapping = |fault: &Error| fault.field.first().is_some_and(|at| at == "mapping");
    if let Some(at) = preview.faults.iter().position(of_mapping) {
        return Err(preview.faults.swap_remove(at));
    }
    if let Some(mapping) = plan.mapping {
        preview.unused = preview.columns.iter().filter(|name| !mapping.uses(name)).cloned().collect();
    }
    Ok(preview)
}
