//! Changes to a report that leave most of it a report: whole values, elements and lines are taken
//! out, doubled, exchanged, or replaced by what readers may not expect. Half of the changes are
//! left to libFuzzer, which knows nothing of syntax.

use std::ops::Range;

/// What may stand in place of a value.
const VALUES: &[&str] = &[
    "null",
    "true",
    "[]",
    "{}",
    "[null]",
    "[{}]",
    "[[]]",
    "\"\"",
    "\" \"",
    "0",
    "-1",
    "-0.0",
    "1e400",
    "1e-400",
    "99999999999999999999",
    "4294967296",
    "65536",
    "0.30000000000000004",
    "10.5",
    "NaN",
    "Infinity",
    "\"7\"",
    "\"-1\"",
    "\"1e400\"",
    "\"NaN\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\u{e9}\u{10348}\"",
    "\"\u{feff}\u{3000}\u{0130}\"",
    "\"0000-00-00T00:00:00Z\"",
    "\"0000-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:60Z\"",
    "\"+10000-01-01 00:00:00\"",
    "\"-0001-01-01 00:00:00\"",
    "\"+292277026596-12-04T15:30:08Z\"",
    "\"2024-02-30T00:00:00Z\"",
    "\"2024-01-01T00:00:00+23:59\"",
    "\"99999999999\"",
    "\"9999999999999\"",
    "\"Mon Jan  1 00:00:00 2024\"",
    "\"Mon, 32 Jan 2024 25:61:61\"",
    "\"CVE-2021-44228\"",
    "\"cve-99999-1\"",
    "\"CWE-79, CWE-80\"",
    "\"CWE-0\"",
    "\"pkg:npm/%40a/b@1?c=d#e\"",
    "\"pkg:\"",
    "\"pkg:a/b@\"",
    "\"http://[::1\"",
    "\"https://a:99999/%00?b#c\"",
    "\"file:///a/../b\"",
    "\"\\\\\\\\a\\\\b\"",
    "\"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\"",
    "\"CVSS:4.0/AV:N\"",
    "\"AV:N/AC:L/Au:N/C:P/I:P/A:P\"",
    "&amp;",
    "&#0;",
    "&#x110000;",
    "&a;",
    "<!--->",
    "<!---->",
    "<![CDATA[]]>",
    "<![CDATA[<a>]]>",
    "<?a?>",
    "<?>",
    "<a/>",
    "<!DOCTYPE a [<!ELEMENT a ]>",
    "\"\"\"",
    "\u{0}",
    "\r\n",
    "\u{2028}",
];

struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides.max(1) as u64) as usize
    }
}

pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed));
    if size == 0 || dice.roll(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mut report = data[..size].to_vec();
    for _ in 0..=dice.roll(3) {
        change(&mut report, &mut dice);
    }
    report.truncate(max_size);
    data[..report.len()].copy_from_slice(&report);
    report.len()
}

fn change(report: &mut Vec<u8>, dice: &mut Dice) {
    let Some(span) = span(report, dice.roll(report.len())) else { return };
    let piece = report[span.clone()].to_vec();
    match dice.roll(5) {
        0 => {
            // With the comma behind it, or else the one before.
            let (mut from, mut to) = (span.start, span.end);
            if report.get(to) == Some(&b',') {
                to += 1;
            } else if from > 0 && report[from - 1] == b',' {
                from -= 1;
            }
            report.drain(from..to);
        }
        1 => {
            let part: &[u8] = if matches!(piece[0], b'<' | b'\n') { b"" } else { b"," };
            let times = 1 + dice.roll(4);
            let more: Vec<u8> = (0..times).flat_map(|_| [part, &piece].concat()).collect();
            report.splice(span.end..span.end, more);
        }
        2 => {
            let value = VALUES[dice.roll(VALUES.len())];
            // Inside of quotes a text goes without its own.
            let quoted = span.start > 0 && matches!(report[span.start - 1], b'"' | b'\'');
            let value = if quoted { value.trim_matches('"') } else { value };
            report.splice(span, value.bytes());
        }
        3 => {
            let Some(other) = self::span(report, dice.roll(report.len())) else { return };
            let other = report[other].to_vec();
            report.splice(span, other);
        }
        _ => {
            let Some(other) = self::span(report, dice.roll(report.len())) else { return };
            if other.start >= span.end {
                let later = report[other.clone()].to_vec();
                report.splice(other, piece);
                report.splice(span, later);
            }
        }
    }
}

/// The first piece of syntax that begins at `from` or behind it.
fn span(report: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + report[from..].iter().position(|byte| begins(*byte))?;
    let rest = &report[start..];
    let len = match rest[0] {
        b'{' | b'[' => enclosed(rest),
        b'"' => 1 + until(&rest[1..], |byte| byte == b'"') + 1,
        b'<' => element(rest),
        b'\n' => 1 + until(&rest[1..], |byte| byte == b'\n'),
        _ => until(rest, |byte| !word(byte)),
    };
    Some(start..start + len.clamp(1, rest.len()))
}

fn begins(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'"' | b'<' | b'\n') || word(byte)
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b':') || !byte.is_ascii()
}

fn until(bytes: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len())
}

/// The length of an object or array with all that is in it.
fn enclosed(bytes: &[u8]) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

/// The length of an element to the end of its name's first closing tag, or of its tag alone.
fn element(bytes: &[u8]) -> usize {
    let tag = until(bytes, |byte| byte == b'>') + 1;
    let name = &bytes[1..1 + until(&bytes[1..], |byte| !word(byte))];
    let closing = [b"</", name, b">"].concat();
    match bytes.windows(closing.len()).position(|window| window == closing) {
        Some(at) if !name.is_empty() => at + closing.len(),
        _ => tag,
    }
}
