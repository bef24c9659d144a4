//! An eye on those who stay connected: a socket or a stream ends when what its caller came with does.
//!
//! A request is over before anything can change; a stream is not. Whoever stays is *admitted*, and
//! learns from [`Admitted::over`] when it is to go: at the end of its token, or within [`LOOK`] of
//! when the token was revoked or its holder's rights became others, whichever server was told. All of
//! a server's callers are looked up together, so that ten thousand of them cost a few statements.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::access::{Actor, ActorKind};
use domain::gateway::clock::Clock;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, Sleep, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::auth::Authenticate;

/// How often those who are connected are looked up.
const LOOK: Duration = Duration::from_secs(2);
/// Longer than any token or process lives.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// Why somebody has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The token came to its end.
    Expired,
    /// The token was revoked, or its holder has other rights than before, or none.
    Revoked,
}

/// Everybody who is connected for longer than a request.
pub struct Vigil {
    clock: Clock,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    next: u64,
    callers: HashMap<u64, Caller>,
    /// How many there are of each person, in each company.
    counts: HashMap<Person, usize>,
}

type Person = (ActorKind, Uuid, Uuid);

struct Caller {
    actor: Arc<Actor>,
    tell: oneshot::Sender<()>,
}

fn person(actor: &Actor) -> Person {
    (actor.kind, actor.id, actor.company)
}

impl Vigil {
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, present: Mutex::default() })
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a caller for as long as what is returned lives; `None` if `most` of the same person, in
    /// the same company, are there already.
    pub fn admit(self: &Arc<Self>, actor: Arc<Actor>, most: usize) -> Option<Admitted> {
        let (tell, told) = oneshot::channel();
        let mut present = self.present();
        let count = present.counts.entry(person(&actor)).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        let id = present.next;
        present.next += 1;
        present.callers.insert(id, Caller { actor: Arc::clone(&actor), tell });
        drop(present);
        let end = Box::pin(sleep_until(self.end_of(&actor)));
        Some(Admitted { vigil: Arc::clone(self), id, actor, told, end })
    }

    /// When the token of `actor` ends.
    fn end_of(&self, actor: &Actor) -> Instant {
        let left = actor.expires_at.map_or(NEVER, |end| {
            let micros = end.0.saturating_sub(self.clock.now().0);
            Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(NEVER)
        });
        Instant::now() + left
    }

    /// Looks after everybody until `stopping`. While nobody can be asked, everybody stays.
    pub async fn keep(self: Arc<Self>, authenticate: Arc<dyn Authenticate>, stopping: CancellationToken) {
        let mut every = interval(LOOK);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            self.look(&*authenticate).await;
        }
    }

    async fn look(&self, authenticate: &dyn Authenticate) {
        let (ids, actors): (Vec<u64>, Vec<Arc<Actor>>) =
            self.present().callers.iter().map(|(id, caller)| (*id, Arc::clone(&caller.actor))).unzip();
        if ids.is_empty() {
            return;
        }
        let standing = match authenticate.standing(&actors).await {
            Ok(standing) => standing,
            Err(error) => {
                tracing::warn!(%error, "whether those who are connected still may be could not be asked");
                return;
            }
        };
        let mut present = self.present();
        for ((id, actor), stands) in ids.into_iter().zip(&actors).zip(standing) {
            // One that came with another token meanwhile is looked up the next time.
            let is_same = |caller: &Caller| Arc::ptr_eq(&caller.actor, actor);
            if !stands && present.callers.get(&id).is_some_and(is_same) {
                present.send_away(id);
            }
        }
    }
}

impl Present {
    fn send_away(&mut self, id: u64) {
        let Some(Caller { actor, tell }) = self.callers.remove(&id) else { return };
        let person = person(&actor);
        if let Some(count) = self.counts.get_mut(&person) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&person);
            }
        }
        // Whoever left by itself does not hear this.
        let _ = tell.send(());
    }
}

/// A caller that is connected. Dropped, it has left.
pub struct Admitted {
    vigil: Arc<Vigil>,
    id: u64,
    actor: Arc<Actor>,
    told: oneshot::Receiver<()>,
    end: Pin<Box<Sleep>>,
}

impl Admitted {
    pub fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    /// Returns when the caller has to go. It can be asked again if it was not waited for.
    pub async fn over(&mut self) -> Over {
        tokio::select! {
            () = &mut self.end => Over::Expired,
            _ = &mut self.told => Over::Revoked,
        }
    }

