//! What a company asks of changes: which of them take a second person, whoever makes them. Pure.
//!
//! A change is told in [`ChangeFacts`], whoever makes it; a rule, whose findings come later, in
//! [`RuleFacts`]. A policy answers with the reasons why it is gated: none, and it may happen at once.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::rule::action::Action;
use crate::vocabulary::criteria::{Compiled, Criteria, Outcome, ReadFault, Subject, Value};
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::terms::{Severity, Status, Term, terms};
use crate::vocabulary::time::{Span, Timestamp};

pub mod conformance;
pub mod keeping;
#[cfg(test)]
mod properties;
pub mod store;

/// The most people that a change may take.
pub const MOST_VOTES: i32 = 10;
/// The longest that anything of a policy may last, in days.
pub const LONGEST: i32 = 3_650;

terms! {
    /// Why a change takes a second person.
    Gate {
        AcceptingRisk = "ACCEPTING_RISK", FalsePositive = "FALSE_POSITIVE",
        LoweringCritical = "LOWERING_CRITICAL", Share = "SHARE", Findings = "FINDINGS", Rules = "RULES",
    }
}

impl Gate {
    /// The gate as whoever has to agree is told of it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::AcceptingRisk => "It accepts a risk.",
            Self::FalsePositive => "It calls a finding a false positive.",
            Self::LoweringCritical => "It lowers what is critical or worse.",
            Self::Share => "It touches too large a share of the active findings.",
            Self::Findings => "It touches too many active findings.",
            Self::Rules => "It is what a rule does.",
        }
    }
}

/// What a company asks of changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Accepting a risk is gated.
    pub accepting_risk: bool,
    /// Calling a finding a false positive is gated.
    pub false_positive: bool,
    /// Lowering what is critical or worse is gated.
    pub lowering_critical: bool,
    /// Whatever a rule does is gated.
    pub rules: bool,
    /// Touching more than this share of the active findings is gated, from 0 to 1.
    pub share: Option<f64>,
    /// Touching more than so many active findings is gated.
    pub findings: Option<i64>,
    /// How many people have to say yes.
    pub quorum: i32,
    /// For how long a change waits for them, in hours.
    pub deadline_hours: i32,
    /// After how many hours they are reminded.
    pub reminder_hours: i32,
    /// How many days before its end an acceptance is warned of.
    pub warn_days: i32,
    /// Within how many days an acceptance has to end; none, and it may be without an end.
    pub acceptance_days: Option<i32>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            accepting_risk: false,
            false_positive: false,
            lowering_critical: false,
            rules: false,
            share: None,
            findings: None,
            quorum: 1,
            deadline_hours: 7 * 24,
            reminder_hours: 3 * 24,
            warn_days: store::WARN_DAYS,
            acceptance_days: None,
        }
    }
}

/// What a change of findings comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeFacts {
    /// How many findings' risk it accepts.
    pub accepted: i64,
    /// How many it calls false positives.
    pub called_false: i64,
    /// How many that are critical or worse it lowers.
    pub lowered: i64,
    /// How many active findings it touches.
    pub touched: i64,
    /// How many findings are active.
    pub active: i64,
    /// Whether a rule makes it.
    pub rule: bool,
}

impl ChangeFacts {
    /// Adds what a change does to one finding, which showed one thing and shows another after it.
    pub fn add(&mut self, was: (Severity, Status), is: (Severity, Status), accepted: bool) {
        let comes = |status| is.1 == status && was.1 != status;
        self.accepted += i64::from(accepted || comes(Status::AcceptedRisk));
        self.called_false += i64::from(comes(Status::FalsePositive));
        self.lowered += i64::from(was.0 >= Severity::Critical && is.0 < was.0);
        self.touched += i64::from(was.1.is_active());
    }
}

/// What a rule would come to.
#[derive(Clone, Debug)]
pub struct RuleFacts<'a> {
    pub action: &'a Action,
    /// Its criteria; none that could be read, and they may hold for anything.
    pub criteria: Option<&'a Criteria>,
    /// How many active findings it holds for now, and how many there are.
    pub touched: i64,
    pub active: i64,
}

