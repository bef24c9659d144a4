//! Turns: how many operations run at once, and who is next.
//!
//! The server runs a bounded number of operations, each company a share of them, and each of its
//! people a share of that. Whoever finds no place waits in the line of its company. Places that
//! become free go round the companies, so that a flood of one of them waits behind itself; a line
//! that is full refuses, which only its own company notices.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::access::Actor;
use domain::error::{Code, Error};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::settings::Turns as Bounds;

/// Seconds after which whoever was refused may find the line shorter.
const COME_BACK: u64 = 1;

/// The places, and the lines for them.
pub struct Turns(Arc<Shared>);

struct Shared {
    bounds: Bounds,
    hall: Mutex<Hall>,
}

#[derive(Default)]
struct Hall {
    running: usize,
    companies: HashMap<Uuid, Company>,
    /// The companies with a line, the next to be served first.
    round: VecDeque<Uuid>,
}

#[derive(Default)]
struct Company {
    running: usize,
    /// How many operations each person runs.
    people: HashMap<Uuid, usize>,
    line: VecDeque<(Uuid, oneshot::Sender<Place>)>,
}

/// The right to run one operation, until it is dropped.
pub struct Place {
    shared: Arc<Shared>,
    company: Uuid,
    person: Uuid,
}

impl Turns {
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Shared { bounds, hall: Mutex::default() }))
    }

    /// Waits for a place. Whoever stops waiting has left the line.
    ///
    /// # Errors
    ///
    /// [`Code::Overloaded`] if the line of the actor's company is full.
    pub async fn take(&self, actor: &Actor) -> Result<Place, Error> {
        let waiting = {
            let mut hall = self.0.hall();
            let bounds = &self.0.bounds;
            if hall.has_place(bounds, actor.company, actor.id) {
                return Ok(self.0.seat(&mut hall, actor.company, actor.id));
            }
            let company = hall.companies.entry(actor.company).or_default();
            company.line.retain(|(_, waits)| !waits.is_closed());
            if company.line.len() >= bounds.waiting {
                return Err(Error::new(
                    Code::Overloaded,
                    "Too many requests of your company wait already: come back in a moment.",
                )
                .with("retryAfter", COME_BACK));
            }
            let (call, called) = oneshot::channel();
            company.line.push_back((actor.id, call));
            if !hall.round.contains(&actor.company) {
                hall.round.push_back(actor.company);
            }
            called
        };
        waiting.await.map_err(Error::internal)
    }
}

impl Hall {
    fn has_place(&self, bounds: &Bounds, company: Uuid, person: Uuid) -> bool {
        let of_company = self.companies.get(&company);
        let by_person = of_company.and_then(|company| company.people.get(&person)).copied().unwrap_or(0);
        self.running < bounds.at_once
            && of_company.map_or(0, |company| company.running) < bounds.per_company
            && by_person < bounds.per_actor
    }

    /// Takes the next one out of the lines for whom there is a place: company by company, and inside
    /// of one in the order in which they came.
    fn next(&mut self, bounds: &Bounds) -> Option<(Uuid, Uuid, oneshot::Sender<Place>)> {
        for _ in 0..self.round.len() {
            let id = self.round.pop_front()?;
            let Some(company) = self.companies.get_mut(&id) else { continue };
            company.line.retain(|(_, waits)| !waits.is_closed());
            let line: Vec<Uuid> = company.line.iter().map(|(person, _)| *person).collect();
            if line.is_empty() {
                self.forget(id);
                continue;
            }
            let found = line.into_iter().position(|person| self.has_place(bounds, id, person));
            self.round.push_back(id);
            if let Some((person, call)) = found.and_then(|at| self.companies.get_mut(&id)?.line.remove(at)) {
                return Some((id, person, call));
            }
        }
        None
    }

    /// Lets go of a company that has nothing here any more.
    fn forget(&mut self, id: Uuid) {
        if self.companies.get(&id).is_some_and(|company| company.running == 0 && company.line.is_empty()) {
            self.companies.remove(&id);
        }
    }
}

