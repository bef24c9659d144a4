//! The catalogue of feeds: each declared once, with what it says and how it is read.

use std::path::Path;

use uuid::Uuid;

use super::fact::Fact;
use super::feeds::{cve, epss, kev, nvd};
use crate::error::Result;
use crate::intake::limits::Limits;
use crate::intake::source::Source;
use crate::vocabulary::terms::{Term, terms};
use crate::vocabulary::time::{Span, Timestamp};

terms! {
    /// A source of facts about CVEs.
    Feed { Kev = "KEV", Epss = "EPSS", Cve = "CVE", Nvd = "NVD" }
}

/// What is to be known of a feed.
pub struct Entry {
    pub label: &'static str,
    /// The files that it is read from.
    pub files: &'static str,
    /// The files of a ZIP archive that are the feed's, by their names; `None`: an archive has one file.
    pub(crate) archived: Option<fn(&str) -> bool>,
    /// What it says of findings.
    pub says: &'static str,
    /// Whether a file names all there is: what it does not name any more is withdrawn.
    pub snapshot: bool,
    /// Older than this it is warned of.
    pub stale: Span,
    /// How often it is fetched where its address comes without a time.
    pub every: Span,
    pub(crate) read: fn(Source, Sink<'_>) -> Result<Option<Timestamp>>,
}

/// Takes each CVE id, in its one form, with what the feed says of it.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(String, Fact) -> Result<()>;

pub(crate) const fn days(days: i64) -> Span {
    Span(days * Span::DAY.0)
}

impl Feed {
    /// The name that the feed has as a speaker in the layers, the same on every server.
    pub fn id(self) -> Uuid {
        Uuid::from_u128(0x1f3e_d000_0000_8000_8000_0000_0000_0000 + u128::from(self.code()))
    }

    pub fn with_id(id: Uuid) -> Option<Self> {
        Self::ALL.iter().copied().find(|feed| feed.id() == id)
    }

    /// Opens a file of the feed.
    pub(crate) fn open(self, path: &Path, limits: &Limits) -> Result<Source> {
        match self.entry().archived {
            Some(is_wanted) => Source::open_all(path, is_wanted, limits),
            None => Source::open(path, limits),
        }
    }

    pub fn entry(self) -> &'static Entry {
        match self {
            Self::Kev => &kev::ENTRY,
            Self::Epss => &epss::ENTRY,
            Self::Cve => &cve::ENTRY,
            Self::Nvd => &nvd::ENTRY,
        }
    }
}
