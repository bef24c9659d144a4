//! Alerts of GitHub as its REST API gives them: of Dependabot, of code scanning, of secret scanning.

mod code;
mod dependabot;
mod secret;

use serde::Deserialize;

pub use self::code::FORMAT as CODE_SCANNING;
pub use self::dependabot::FORMAT as DEPENDABOT;
pub use self::secret::FORMAT as SECRET_SCANNING;
use crate::intake::lenient::Texts;
use crate::intake::report::{ReportedAsset, Verdict};
use crate::intake::vex::{self, Vocabulary};

const ASSET: &str = "The repository's address: `repository.html_url`, or else the part of the alert's `html_url` before \
     `/security/`; or else the asset that the caller names.";

/// Who did something.
#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    login: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Repository {
    html_url: Texts,
    full_name: Texts,
}

/// The repository that an alert with that address is of.
fn asset(repository: Option<Repository>, address: &str, by_caller: Option<&str>) -> ReportedAsset {
    let repository = repository.unwrap_or_default();
    let of_alert = address.split_once("/security/").map(|(repository, _)| repository);
    let name = repository
        .html_url
        .first()
        .or(of_alert)
        .or(repository.full_name.first())
        .or(by_caller)
        .unwrap_or_default();
    ReportedAsset { name: name.to_owned(), kind: Some("repository".to_owned()) }
}

/// Why and by whom an alert was closed, as it is written.
struct Closed {
    reason: Texts,
    comment: Texts,
    by: Option<User>,
}

impl Closed {
    /// What the state of the alert makes of it, with the reason, or else the state.
    fn verdict(self, vocabulary: Vocabulary, state: &str) -> Option<Verdict> {
        let author = self.by.and_then(|user| user.login.into_first());
        let reason = self.reason.into_first();
        let why = reason.as_deref().unwrap_or(state);
        vex::verdict(vocabulary, state, Some(why), self.comment.into_first(), author)
    }
}
