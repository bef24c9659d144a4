//! How far an import is: its job's position and counts.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::reading::Checked;
use crate::job::store::Step;
use crate::job::{Job, JobState};

#[derive(Clone, Default)]
pub(super) struct Stored {
    /// Findings stored, in the order of the second reading.
    pub findings: i64,
    /// Whether all of them are, and what is gone is being closed.
    pub closing: bool,
    /// How often all was stored already: another scan came in the way of what this one relied on.
    pub rounds: i64,
    /// The ledger's last entry before anything was relied on; none before that.
    pub since: Option<i64>,
    /// The rules that everything was passed under so far; nil where they changed meanwhile.
    pub rules: Option<Uuid>,
    /// Whether the report named all that was present in its series when it began to be stored.
    pub covers: Option<bool>,
    /// Whether some finding of the report was seen later by another scan.
    pub elsewhere: bool,
    /// The vulnerability and the finding that were told of last; `None` before that stage.
    pub told_after: Option<(String, Uuid)>,
    pub counts: Counts,
}

/// What became of the findings so far.
#[derive(Clone, Default)]
pub(super) struct Counts {
    pub created: i64,
    pub changed: i64,
    pub unchanged: i64,
    pub closed: i64,
    /// Findings of other reports that a VEX document changed.
    pub told: i64,
}

impl Stored {
    pub fn read(job: &Job) -> Self {
        let number = |name| job.at(name).and_then(Json::as_i64);
        Self {
            findings: number("findings").unwrap_or(0),
            closing: job.at("closing").and_then(Json::as_bool).unwrap_or(false),
            rounds: number("rounds").unwrap_or(0),
            since: number("since"),
            rules: job.at("rules").and_then(|rules| rules.as_str()?.parse().ok()),
            covers: job.at("covers").and_then(Json::as_bool),
            told_after: job.at("toldAfter").and_then(|told| serde_json::from_value(told.clone()).ok()?),
            elsewhere: job.at("elsewhere").and_then(Json::as_bool).unwrap_or(false),
            counts: Counts {
                created: job.counted("created"),
                changed: job.counted("changed"),
                unchanged: job.counted("unchanged"),
                closed: job.counted("closed"),
                told: job.counted("told"),
            },
        }
    }

    /// Notes that what follows was passed under `rules`; none where that depends on the moment.
    pub fn passed_under(&mut self, rules: Option<Uuid>) {
        let rules = rules.unwrap_or_default();
        let same = self.rules.is_none_or(|before| before == rules);
        self.rules = Some(if same { rules } else { Uuid::nil() });
    }

    /// Adds a chunk of `findings` with these counts. From the second round on, all were counted.
    pub fn add(&mut self, findings: i64, more: &Counts) {
        self.findings += findings;
        self.counts.created += more.created;
        self.counts.changed += more.changed;
        self.counts.closed += more.closed;
        self.counts.told += more.told;
        if self.rounds == 0 {
            self.counts.unchanged += more.unchanged;
        } else {
            self.counts.unchanged -= more.created + more.changed;
        }
    }

    /// Begins to store all of it again.
    pub fn begin_again(&mut self) {
        *self = Self { rounds: self.rounds + 1, counts: self.counts.clone(), ..Self::default() };
    }

    pub fn step<'a>(
        &self,
        checked: &Checked,
        stage: &'a str,
        end: Option<(JobState, Option<Json>)>,
    ) -> Step<'a> {
        let total = i64::try_from(checked.findings).ok();
        let position = json!({
            "findings": self.findings, "closing": self.closing, "rounds": self.rounds,
            "since": self.since, "rules": self.rules, "covers": self.covers, "elsewhere": self.elsewhere,
            "toldAfter": self.told_after,
        });
        Step {
            stage,
            position: Some(position),
            total,
            done: if self.rounds == 0 { self.findings } else { total.unwrap_or(self.findings) },
            counts: self.counts(checked),
            end,
        }
    }

    /// What became of the findings, and what of the report is not understood, if anything.
    pub fn counts(&self, checked: &Checked) -> Map<String, Json> {
        let undecided = (checked.undecided > 0).then(|| ("undecided".to_owned(), json!(checked.undecided)));
        self.counts.json().into_iter().chain(undecided).collect()
    }
}

impl Counts {
    pub fn json(&self) -> Map<String, Json> {
        Map::from_iter([
            ("created".to_owned(), json!(self.created)),
            ("changed".to_owned(), json!(self.changed)),
            ("unchanged".to_owned(), json!(self.unchanged)),
            ("closed".to_owned(), json!(self.closed)),
            ("told".to_owned(), json!(self.told)),
        ])
    }
}
