//! Who is away, until when, and who stands in: a deputy gives the votes of an approver who is away.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, ActorKind, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::vocabulary::time::{Span, Timestamp};

mod store;

/// How long somebody is away at most.
const LONGEST: Span = Span(366 * Span::DAY.0);

/// The absence of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    pub user: Uuid,
    pub company: Uuid,
    pub from: Timestamp,
    pub until: Timestamp,
    pub deputy: Option<Uuid>,
}

impl Domain {
    /// The absences of these users in the actor's company, past ones left out, by user.
    pub async fn absences_of(&self, actor: &Actor, users: &[Uuid]) -> Result<HashMap<Uuid, Absence>> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().absences(&scope, users, self.clock().now()).await?;
        Ok(found.into_iter().map(|absence| (absence.user, absence)).collect())
    }

    /// Says when a member is away and who stands in, in the place of what was said before: of oneself,
    /// or, by who manages the members, of others.
    pub async fn absence_set(
        &self,
        actor: &Actor,
        user: Option<Uuid>,
        from: Timestamp,
        until: Timestamp,
        deputy: Option<Uuid>,
    ) -> Result<Absence> {
        let (scope, user) = whose(actor, user)?;
        let now = self.clock().now();
        if until <= from || until <= now || until.0 - from.0 > LONGEST.0 {
            return Err(Error::invalid(
                "until",
                "An absence ends after it begins, within 366 days, and not before now.",
            ));
        }
        let mut tx = self.db().begin(actor, &scope, now).await?;
        tx.require_assignable(&[user], &[]).await.map_err(|_| Error::not_found("user").at("user"))?;
        if let Some(deputy) = deputy {
            if deputy == user {
                return Err(Error::invalid("deputy", "Somebody else stands in."));
            }
            tx.require_assignable(&[deputy], &[]).await.map_err(|_| Error::not_found("user").at("deputy"))?;
        }
        let absence = Absence { user, company: tx.company, from, until, deputy };
        tx.write_absence(&absence).await?;
        let said = json!({ "from": from, "until": until, "deputy": deputy });
        tx.audit(AuditEntry::new("user.absence_set", user).after(said));
        tx.answer(user);
        tx.commit().await?;
        Ok(absence)
    }

    /// Says that a member is back.
    pub async fn absence_end(&self, actor: &Actor, user: Option<Uuid>) -> Result<Uuid> {
        let (scope, user) = whose(actor, user)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        if !tx.delete_absence(user).await? {
            return Err(Error::new(Code::IllegalState, "Nothing was said of an absence."));
        }
        tx.audit(AuditEntry::new("user.absence_ended", user));
        tx.answer(user);
        tx.commit().await?;
        Ok(user)
    }
}

/// Of whom the actor may say it.
fn whose(actor: &Actor, user: Option<Uuid>) -> Result<(Scope, Uuid)> {
    match user {
        Some(user) if actor.kind != ActorKind::User || user != actor.id => {
            Ok((actor.allow(Permission::ManageMembers)?.of_tenant()?, user))
        }
        _ if actor.kind == ActorKind::User => {
            Ok((actor.allow(Permission::EditViews)?.of_tenant()?, actor.id))
        }
        _ => Err(Error::new(Code::Required, "Say who is away.").at("user")),
    }
}
