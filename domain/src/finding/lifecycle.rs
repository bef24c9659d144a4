//! The lifecycle of a finding: who may move it from where to where. Pure.
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | (new) | OPEN | a sighting |
//! | OPEN, IN_PROGRESS | any other | a person, a runbook |
//! | OPEN, IN_PROGRESS, ACCEPTED_RISK | FIXED | a complete report of its series without it |
//! | FIXED, CLOSED | OPEN | a sighting newer than the closing; a person, a runbook |
//! | FIXED | CLOSED | a person, a runbook |
//! | ACCEPTED_RISK, FALSE_POSITIVE | OPEN, IN_PROGRESS, CLOSED | a person, a runbook |
//! | ACCEPTED_RISK | FALSE_POSITIVE, and back | a person, a runbook |
//! | ACCEPTED_RISK | FIXED | a person, a runbook |

use crate::vocabulary::terms::Status;
use crate::vocabulary::terms::Status::{AcceptedRisk, Closed, FalsePositive, Fixed, InProgress, Open};

/// Where a person or a runbook may move a finding that stands at `from`.
pub fn moves(from: Status) -> &'static [Status] {
    match from {
        Open => &[InProgress, Fixed, AcceptedRisk, FalsePositive, Closed],
        InProgress => &[Open, Fixed, AcceptedRisk, FalsePositive, Closed],
        Fixed => &[Open, Closed],
        AcceptedRisk => &[Open, InProgress, Fixed, FalsePositive, Closed],
        FalsePositive => &[Open, InProgress, AcceptedRisk, Closed],
        Closed => &[Open],
    }
}

/// Where a sighting newer than the closing moves a finding; `None` leaves it.
pub fn seen(from: Status) -> Option<Status> {
    matches!(from, Fixed | Closed).then_some(Open)
}

/// Where a complete report without it moves a finding; `None` leaves it.
pub fn gone(from: Status) -> Option<Status> {
    matches!(from, Open | InProgress | AcceptedRisk).then_some(Fixed)
}
