//! Two rules, one of which comes earlier in the walk.

use super::part::{self, Fields, Part, What, Write};
use super::{Asking, Goal, Json, Leaf, Place, Step, Warning, WarningKind};
use crate::finding::layers::Scalar;
use crate::vocabulary::criteria::{Outcome, Test, Value};
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

/// Compares two rules that can match, if they have to do with each other.
pub(super) fn compare(parts: &[Part<'_>], earlier: usize, later: usize, asking: &mut Asking) {
    let (first, second) = (&parts[earlier], &parts[later]);
    let between = &parts[earlier + 1..later];
    let both_write = first.written & second.written;
    let crosses = first.written & second.reads | first.reads & second.written;
    if both_write | crosses == 0 {
        return;
    }
    let apart = first.is_apart(second, 0);
    if apart && (crosses == 0 || first.is_apart(second, first.written | second.written)) {
        return;
    }
    asking.analysis.compared += 1;
    if both_write != 0 && !apart {
        if repeats(first, between, second, asking) {
            let message = format!(
                "'{}' never says anything: whatever it matches, '{}' has said the same before.",
                second.rule.content.name, first.rule.content.name
            );
            return asking.warn(shadowed(second, first, message));
        }
        if overrides(first, between, second, asking) {
            let message = format!(
                "What '{}' says never shows: whatever it matches, '{}' says otherwise later.",
                first.rule.content.name, second.rule.content.name
            );
            return asking.warn(shadowed(first, second, message));
        }
        contradiction(first, second, asking);
    }
    if crosses != 0 {
        order(first, second, asking);
    }
}

/// Whether whatever the later rule says has been said: its criteria imply the earlier one's, which
/// still would hold by then as they did.
fn repeats(first: &Part<'_>, between: &[Part<'_>], second: &Part<'_>, asking: &mut Asking) -> bool {
    let said = |write: &Write| first.writes.iter().any(|earlier| says_all(earlier, write));
    let enforced = || between.iter().filter(|part| part.is_enforced());
    let written = enforced().fold(0, |fields: Fields, part| fields | part.written);
    // In a set nothing but people take away what a rule put in; a value can be another by then.
    let kept = |write: &Write| !matches!(write.what, What::Value(_)) || written & write.bit() == 0;
    first.is_enforced()
        && first.outlives(second)
        && second.writes.iter().all(|write| said(write) && kept(write))
        && (written | first.written) & first.reads == 0
        && asking.possible(&[second.holds(), first.fails()]) == Some(false)
}

/// Whether the earlier write says all that the later one does.
fn says_all(earlier: &Write, later: &Write) -> bool {
    let lasts = |earlier: Option<Timestamp>, later: Option<Timestamp>| match (earlier, later) {
        (None, _) => true,
        (Some(earlier), Some(later)) => earlier >= later,
        (Some(_), None) => false,
    };
    earlier.field == later.field
        && match (&earlier.what, &later.what) {
            (What::Value(earlier), What::Value(later)) => earlier == later,
            (What::Elements(earlier), What::Elements(later)) => later.iter().all(|one| earlier.contains(one)),
            (What::Accept(earlier), What::Accept(later)) => lasts(*earlier, *later),
            (What::Style, What::Style) => true,
            _ => false,
        }
}

/// Whether the later rule always lays another value over the earlier one's: its criteria are implied
/// by the earlier one's, and still hold by then.
fn overrides(first: &Part<'_>, between: &[Part<'_>], second: &Part<'_>, asking: &mut Asking) -> bool {
    let over = |write: &Write| second.writes.iter().any(|later| differ(write, later));
    let enforced = || between.iter().filter(|part| part.is_enforced());
    let written = enforced().fold(first.written, |fields: Fields, part| fields | part.written);
    let ends = enforced().any(|part| part.writes.iter().any(|w| matches!(w.what, What::Accept(_))));
    second.is_enforced()
        && second.outlives(first)
        && !ends
        && first.writes.iter().all(over)
        && written & second.reads == 0
        && asking.possible(&[first.holds(), second.fails()]) == Some(false)
}

/// Whether two write different values of one field that holds one.
fn differ(one: &Write, other: &Write) -> bool {
    match (&one.what, &other.what) {
        (What::Value(value), What::Value(another)) => one.field == other.field && value != another,
        _ => false,
    }
}

