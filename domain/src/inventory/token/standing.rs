//! Whether those who are connected for long still may be.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, ActorKind, Rights, Scope};
use crate::error::Result;

/// How many tokens one statement asks for.
const CHUNK: usize = 500;

impl Domain {
    /// Of each actor, whether what it came with is still good and gives the same rights: it has not
    /// ended, its holder is neither disabled nor archived, and role and portfolio are what they were.
    /// The server itself always stands.
    pub async fn standing(&self, actors: &[Arc<Actor>]) -> Result<Vec<bool>> {
        let tokens: BTreeSet<Uuid> = actors.iter().filter_map(|actor| actor.token).collect();
        let tokens: Vec<Uuid> = tokens.into_iter().collect();
        let now = self.clock().now();
        let mut good: HashMap<Uuid, Rights> = HashMap::with_capacity(tokens.len());
        for chunk in tokens.chunks(CHUNK) {
            for found in self.db().token_bearers(&Scope::System, chunk).await? {
                if let Some((actor, _)) = found.actor(now)
                    && let Some(token) = actor.token
                {
                    good.insert(token, actor.rights());
                }
            }
        }
        let people = |actor: &&Arc<Actor>| actor.token.is_none() && actor.kind == ActorKind::User;
        let people: Vec<&Arc<Actor>> = actors.iter().filter(people).collect();
        let sessions: BTreeSet<Uuid> = people.iter().filter_map(|actor| actor.session).collect();
        let sessions = self.live_sessions(sessions.into_iter().collect()).await?;
        let users: BTreeSet<Uuid> = people.iter().map(|actor| actor.id).collect();
        let grants = self.grants_of(users.into_iter().collect()).await?;
        let stands = |actor: &Arc<Actor>| match (actor.token, actor.kind) {
            (Some(token), _) => good.get(&token) == Some(&actor.rights()),
            (None, ActorKind::User) => {
                actor.session.is_none_or(|session| sessions.contains(&session))
                    && grants
                        .get(&(actor.id, actor.company))
                        .is_some_and(|(role, portfolio)| (*role, portfolio) == (actor.role, &actor.portfolio))
            }
            (None, _) => true,
        };
        Ok(actors.iter().map(stands).collect())
    }
}
