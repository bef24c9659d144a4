//! The page about formats, drawn from the catalogue.

use std::fmt::{self, Write};

use super::Format;
use crate::intake::limits::Limits;
use crate::intake::mapping::Mapped;
use crate::intake::text;
use crate::intake::vex;
use crate::intel::vex::RULES;
use crate::intel::vex::versions::SCHEMES;
use crate::vocabulary::terms::Term;

const INTRODUCTION: &str = "\
# Formats

This page is drawn from the catalogue in `domain/src/intake/`; a test keeps the two in step.

A report is read twice as a stream: once to check and collect, once to store. Nothing of it is stored before \
all of it was found good. If a report writes what findings refer to after them (the rules of a tool, the name of an \
image), the first reading goes through it a second time.

**Detection.** A format that is not named is told from the first 64 KiB. Formats that are read through a mapping \
are never detected: without the mapping nobody can say what their columns mean.

**Entries and findings.** An *entry* is a finding as the report lists it. Entries with the same fingerprint are one \
finding: the highest severity, all elements of their lists, an exploit known if either knows one, the earliest first \
sighting, and of everything else the first value there is.

**Fingerprint.** SHA-256 over the version of the recipe, the scanner, the name of the asset and the identity, as below. \
Severity, title and times are never part of it, unless a mapping has nothing else to offer. Findings of different scanners never share one. A finding for which neither \
the report nor the caller names an asset is on `unnamed asset`.

**Verdicts.** What a report says of its own finding beside that it is there, a VEX analysis, a suppression, a \
dismissal, becomes an entry of the finding's layers with its justification and author. The finding stays, and shows \
the verdict's status until a person decides otherwise, or a later report no longer says so.

**Wrappings.** A report may come as it is, as gzip, or as a ZIP archive with one file in it (folders and what systems \
add by themselves do not count); nothing is unpacked to disk, names inside of an archive are never used, and what is \
packed twice is refused. Text is UTF-8, or UTF-16 by its byte order mark or its first characters; XML may declare \
other encodings. Bytes that are not of the encoding are refused with their place.

**Form.** U+0000 is removed, texts are trimmed, and an empty text is a missing one. ";

const MAPPING: &str = "\
## Mappings

A mapping is a JSON object that says what the columns of a table, or the members of objects, mean. A member that it \
does not have is refused, and so is a column that the table does not have.

| member | meaning |
| --- | --- |
| `columns` | field to column: the name in the header row, ignoring case; for JSON a member's name or a JSON Pointer (`/cvss/score`) |
| `constants` | field to the value where the column is empty or there is none |
| `severities` | the report's words for severities to ours, beyond the words below |
| `listSeparator` | what parts the elements of a list in one cell, besides line ends; `,` if not given |
| `identity` | the columns by which a finding is known again |
| `items` | for JSON: a JSON Pointer to the array of findings; the whole document if not given |
| `delimiter` | for CSV: what parts the cells; if not given, whichever of comma, semicolon, tab and bar the header row has most of |
| `timeFormat` | how times are written, in the letters of strftime (`%d/%m/%Y`), where they are not RFC 3339 |
| `scanner` | the scanner's name, a part of every fingerprint |
";

/// The whole page, in Markdown.
pub fn document() -> String {
    let mut page = String::from(INTRODUCTION);
    write(&mut page).expect("writing to a string does not fail");
    page
}

