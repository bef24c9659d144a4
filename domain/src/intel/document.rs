//! The page about intelligence, drawn from the catalogue.

use std::fmt::Write;

use super::feed::Feed;
use crate::vocabulary::terms::Term;

const INTRODUCTION: &str = "\
# Intelligence

This page is drawn from the catalogue in `domain/src/intel/`; a test keeps the two in step.

Feeds say what the world knows of CVEs. What follows for a finding that names them stands in the INTEL layer, over what \
its scanner says and under rules, runbooks and people; each entry names its feed. Findings that are there hear of a load, \
with the pass that follows; those to come hear of it before their first pass. A finding whose facts did not change is not \
touched. What a feed withdraws is withdrawn from the findings.

**Whose.** A platform admin loads for all companies, a company's admin for that company alone. Where both say something \
of a CVE by the same feed, the company's own word holds.

**Loading.** `intelLoadStart` answers with a path that takes the file by `PUT`; `countersign intel load` does the same \
without a server; or a server fetches the file from an address by the clock. All of a file is checked before any of it is \
stored: a row that is wrong refuses the file, with its place. gzip and a ZIP archive with one file in it are read as they \
are; CVE and NVD records may be any number of files in an archive, up to 750,000, held together to the limits of one report: \
its bytes, and their ratio to the archive. An archive inside of an archive is read where it is the only file. A load can be cancelled, and goes on after a crash; what a cancelled one left is made good by the next.

**What has changed.** A fact is compared as a whole and exactly: a score by any digit. EPSS moves most scores a little \
each day; of those, only the ones that a finding names touch anything but the facts.

**Several CVEs.** Of scores the highest counts, with its vector or percentile; of due dates the earliest. Of NVD and CVE \
records, NVD is asked first for each CVE. Of the CVSS scores in a record the newest version counts: 4.0, 3.1, 3.0, 2.0; \
a score that is missing is computed from its vector. Under a score that the scanner gave, only a vector of that score is \
shown. References are not kept with findings: they are looked up when somebody asks for them.

**Age.** The age of a feed is the time since it was loaded or found to be the newest: `intelFeeds`, and for the feeds of \
all companies `countersign_intel_feed_age_seconds` at `/metrics`. One that is too old has a warning there, and in the log.

**Fetching.** `intel_kev = \"https://… every 6h\"` and the like. One server at a time fetches a feed, asks only for what is \
new (ETag, Last-Modified), and tries again after a failure: after a minute, then each time twice as long, at most as long as \
between two fetches. Only public addresses are asked, each redirect included, unless `egress_allow` names their network; no \
proxy is taken from the environment; `egress_ca` names a file of authorities that are trusted beside the system's. A load \
whose server was cut off in the middle of its fetch ends with that reason when the fetch would have had to be over: after 15 \
minutes, of the NVD after two hours. One that waits for an upload ends after a day, as an import does.

**Pages.** An address of the NVD that ends in `/cves/2.0` (`https://services.nvd.nist.gov/rest/json/cves/2.0`) is its API: its \
pages are asked for one by one, six seconds apart, each up to three times, and are one load. The first time that is all there \
is; from then on what was modified since the last fetch that was loaded, and an hour before that, as long as that is not more \
than 120 days ago. What the address itself says (`resultsPerPage=500`, `lastModStartDate=…`) is kept.

";

/// The page about intelligence, as `docs/intelligence.md` keeps it.
pub fn document() -> String {
    let mut page = INTRODUCTION.to_owned();
    for feed in Feed::ALL {
        let entry = feed.entry();
        let kind = if entry.snapshot {
            "A file names all there is: what it does not name any more is withdrawn."
        } else {
            "A file names what it has: only what it says to be rejected is withdrawn."
        };
        write!(
            page,
            "## {} (`{}`)\n\n- Files: {}.\n- Says: {}\n- {kind}\n- Warned of after {}; fetched every {} where no time is said.\n\n",
            entry.label,
            feed.word(),
            entry.files,
            entry.says,
            entry.stale,
            entry.every,
        )
        .expect("a string takes any text");
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}
