//! Countersign's domain: everything but the transport.
//!
//! Two roads lead through it, and they meet at the event:
//!
//! ```text
//! finding -> intake -> rule -> finding::change -> ledger (audit + event)
//! event   -> trigger -> plan -> run -> action -> journal -> feed        (to come)
//! ```
//!
//! [`Domain`] is the handle that transports hold. Each noun adds its own methods to it, in its own
//! folder; every check of a right is in those methods.

pub mod access;
pub mod approval;
pub mod error;
pub mod event;
pub mod evidence;
pub mod feed;
pub mod finding;
pub mod gateway;
pub mod intake;
pub mod intel;
pub mod inventory;
pub mod job;
pub mod ledger;
pub mod page;
pub mod policy;
pub mod rule;
pub mod signin;
pub mod store;
pub mod upkeep;
pub mod vocabulary;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;
use uuid::Uuid;

use gateway::clock::Clock;
use intake::limits::Limits;
use rule::backtest::Backtest;
use rule::live::RuleSets;
use rule::preview::Preview;
use rule::preview::kept::Kept;
use rule::revoke::preview::RevokePreview;
use signin::{Doors, SignInSettings};
use store::Db;

/// What an operator sets of the domain.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where this server keeps what is its own: spooled reports, its key, its identity.
    pub folder: PathBuf,
    /// What a report may cost.
    pub limits: Limits,
    pub sign_in: SignInSettings,
}

/// The server's domain: cheap to clone, shared by every request.
#[derive(Clone)]
pub struct Domain(Arc<Parts>);

struct Parts {
    db: Db,
    clock: Clock,
    settings: Settings,
    spool: PathBuf,
    /// The name under which this server claims jobs.
    worker: Uuid,
    rule_sets: RuleSets,
    doors: Doors,
    previews: Kept<Preview>,
    backtests: Kept<Backtest>,
    revoke_previews: Kept<RevokePreview>,
    jobs: Notify,
}

impl Domain {
    /// A domain on a migrated database. `worker` is this server's name for as long as its folder
    /// is: no other server that runs has the same.
    pub fn new(db: Db, clock: Clock, settings: Settings, worker: Uuid) -> Self {
        let spool = settings.folder.join("spool");
        let (rule_sets, jobs) = (RuleSets::default(), Notify::new());
        let (previews, backtests, revoke_previews) = (Kept::default(), Kept::default(), Kept::default());
        let doors = Doors::new(&settings.sign_in);
        Self(Arc::new(Parts {
            db,
            clock,
            settings,
            spool,
            worker,
            rule_sets,
            doors,
            previews,
            backtests,
            revoke_previews,
            jobs,
        }))
    }

    pub fn db(&self) -> &Db {
        &self.0.db
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn spool(&self) -> &Path {
        &self.0.spool
    }

    pub(crate) fn worker(&self) -> Uuid {
        self.0.worker
    }

    pub(crate) fn rule_sets(&self) -> &RuleSets {
        &self.0.rule_sets
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.0.doors
    }

    pub(crate) fn previews(&self) -> &Kept<Preview> {
        &self.0.previews
    }

    pub(crate) fn revoke_previews(&self) -> &Kept<RevokePreview> {
        &self.0.revoke_previews
    }

    pub(crate) fn backtests(&self) -> &Kept<Backtest> {
        &self.0.backtests
    }

    /// Tells the workers that there may be something to do.
    pub(crate) fn wake_jobs(&self) {
        self.0.jobs.notify_one();
    }

    pub(crate) async fn jobs_woken(&self) {
        self.0.jobs.notified().await;
    }
}