    /// Goes on with another token of the same person with the same rights.
    ///
    /// # Errors
    ///
    /// `Over` for any other.
    pub fn renew(&mut self, actor: Arc<Actor>) -> Result<(), Over> {
        if person(&actor) != person(&self.actor) || actor.rights() != self.actor.rights() {
            return Err(Over::Revoked);
        }
        self.end.as_mut().reset(self.vigil.end_of(&actor));
        match self.vigil.present().callers.get_mut(&self.id) {
            Some(caller) => caller.actor = Arc::clone(&actor),
            None => return Err(Over::Revoked),
        }
        self.actor = actor;
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.vigil.present().send_away(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::RequestOrigin;
    use domain::access::Role;
    use domain::error::{Error, Result};
    use domain::vocabulary::time::Span;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    /// Stands by those whose name is not among these, or cannot be asked.
    struct Gone(Option<Vec<&'static str>>);

    impl Authenticate for Gone {
        fn authenticate<'a>(&'a self, _: &'a str, _: RequestOrigin) -> BoxFuture<'a, Result<Actor>> {
            unreachable!()
        }

        fn standing<'a>(&'a self, actors: &'a [Arc<Actor>]) -> BoxFuture<'a, Result<Vec<bool>>> {
            async move {
                let gone = self.0.as_ref().ok_or_else(|| Error::internal("nobody answers"))?;
                Ok(actors.iter().map(|actor| !gone.contains(&actor.name.as_str())).collect())
            }
            .boxed()
        }
    }

    fn actor(name: &str, number: u128) -> Arc<Actor> {
        let company = Uuid::from_u128(7);
        Arc::new(Actor { id: Uuid::from_u128(number), ..Actor::system(company, name) })
    }

    #[tokio::test]
    async fn whoever_no_longer_stands_is_sent_away() {
        let vigil = Vigil::new(Clock::system());
        let mut ann = vigil.admit(actor("ann", 1), 9).unwrap();
        let mut bob = vigil.admit(actor("bob", 2), 9).unwrap();
        // While nobody can be asked, everybody stays.
        for gone in [None, Some(vec![])] {
            vigil.look(&Gone(gone)).await;
            assert_eq!((ann.over().now_or_never(), bob.over().now_or_never()), (None, None));
        }
        vigil.look(&Gone(Some(vec!["ann"]))).await;
        assert_eq!((ann.over().now_or_never(), bob.over().now_or_never()), (Some(Over::Revoked), None));
        vigil.look(&Gone(Some(vec!["ann", "bob"]))).await;
        assert_eq!(bob.over().await, Over::Revoked);
        assert!(vigil.present().counts.is_empty());
    }

    #[tokio::test]
    async fn a_token_ends_unless_it_is_renewed() {
        let clock = Clock::system();
        let vigil = Vigil::new(clock.clone());
        let until = |seconds: i64| {
            let end = clock.now().plus(Span(seconds * Span::SECOND.0));
            Arc::new(Actor { expires_at: Some(end), ..(*actor("ann", 1)).clone() })
        };
        let mut ann = vigil.admit(until(3_600), 9).unwrap();
        assert_eq!(ann.over().now_or_never(), None);
        ann.renew(until(-1)).unwrap();
        assert_eq!(ann.over().await, Over::Expired);
        ann.renew(until(3_600)).unwrap();
        assert_eq!(ann.over().now_or_never(), None);
        let narrower = Arc::new(Actor { role: Role::Viewer, ..(*until(3_600)).clone() });
        assert_eq!(ann.renew(narrower), Err(Over::Revoked), "other rights");
        assert_eq!(ann.renew(actor("bob", 2)), Err(Over::Revoked), "another person");
    }

    #[tokio::test]
    async fn only_so_many_of_one_person_are_admitted() {
        let vigil = Vigil::new(Clock::system());
        let first = vigil.admit(actor("ann", 1), 2);
        let second = vigil.admit(actor("ann", 1), 2);
        assert!(first.is_some() && second.is_some());
        assert!(vigil.admit(actor("ann", 1), 2).is_none());
        assert!(vigil.admit(actor("bob", 2), 2).is_some(), "each has places of their own");
        drop(first);
        assert!(vigil.admit(actor("ann", 1), 2).is_some());
    }
}
