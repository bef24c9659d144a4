//! Who is away, and who stands in.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object};
use domain::approval::absence::Absence;
use domain::inventory::membership::Membership;
use domain::inventory::user::User;
use record::{record, root};

use super::id::Noun;
use super::loaders::one;
use super::membership::MembershipNode;
use super::payload::{mutate, payload};
use super::scalars::DateTime;
use super::user::UserNode;

pub struct AbsenceNode(Absence);

impl From<Absence> for AbsenceNode {
    fn from(absence: Absence) -> Self {
        Self(absence)
    }
}

/// When a member is away, and who stands in: a deputy gives the votes of an approver who is away.
#[record]
#[Object(name = "Absence")]
impl AbsenceNode {
    /// From when.
    fn from(&self) -> DateTime {
        DateTime(self.0.from)
    }

    /// Until when.
    fn until(&self) -> DateTime {
        DateTime(self.0.until)
    }

    /// Who stands in; null for nobody.
    async fn deputy(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<UserNode>>>> {
        one::<User, _>(ctx, rows.iter().map(|row| row.0.deputy)).await
    }
}

/// When a member is away.
#[derive(InputObject)]
pub struct AbsenceInput {
    /// The global id of the user: the caller if not said. For others it takes the right to manage
    /// members.
    user: Option<ID>,
    /// From when.
    from: DateTime,
    /// Until when: at most 366 days later, and not before now.
    until: DateTime,
    /// The global id of who stands in: another member. One who covers only a part of the company gives
    /// no votes.
    deputy: Option<ID>,
}

payload! {
    /// What a change of an absence answers.
    AbsencePayload {
        /// The membership of who is away, or back.
        membership: MembershipNode
    }
}

#[derive(Default)]
pub struct AbsenceMutation;

#[root]
#[Object]
impl AbsenceMutation {
    /// Says when a member is away, in the place of what was said before.
    async fn absence_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, when, and who stands in.")] input: AbsenceInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<AbsencePayload> {
        mutate::<Membership, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let user = input.user.map(|id| Noun::User.read_at(&id, "user")).transpose()?;
                let deputy = input.deputy.map(|id| Noun::User.read_at(&id, "deputy")).transpose()?;
                let absence = domain.absence_set(&actor, user, input.from.0, input.until.0, deputy).await?;
                domain.membership_of(&actor, absence.user).await
            },
            |domain, actor, id| async move { domain.membership_of(&actor, id).await },
        )
        .await
    }

    /// Says that a member is back.
    async fn absence_end(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id of the user: the caller if not said.")] user: Option<ID>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<AbsencePayload> {
        mutate::<Membership, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let user = user.map(|id| Noun::User.read_at(&id, "user")).transpose()?;
                let user = domain.absence_end(&actor, user).await?;
                domain.membership_of(&actor, user).await
            },
            |domain, actor, id| async move { domain.membership_of(&actor, id).await },
        )
        .await
    }
}
