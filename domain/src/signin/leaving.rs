//! Somebody leaves: what they came in with ends, and what they worked on goes to somebody else.

use serde_json::json;
use uuid::Uuid;

use super::link;
use super::session::{self, scope_of};
use crate::Domain;
use crate::access::{Actor, GLOBAL};
use crate::error::{Error, Result};
use crate::finding::edit::Edit;
use crate::inventory::membership::Membership;
use crate::inventory::user::User;
use crate::inventory::{membership, view};
use crate::job::{JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::store::Tx;

impl Domain {
    /// Takes a member out of the transaction's company: the membership, the teams, the tokens, and, of
    /// who has no other company, the sessions.
    pub(crate) async fn leave(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        membership: &Membership,
        user: &User,
        heir: Option<Uuid>,
    ) -> Result<()> {
        membership::store::remove(tx, membership).await?;
        tx.audit(
            AuditEntry::new("membership.removed", membership.id).before(
                json!({ "user": user.id, "role": membership.role, "portfolio": membership.portfolio }),
            ),
        );
        session::store::end_access(tx, user.id).await?;
        session::store::revoke_tokens(tx, user.id, Some(tx.company)).await?;
        link::store::revoke_passwords(tx, user.id).await?;
        if !user.platform_admin && membership::store::elsewhere(tx, user.id).await? == 0 {
            session::store::end_all(tx, user.id, None).await?;
        }
        self.hand_over(tx, actor, user, heir).await
    }

    /// Ends all that a user comes in with.
    pub(crate) async fn shut_out(&self, tx: &mut Tx, user: Uuid) -> Result<()> {
        let sessions = session::store::end_all(tx, user, None).await?;
        let tokens = session::store::revoke_tokens(tx, user, None).await?;
        link::store::revoke_passwords(tx, user).await?;
        let told = json!({ "sessions": sessions, "tokens": tokens });
        tx.audit(AuditEntry::new("user.signed_out", user).after(told));
        Ok(())
    }

    /// Hands a user's work in the transaction's company to `heir`, or leaves it to nobody: views in one
    /// statement, assignments by a job in bounded chunks. Views without an heir stay as they are.
    pub(crate) async fn hand_over(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        user: &User,
        heir: Option<Uuid>,
    ) -> Result<()> {
        if heir == Some(user.id) {
            return Err(Error::invalid("handOverTo", "Work goes to somebody else."));
        }
        let heirs: Vec<Uuid> = heir.into_iter().collect();
        tx.require_assignable(&heirs, &[]).await.map_err(|_| Error::not_found("user").at("handOverTo"))?;
        let views = match heir {
            Some(heir) => view::store::hand_over(tx, user.id, heir, &user.email).await?,
            None => 0,
        };
        let edit = Edit::Assign {
            add_users: heirs,
            add_teams: Vec::new(),
            remove_users: vec![user.id],
            remove_teams: Vec::new(),
        };
        let filter = json!({ "field": "assigned_users", "operator": "contains", "value": user.id });
        let job = self.clock().id();
        let principal = Principal::of(actor);
        let params = json!({ "filter": filter, "edit": edit });
        tx.insert_job(job, JobKind::BulkChange, JobState::Pending, &principal, None, &params).await?;
        tx.audit(
            AuditEntry::new("user.handed_over", user.id)
                .after(json!({ "to": heir, "views": views, "job": job })),
        );
        Ok(())
    }

    /// Hands over what a user whose account was disabled for all companies has in each.
    pub(crate) async fn hand_over_everywhere(
        &self,
        actor: &Actor,
        user: &User,
        heir: Option<Uuid>,
    ) -> Result<()> {
        let Some((_, choices)) = self.account(user.id).await? else { return Ok(()) };
        for choice in choices.iter().filter(|choice| choice.company != GLOBAL) {
            let actor = Actor { company: choice.company, idempotency: None, ..actor.clone() };
            let mut tx = self.begin(&actor, &scope_of(choice.company)).await?;
            let heir = match heir {
                Some(heir) if tx.require_assignable(&[heir], &[]).await.is_ok() => Some(heir),
                _ => None,
            };
            self.hand_over(&mut tx, &actor, user, heir).await?;
            tx.commit().await?;
        }
        self.wake_jobs();
        Ok(())
    }
}