fn write(page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "Titles and other lines are cut at {} characters, descriptions at {} KiB, excerpts at {} KiB. CVSS scores \
         outside of 0 to 10 are left out; where a report gives a CVSS vector without a score, the score is computed (versions 2, 3.0, 3.1 and 4.0).\n",
        text::LINE,
        text::PAGE >> 10,
        text::EXCERPT >> 10,
    )?;
    limits(page)?;
    writeln!(page, "\n{MAPPING}")?;
    writeln!(
        page,
        "Fields: {}.",
        Mapped::WORDS.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    )?;
    verdicts(page)?;
    statements(page)?;
    for format in Format::ALL {
        let entry = format.entry();
        writeln!(page, "\n## {}\n", entry.label)?;
        let list =
            |values: &[&str]| values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
        writeln!(
            page,
            "Key `{}`; media types {}; files {}.",
            entry.key,
            list(entry.media_types),
            list(entry.extensions)
        )?;
        if entry.mapped {
            writeln!(
                page,
                "Read through a mapping; its scanner is `{}` unless the mapping names one.",
                entry.scanner
            )?;
        } else {
            writeln!(
                page,
                "Told by itself; its scanner is `{}` unless the report names one.",
                entry.scanner
            )?;
        }
        writeln!(page, "\n**What counts as one finding.** {}", entry.counting)?;
        writeln!(page, "\n**Identity.** {}", entry.identity)?;
        writeln!(page, "\n**Asset.** {}", entry.asset)?;
        writeln!(page, "\n**Required.** {}", entry.required)?;
        if let Some(which) = entry.vex {
            writeln!(page, "\n**VEX statements.** Of its findings {which}.")?;
        }
        table(page, ["the report's severity", "severity"], entry.severities)?;
        table(page, ["field", "read from"], entry.fields)?;
    }
    Ok(())
}

const VERDICTS: &str = "\
## Verdicts

What a report says of its own finding beside that it is there: the state of a VEX statement, a suppression, an ignore. Such a \
finding is never dropped: it comes with a verdict, which says what it is to be, why and who says so. Entries that are one finding \
have a verdict only where all of them do. A state that is not in the table gives none.

| who | state | justification | verdict | because |
| --- | --- | --- | --- | --- |
";

fn verdicts(page: &mut String) -> fmt::Result {
    write!(page, "\n{VERDICTS}")?;
    for row in vex::TABLE {
        let states = row.state.split('|').map(|state| format!("`{state}`")).collect::<Vec<_>>().join(", ");
        let of_state =
            || vex::TABLE.iter().filter(|one| (one.vocabulary, one.state) == (row.vocabulary, row.state));
        let says_none = of_state().any(|one| one.justification == vex::ABSENT);
        let why = match row.justification {
            vex::ABSENT => "none".to_owned(),
            vex::OTHER if says_none => "any other".to_owned(),
            vex::OTHER if of_state().count() > 1 => "any other, or none".to_owned(),
            vex::OTHER => "any, or none".to_owned(),
            why => format!("`{why}`"),
        };
        let status = row.status.map_or("none", Term::word);
        writeln!(page, "| {} | {states} | {why} | {status} | {} |", row.vocabulary.label(), row.because)?;
    }
    Ok(())
}

const STATEMENTS: &str = "\
## VEX statements

A VEX document speaks of the findings of other reports too. Its statements are kept with the project that it is imported into, \
and hold for the findings of that project, those that are there and those to come: for none of another project. A statement holds \
for a finding that has a name of its vulnerability in common with it, and where:

| the statement is | and of the finding |
| --- | --- |
";

const MATCHING: &str = "
**Names of vulnerabilities.** Of a statement: the name and all aliases. Of a finding: the CVE ids that it shows, and the scanner's \
own id where the finding is of a component (`GHSA-…`, `RUSTSEC-…`). CVE ids and all else are compared in any case.

**A component is the component** where both have a package URL, if type, namespace, name, and the qualifiers and the subpath that \
the statement has, are equal; where one has none, if the names are equal in any case. Where the statement has a version, the \
finding's is the same text, or lies in the range. Of components that a document has in several versions as one finding, the \
first is spoken of.

**Ranges of versions** are `range` in CycloneDX and the branches `product_version_range` in CSAF: `vers:npm/>=1.0.0|<1.4.2`, or \
signs in front of versions (`<4.2`, `>= 1.0, < 2.0`), or `all versions`. Versions are compared by the type that `vers:` names, \
else by that of the component's package URL, else as numbers with dots between them. Any other words, types and versions are \
not guessed at: such a statement holds for no finding, nor does any range for a finding whose version is none of the scheme. \
The import counts the statements whose range is not understood as `undecided`.