fn contradiction(first: &Part<'_>, second: &Part<'_>, asking: &mut Asking) {
    let pairs = first.writes.iter().flat_map(|own| second.writes.iter().map(move |other| (own, other)));
    let differing: Vec<(&Write, &Write)> = pairs.filter(|(own, other)| differ(own, other)).collect();
    let Some((own, other)) = differing.first() else { return };
    if asking.possible(&[first.holds(), second.holds()]) != Some(true) {
        return;
    }
    let message = format!(
        "'{}' sets {} to {}, '{}' to {}, and both can match: then the later one shows.",
        first.rule.content.name,
        own.field.replace('_', " "),
        value(own),
        second.rule.content.name,
        value(other)
    );
    let places =
        differing.iter().flat_map(|(own, other)| [place(first, own.pointer), place(second, other.pointer)]);
    let warning = Warning {
        kind: WarningKind::Contradicts,
        message,
        rules: vec![first.rule.id, second.rule.id],
        places: places.collect(),
    };
    asking.warn(warning);
}

fn value(write: &Write) -> String {
    match &write.what {
        What::Value(value) => match value.json() {
            Json::String(text) => text,
            other => other.to_string(),
        },
        _ => String::new(),
    }
}

/// Tells where one writes what the other reads, and reading it before comes out otherwise than after.
fn order(first: &Part<'_>, second: &Part<'_>, asking: &mut Asking) {
    let mut places = Vec::new();
    let mut fields = Vec::new();
    for (writer, reader) in [(first, second), (second, first)] {
        if !writer.is_enforced() || writer.is_apart(reader, writer.written) {
            continue;
        }
        for write in &writer.writes {
            let read = turned(writer, write, reader, asking);
            if !read.is_empty() {
                fields.push(write.field.replace('_', " "));
                places.push(place(writer, write.pointer));
                places.extend(read.into_iter().map(|pointer| Place { rule: reader.rule.id, pointer }));
            }
        }
    }
    if places.is_empty() {
        return;
    }
    fields.dedup();
    let message = format!(
        "The order of '{}' and '{}' matters: one writes {}, which the other asks about.",
        first.rule.content.name,
        second.rule.content.name,
        fields.join(" and ")
    );
    let rules = vec![first.rule.id, second.rule.id];
    asking.warn(Warning { kind: WarningKind::OrderMatters, message, rules, places });
}

/// The reader's leaves that can come out otherwise once the writer has written.
fn turned(writer: &Part<'_>, write: &Write, reader: &Part<'_>, asking: &mut Asking) -> Vec<String> {
    let Some(index) = write.index().filter(|index| reader.reads & (1 << index) != 0) else {
        return Vec::new();
    };
    let mut read: Vec<(String, &Step)> = Vec::new();
    part::leaves(&reader.tree.root, "/criteria", &mut |pointer, step, leaf| {
        if leaf.field == index {
            read.push((pointer, step));
        }
    });
    let mut turned = Vec::new();
    for (pointer, step) in read {
        let Step::Leaf(leaf) = step else { continue };
        let can_turn = match after(&write.what, leaf) {
            Some(after) => asking.possible(&[writer.holds(), Goal { step, holds: !after }]) == Some(true),
            None => may_turn(&write.what, leaf),
        };
        if can_turn {
            turned.push(pointer);
        }
    }
    turned
}

/// What a leaf comes to once the field was written; `None` where that hangs on the finding.
fn after(what: &What, leaf: &Leaf) -> Option<bool> {
    let judged = |value: Value<'_>| leaf.judge(value, Timestamp(0)) == Outcome::True;
    match (what, &leaf.test) {
        (What::Value(Scalar::Severity(severity)), _) => Some(judged(Value::Code(severity.code()))),
        (What::Value(Scalar::Text(text)), _) => Some(judged(Value::Text(text))),
        (What::Elements(elements), Test::Any(set)) if elements.iter().any(|one| set.contains(one)) => {
            Some(!leaf.negated)
        }
        (What::Elements(_), Test::Present) => Some(!leaf.negated),
        _ => None,
    }
}

/// Whether a write can turn a leaf of which it cannot be told what it comes to.
fn may_turn(what: &What, leaf: &Leaf) -> bool {
    match (what, &leaf.test) {
        (What::Elements(elements), Test::All(set)) => elements.iter().any(|one| set.contains(one)),
        (What::Style, test) => !matches!(test, Test::Present),
        // Behind an accepted risk the walk ends.
        _ => false,
    }
}

fn shadowed(rule: &Part<'_>, by: &Part<'_>, message: String) -> Warning {
    let own = rule.writes.iter().map(|write| place(rule, write.pointer));
    let others = by.writes.iter().map(|write| place(by, write.pointer));
    let mut places: Vec<Place> = own.chain(others).collect();
    for part in [rule, by] {
        part::leaves(&part.tree.root, "/criteria", &mut |pointer, _, _| {
            places.push(Place { rule: part.rule.id, pointer });
        });
    }
    Warning { kind: WarningKind::Shadowed, message, rules: vec![rule.rule.id, by.rule.id], places }
}

fn place(part: &Part<'_>, pointer: &str) -> Place {
    Place { rule: part.rule.id, pointer: pointer.to_owned() }
}