impl Shared {
    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(self: &Arc<Self>, hall: &mut Hall, company: Uuid, person: Uuid) -> Place {
        hall.running += 1;
        let of_company = hall.companies.entry(company).or_default();
        of_company.running += 1;
        *of_company.people.entry(person).or_default() += 1;
        Place { shared: Arc::clone(self), company, person }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut unwanted = Vec::new();
        let mut hall = self.shared.hall();
        hall.running -= 1;
        if let Some(company) = hall.companies.get_mut(&self.company) {
            company.running -= 1;
            if let Some(count) = company.people.get_mut(&self.person) {
                *count -= 1;
                if *count == 0 {
                    company.people.remove(&self.person);
                }
            }
        }
        hall.forget(self.company);
        while let Some((company, person, call)) = hall.next(&self.shared.bounds) {
            let place = self.shared.seat(&mut hall, company, person);
            // One that has left meanwhile gives its place back, outside of the lock.
            if let Err(place) = call.send(place) {
                unwanted.push(place);
            }
        }
        drop(hall);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    const BOUNDS: Bounds = Bounds { at_once: 4, per_company: 3, per_actor: 2, waiting: 5 };

    fn actor(company: u128, id: u128) -> Actor {
        Actor { id: Uuid::from_u128(id), ..Actor::system(Uuid::from_u128(company), "test") }
    }

    /// Somebody in line, who is looked at once.
    fn wait<'a>(turns: &'a Turns, actor: &'a Actor) -> BoxFuture<'a, Result<Place, Error>> {
        let mut waiting = turns.take(actor).boxed();
        assert!((&mut waiting).now_or_never().is_none(), "there was a place");
        waiting
    }

    fn now(turns: &Turns, actor: &Actor) -> Place {
        turns.take(actor).now_or_never().expect("there is a place").unwrap()
    }

    #[test]
    fn a_person_and_a_company_have_their_shares() {
        let turns = Turns::new(BOUNDS);
        let (ann, bob, eve) = (actor(1, 1), actor(1, 2), actor(2, 3));
        let first = now(&turns, &ann);
        let _second = now(&turns, &ann);
        let mut third = wait(&turns, &ann);
        let _bobs = now(&turns, &bob);
        let mut bobs_second = wait(&turns, &bob);
        let _eves = now(&turns, &eve);
        let mut eves_second = wait(&turns, &eve);
        drop(first);
        // The company of the two is first in the round, and Ann is first in its line.
        let third = (&mut third).now_or_never().expect("it is her turn").unwrap();
        assert!((&mut bobs_second).now_or_never().is_none());
        drop(third);
        assert!((&mut eves_second).now_or_never().is_some(), "then it is the other company's turn");
        assert!((&mut bobs_second).now_or_never().is_none(), "everything is taken");
    }

    #[test]
    fn a_flood_waits_behind_itself_and_is_refused_in_the_end() {
        let turns = Turns::new(BOUNDS);
        let flood: Vec<Actor> = (0..9).map(|id| actor(1, id)).collect();
        let mut places: Vec<Place> = flood[..3].iter().map(|actor| now(&turns, actor)).collect();
        let mut line: Vec<_> = flood[3..8].iter().map(|actor| wait(&turns, actor)).collect();
        let refused = turns.take(&flood[8]).now_or_never().expect("it is told at once");
        let error = refused.err().expect("the line is full");
        assert_eq!((error.code, &error.details["retryAfter"]), (Code::Overloaded, &1.into()));
        let other = actor(2, 100);
        let _other = now(&turns, &other);
        // Who leaves makes room, and is passed over.
        drop(line.remove(0));
        line.push(wait(&turns, &flood[8]));
        for _ in 0..5 {
            drop(places.remove(0));
            let next = line.remove(0).now_or_never().expect("the line is kept").unwrap();
            places.push(next);
        }
    }

    #[test]
    fn nothing_is_kept_of_who_left() {
        let turns = Turns::new(BOUNDS);
        let actors: Vec<Actor> = (0..8).map(|id| actor(1 + id % 2, id)).collect();
        let places: Vec<Place> = actors[..4].iter().map(|actor| now(&turns, actor)).collect();
        let mut line: Vec<_> = actors[4..].iter().map(|actor| wait(&turns, actor)).collect();
        drop(line.pop());
        // Called, and gone before it heard.
        drop(places);
        drop(line);
        let hall = turns.0.hall();
        assert_eq!((hall.running, hall.companies.len()), (0, 0));
        drop(hall);
        let all: Vec<Place> = actors[..4].iter().map(|actor| now(&turns, actor)).collect();
        assert_eq!(all.len(), 4);
    }
}