**An asset is the product** if their names are equal in any case, or the package URL names the asset: an image \
(`pkg:oci/…`, `pkg:docker/…`) by `repository_url` and name, a repository (`pkg:github/…`) by its path, all else by the name of \
the package. The version of the product does not count, nor the tag and the digest of an image (an asset of the kind \
`container_image`), nor Docker's own registry and `library/` in front.

**What it does.** What a verdict makes of a finding is an entry of its status in the layer INTEL, with justification, statement \
and author, by the series of the document. It lies over what the finding's own report says and under rules, runbooks and people. \
Of several statements that hold the one that was said last counts, by the statement's own time or else the document's; of the \
same time the one that names asset, component and version; of those one without a verdict. A later one without a verdict \
(`affected`, `under_investigation`) takes an earlier verdict back. The finding that is made of a statement shows the verdict from its \
own report.

**When it ends.** The same statement of a newer document of the series takes the place of the older one, and a complete document \
withdraws what its series said before and it does not say. A finding whose asset is renamed hears of it at once, one whose \
component changes when it is seen so.

**How versions are compared:**
";

fn statements(page: &mut String) -> fmt::Result {
    write!(page, "\n{STATEMENTS}")?;
    RULES.iter().try_for_each(|(statement, finding)| writeln!(page, "| {statement} | {finding} |"))?;
    page.push_str(MATCHING);
    page.push_str("\n| types of ranges and package URLs | how versions are compared |\n| --- | --- |\n");
    SCHEMES.iter().try_for_each(|(_, kinds, how)| writeln!(page, "| `{}` | {how} |", kinds.join("`, `")))
}

fn limits(page: &mut String) -> fmt::Result {
    let limits = Limits::default();
    let bytes = |bytes: u64| match bytes {
        bytes if bytes >= 1 << 30 => format!("{} GiB", bytes >> 30),
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    };
    let rows = [
        (
            "bytes",
            bytes(limits.bytes),
            "the whole report; and what it comes to with all that it says once of many findings written out for each",
        ),
        ("ratio", limits.ratio.to_string(), "times that it may be larger than it is packed, from 16 MiB on"),
        ("entries", limits.entries.to_string(), "files and folders in a ZIP archive"),
        ("records", limits.records.to_string(), "files and folders in a ZIP archive of a feed"),
        ("nesting", limits.nesting.to_string(), "objects and arrays, or elements, inside of each other"),
        (
            "string",
            bytes(limits.string as u64),
            "one JSON string, one cell of a table, one XML tag with its attributes",
        ),
        ("number", bytes(limits.number as u64), "one JSON number or word"),
        ("text", bytes(limits.text as u64), "one run of text between XML tags"),
        ("item", bytes(limits.item), "one finding as the report writes it"),
        ("values", limits.values.to_string(), "values in one finding, and cells in one row of a table"),
        ("items", limits.items.to_string(), "findings"),
        ("attributes", limits.attributes.to_string(), "attributes of one XML element"),
        (
            "collected",
            bytes(limits.collected as u64),
            "rules, artifacts and names that are kept while reading",
        ),
        ("entities", "0".to_owned(), "entity declarations in XML"),
    ];
    writeln!(
        page,
        "**Limits**, checked while the report streams by; a report over one is refused as `REPORT_TOO_LARGE`, with the"
    )?;
    writeln!(page, "limit's name and value. Of a list of one finding {} elements are kept.\n", limits.list)?;
    writeln!(page, "| limit | value | of what |\n| --- | --- | --- |")?;
    rows.iter().try_for_each(|(name, value, what)| writeln!(page, "| `{name}` | {value} | {what} |"))
}

fn table(page: &mut String, head: [&str; 2], rows: &[(&str, &str)]) -> fmt::Result {
    writeln!(page, "\n| {} | {} |\n| --- | --- |", head[0], head[1])?;
    rows.iter().try_for_each(|(left, right)| writeln!(page, "| {left} | {right} |"))
}
