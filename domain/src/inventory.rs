//! What the company has: assets, projects, people, teams and their tokens.
//!
//! Every mutation has the same steps: the right is asked for and yields the scope; the record is
//! read in the transaction and locked, its version compared; the change is checked and applied;
//! what differs is audited and told as an event; the transaction commits. A change that changes
//! nothing writes nothing.

pub mod asset;
pub mod code;
pub mod company;
pub mod input;
pub mod membership;
pub mod project;
pub(crate) mod record;
pub mod scan;
pub mod service_account;
pub mod source;
pub mod team;
pub mod token;
pub mod user;
pub mod view;

use crate::Domain;
use crate::access::{Actor, Scope};
use crate::error::Result;
use crate::store::Tx;

impl Domain {
    /// Begins a transaction in which `actor` writes for the company of `scope`.
    pub(crate) async fn begin(&self, actor: &Actor, scope: &Scope) -> Result<Tx> {
        self.db().begin(actor, scope, self.clock().now()).await
    }
}