impl Policy {
    /// Checks the bounds of every member.
    pub fn check(self) -> Result<Self> {
        let within = |field: &str, value: i32, least: i32, most: i32| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::invalid(field, format!("Between {least} and {most}.")))
        };
        if self.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(Error::invalid("share", "A share lies between 0 and 1."));
        }
        if self.findings.is_some_and(|findings| findings < 0) {
            return Err(Error::invalid("findings", "A count is not negative."));
        }
        within("quorum", self.quorum, 1, MOST_VOTES)?;
        within("deadlineHours", self.deadline_hours, 1, LONGEST * 24)?;
        within("reminderHours", self.reminder_hours, 1, LONGEST * 24)?;
        within("warnDays", self.warn_days, 0, LONGEST)?;
        self.acceptance_days.map_or(Ok(()), |days| within("acceptanceDays", days, 1, LONGEST))?;
        Ok(self)
    }

    /// Why a change takes a second person.
    pub fn gates(&self, facts: &ChangeFacts) -> Vec<Gate> {
        // Nothing is a share of nothing.
        let share = facts.touched as f64 / facts.active.max(facts.touched).max(1) as f64;
        let gated = [
            (Gate::AcceptingRisk, self.accepting_risk && facts.accepted > 0),
            (Gate::FalsePositive, self.false_positive && facts.called_false > 0),
            (Gate::LoweringCritical, self.lowering_critical && facts.lowered > 0),
            (Gate::Share, facts.touched > 0 && self.share.is_some_and(|most| share > most)),
            (Gate::Findings, self.findings.is_some_and(|most| facts.touched > most)),
            (Gate::Rules, self.rules && facts.rule),
        ];
        gated.into_iter().filter_map(|(gate, holds)| holds.then_some(gate)).collect()
    }

    /// Why a rule takes a second person: for what it does now, and for what it may do to findings that
    /// are yet to come.
    pub fn for_rule(&self, facts: &RuleFacts<'_>) -> Vec<Gate> {
        let accepts = matches!(facts.action, Action::AcceptedRisk(_));
        let lowers = match facts.action {
            Action::OverrideSeverity(config) => {
                let above = Severity::ALL.iter().filter(|severity| **severity > config.severity);
                let mut critical = above.filter(|severity| **severity >= Severity::Critical);
                critical.any(|severity| facts.criteria.is_none_or(|tree| may_hold(tree, *severity)))
            }
            _ => false,
        };
        self.gates(&ChangeFacts {
            accepted: i64::from(accepts),
            called_false: 0,
            lowered: i64::from(lowers),
            touched: facts.touched,
            active: facts.active,
            rule: true,
        })
    }

    /// Whether a change that a person makes could be gated.
    pub fn watches_people(&self) -> bool {
        self.accepting_risk || self.false_positive || self.lowering_critical || self.counts()
    }

    /// Whether any change could be gated by how many findings it touches.
    pub fn counts(&self) -> bool {
        self.share.is_some() || self.findings.is_some()
    }

    /// The members in which `other` asks less than this policy: what a second person has to agree to.
    pub fn loosened_by(&self, other: &Self) -> Vec<&'static str> {
        fn less<T: PartialOrd>(ours: Option<T>, theirs: Option<T>) -> bool {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => theirs > ours,
                (Some(_), None) => true,
                (None, _) => false,
            }
        }
        let loosened = [
            ("accepting_risk", self.accepting_risk && !other.accepting_risk),
            ("false_positive", self.false_positive && !other.false_positive),
            ("lowering_critical", self.lowering_critical && !other.lowering_critical),
            ("rules", self.rules && !other.rules),
            ("share", less(self.share, other.share)),
            ("findings", less(self.findings, other.findings)),
            ("quorum", other.quorum < self.quorum),
            ("acceptance_days", less(self.acceptance_days, other.acceptance_days)),
        ];
        loosened.into_iter().filter_map(|(member, less)| less.then_some(member)).collect()
    }

    /// How long before its end an acceptance is warned of.
    pub fn warning(&self) -> Span {
        Span::DAY.times(self.warn_days.into()).unwrap_or(Span::DAY)
    }

    /// Whether an acceptance of this moment may end at `until`.
    pub fn permits(&self, until: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(days) = self.acceptance_days.and_then(|days| Span::DAY.times(days.into())) else {
            return true;
        };
        until.is_some_and(|until| until <= now.plus(days))
    }
}

/// A finding of which the severity is known, and nothing else can be told.
struct OfSeverity(Severity);

impl Subject for OfSeverity {
    fn read(&self, field: usize) -> Result<Value<'_>, ReadFault> {
        if FindingField::ALL[field] == FindingField::Severity {
            return Ok(Value::Code(self.0.code()));
        }
        Err(ReadFault(Cow::Borrowed("not known")))
    }
}

/// Whether criteria could hold for some finding of this severity: not false, whatever the rest is.
fn may_hold(tree: &Criteria, severity: Severity) -> bool {
    Compiled::new(tree).matches(&OfSeverity(severity), Timestamp::default()) != Outcome::False
}

/// A policy as a company keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub company: Uuid,
    pub policy: Policy,
    /// When it was last set; none where nobody ever did.
    pub updated_at: Option<Timestamp>,
    /// Counts the times that it was set.
    pub version: i64,
}
