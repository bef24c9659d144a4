//! One subscription for all who ask the same with the same rights.
//!
//! What a subscription sends is the same for everybody who sent the same document and variables and
//! may see the same. So it runs once: a *feed* executes it and keeps the encoded answers for as long
//! as some reader has yet to take them, and its readers copy bytes.
//!
//! A reader begins with a stream of its own, which checks the request and opens with what only it
//! needs (a snapshot, what it missed). As soon as its place is one that a feed covers it takes a seat
//! there, and a feed begins at its place where there is none. A reader that falls behind what its
//! feed keeps goes on from its place in the same way; so no reader waits for another, misses
//! anything or is told anything twice, and a slow one costs no memory.
//!
//! Places are what makes this possible: the numbers of the ledger. A subscription whose resolver does
//! not note them ([`Place`]) is run for each reader by itself.

use std::any::TypeId;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Request, Response, ServerError, Value, Variables};
use async_graphql_value::Value as Written;
use bytes::Bytes;
use domain::access::{Actor, ActorKind, Rights};
use domain::error::Error;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::operation::choose;
use super::reply::write_value;
use super::schema::AnySchema;
use crate::error::server_error;
use window::{Seat, Taken, Window};

mod window;

/// Fields whose value depends on who asks, and not only on what they may see: one's own job can be
/// seen and ended by who started it. A document with one of them is shared among one person's readers.
const PERSONAL: &[&str] = &["approvalChanged", "cancellable", "job", "pendingApprovalCount", "viewer"];
/// Feeds of one document and its variables: readers that are far apart do not hold each other up.
const FEEDS: usize = 4;
const NOWHERE: i64 = -1;

/// Where a subscription stands, as its resolver notes it: the number behind which the next item comes.
#[derive(Clone)]
pub struct Place {
    from: Option<i64>,
    begun: Arc<AtomicI64>,
    at: Arc<AtomicI64>,
}

impl Default for Place {
    fn default() -> Self {
        let nowhere = || Arc::new(AtomicI64::new(NOWHERE));
        Self { from: None, begun: nowhere(), at: nowhere() }
    }
}

impl Place {
    fn starting(from: i64) -> Self {
        Self { from: Some(from), ..Self::default() }
    }

    /// Where the stream has to begin, whatever its arguments say.
    pub fn from(&self) -> Option<i64> {
        self.from
    }

    /// The first item is the first behind `number`.
    pub fn begin(&self, number: i64) {
        self.begun.store(number, Ordering::Relaxed);
    }

    /// The item that is sent now brings its reader up to `number`.
    pub fn note(&self, number: i64) {
        self.at.store(number, Ordering::Relaxed);
    }

    fn begun(&self) -> Option<i64> {
        Some(self.begun.load(Ordering::Relaxed)).filter(|at| *at != NOWHERE)
    }

    fn at(&self) -> Option<i64> {
        Some(self.at.load(Ordering::Relaxed)).filter(|at| *at != NOWHERE)
    }
}

/// A schema whose subscriptions are shared.
#[derive(Clone)]
pub struct Shared {
    schema: AnySchema,
    feeds: Arc<Feeds>,
}

impl Shared {
    pub fn new(schema: AnySchema) -> Self {
        Self { schema, feeds: Arc::default() }
    }

    /// The answer to a query or a mutation.
    pub async fn execute(&self, request: Request) -> Response {
        self.schema.execute(request).await
    }

    /// The answers to a subscription.
    pub fn execute_stream(&self, mut request: Request) -> BoxStream<'static, Response> {
        let Some(asked) = Asked::of(&mut request) else {
            return self.schema.execute_stream(request);
        };
        let place = Place::default();
        let answers = self.schema.execute_stream(request.data(place.clone()));
        let reader = Reader {
            shared: self.clone(),
            asked: Arc::new(asked),
            way: Way::Alone(Alone { answers, place, told: None }),
        };
        stream::unfold(reader, |mut reader| async move { Some((reader.next().await?, reader)) }).boxed()
    }
}

/// What a reader asked for, and how it is asked again from another place.
struct Asked {
    key: Key,
    variables: Variables,
    actor: Actor,
}

/// Who asks this is answered alike.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    query: String,
    operation: Option<String>,
    /// The JSON of all that do not only say where to begin.
    variables: String,
    rights: Rights,
    person: Option<(ActorKind, Uuid)>,
}

impl Asked {
    /// `None` for what is not shared: what is no subscription of one field, or has no actor.
    fn of(request: &mut Request) -> Option<Self> {
        let data = request.data.get(&TypeId::of::<Actor>());
        let actor = data.and_then(|data| data.downcast_ref::<Actor>()).cloned()?;
        let name = request.operation_name.clone();
        if !request.extensions.is_empty() || !request.uploads.is_empty() {
            return None;
        }
        let document = request.parsed_query().ok()?;
        let (operation, _) = choose(document, name.as_deref()).ok()?;
        let [only] = &operation.selection_set.node.items[..] else { return None };
        if operation.ty != OperationType::Subscription {
            return None;
        }
        let Selection::Field(field) = &only.node else { return None };
        let after = match field.node.get_argument("after").map(|written| &written.node) {
            Some(Written::Variable(variable)) => Some(variable.clone()),
            _ => None,
        };
        let is_personal = selects(document, operation, PERSONAL);
        // A variable that is used anywhere else says more than where to begin.
        let after = after.filter(|after| uses(&request.query, after) == 2);
        let variables: BTreeMap<_, _> =
            request.variables.iter().filter(|(name, _)| after.as_ref() != Some(*name)).collect();
        let key = Key {
            query: request.query.clone(),
            operation: name,
            variables: serde_json::to_string(&variables).ok()?,
            rights: actor.rights(),
            person: is_personal.then_some((actor.kind, actor.id)),
        };
        Some(Self { key, variables: request.variables.clone(), actor })
    }

    /// The same request, from `from` on.
    fn request(&self, from: i64) -> (Request, Place) {
        let place = Place::starting(from);
        let mut request = Request::new(self.key.query.as_str())
            .variables(self.variables.clone())
            .data(self.actor.clone())
            .data(place.clone());
        request.operation_name.clone_from(&self.key.operation);
        (request, place)
    }
}

/// How often `$name` stands in the text of a query, at least: what stands in a string counts too.
fn uses(query: &str, name: &str) -> usize {
    let is_end = |rest: &str| !rest.starts_with(|next: char| next == '_' || next.is_ascii_alphanumeric());
    let dollars = query.match_indices('$').map(|(at, _)| query[at + 1..].trim_start());
    dollars.filter(|rest| rest.strip_prefix(name).is_some_and(is_end)).count()
}

/// Whether a field of one of these names is anywhere in the operation or a fragment.
fn selects(document: &ExecutableDocument, operation: &OperationDefinition, names: &[&str]) -> bool {
    fn within(set: &SelectionSet, names: &[&str]) -> bool {
        set.items.iter().any(|item| match &item.node {
            Selection::Field(field) => {
                names.contains(&field.node.name.node.as_str())
                    || within(&field.node.selection_set.node, names)
            }
            Selection::InlineFragment(inline) => within(&inline.node.selection_set.node, names),
            Selection::FragmentSpread(_) => false,
        })
    }
    let fragments = document.fragments.values().map(|fragment| &fragment.node.selection_set.node);
    fragments.chain([&operation.selection_set.node]).any(|set| within(set, names))
}

/// An answer that was made once.
struct Item {
    /// Its place; `None` if it has none: it is for every reader that is there.
    place: Option<i64>,
    data: Value,
    errors: Vec<ServerError>,
    extensions: BTreeMap<String, Value>,
    bytes: usize,
}

impl Item {
    fn of(response: Response, place: Option<i64>) -> Self {
        let data = match response.data {
            Value::Null => Value::Null,
            data => {
                let mut json = Vec::new();
                write_value(&mut json, &data);
                Value::Binary(Bytes::from(json))
            }
        };
        let bytes = match &data {
            Value::Binary(bytes) => bytes.len(),
            _ => 0,
        } + size_of::<Self>();
        Self { place, data, errors: response.errors, extensions: response.extensions, bytes }
    }

    fn response(&self) -> Response {
        let mut response = Response::new(self.data.clone());
        response.errors.clone_from(&self.errors);
        response.extensions.clone_from(&self.extensions);
        response
    }
}

/// The feeds that run, by what they answer.
#[derive(Default)]
struct Feeds(Mutex<HashMap<Key, Vec<Weak<Feed>>>>);

/// One execution of a subscription. It ends with its last reader.
struct Feed {
    window: Arc<Window>,
    task: AbortHandle,
    feeds: Weak<Feeds>,
    /// Whether it is the first of those that answer the same.
    is_first: AtomicBool,
    key: Key,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
        let Some(feeds) = self.feeds.upgrade() else { return };
        if let Entry::Occupied(mut entry) = feeds.lock().entry(self.key.clone()) {
            entry.get_mut().retain(|feed| feed.strong_count() > 0);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }
}

impl Feeds {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Weak<Feed>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The feeds of `key`, those that were there first coming first.
    fn of(&self, key: &Key) -> Vec<Arc<Feed>> {
        self.lock().get(key).map(|feeds| feeds.iter().filter_map(Weak::upgrade).collect()).unwrap_or_default()
    }
}

impl Shared {
    /// A seat at a feed that covers `place`: one that runs, or a new one if there are not many.
    fn seat(&self, asked: &Asked, place: i64) -> Option<Seated> {
        let running = self.feeds.of(&asked.key);
        if let Some(seated) = running.iter().find_map(|feed| feed.seat(place)) {
            return Some(seated);
        }
        if running.len() >= FEEDS {
            return None;
        }
        let feed = self.begin(asked, place);
        let mut feeds = self.feeds.lock();
        let feeds = feeds.entry(asked.key.clone()).or_default();
        feed.is_first.store(feeds.iter().all(|feed| feed.strong_count() == 0), Ordering::Relaxed);
        feeds.push(Arc::downgrade(&feed));
        feed.seat(place)
    }

    fn begin(&self, asked: &Asked, place: i64) -> Arc<Feed> {
        let (request, noted) = asked.request(place);
        let answers = self.schema.execute_stream(request);
        let window = Arc::new(Window::starting(place));
        let task = tokio::spawn(run(answers, noted, place, Arc::clone(&window)));
        Arc::new(Feed {
            window,
            task: task.abort_handle(),
            feeds: Arc::downgrade(&self.feeds),
            is_first: AtomicBool::new(false),
            key: asked.key.clone(),
        })
    }

    /// A seat at a feed that was there before this one, for a reader that has caught up with it.
    fn better(&self, feed: &Arc<Feed>, seat: &Seat) -> Option<Seated> {
        if feed.is_first.load(Ordering::Relaxed) {
            return None;
        }
        let running = self.feeds.of(&feed.key);
        running.iter().take_while(|other| !Arc::ptr_eq(other, feed)).find_map(|other| other.seat(seat.place))
    }
}

/// A reader's seat, and the feed that it keeps going.
struct Seated(Arc<Feed>, Seat);

impl Feed {
    fn seat(self: &Arc<Self>, place: i64) -> Option<Seated> {
        Some(Seated(Arc::clone(self), self.window.seat(place)?))
    }
}

/// Executes a subscription for the readers of `window`.
async fn run(answers: BoxStream<'static, Response>, noted: Place, from: i64, window: Arc<Window>) {
    let mut answers = AssertUnwindSafe(answers).catch_unwind();
    let mut before = from;
    while let Some(answer) = answers.next().await {
        let answer = answer.unwrap_or_else(|_| {
            Response::from_errors(vec![server_error(Error::internal("a resolver panicked"))])
        });
        let place = noted.at().filter(|place| *place > before);
        before = place.unwrap_or(before);
        window.put(Item::of(answer, place)).await;
    }
    window.end();
}

struct Reader {
    shared: Shared,
    asked: Arc<Asked>,
    way: Way,
}

/// How a reader gets its answers.
enum Way {
    Alone(Alone),
    Seated(Seated),
    Over,
}

/// A stream of a reader's own.
struct Alone {
    answers: BoxStream<'static, Response>,
    place: Place,
    /// Its place at the last answer that came.
    told: Option<i64>,
}

impl Alone {
    /// Where the reader can leave this stream: nowhere while an item is on its way.
    fn exit(&self) -> Option<i64> {
        match self.place.at() {
            None => self.place.begun(),
            at => at.filter(|_| at == self.told),
        }
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Response> {
        loop {
            let Self { shared, asked, way } = self;
            let (shared, asked): (&Shared, &Asked) = (shared, asked);
            *way = match way {
                Way::Over => return None,
                Way::Alone(alone) => {
                    let seat = |alone: &Alone| shared.seat(asked, alone.exit()?);
                    let next = std::future::poll_fn(|cx| match seat(alone) {
                        Some(seated) => Poll::Ready(Err(seated)),
                        None => match alone.answers.poll_next_unpin(cx) {
                            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
                            // It may have said only now where it begins.
                            Poll::Pending => match seat(alone) {
                                Some(seated) => Poll::Ready(Err(seated)),
                                None => Poll::Pending,
                            },
                        },
                    });
                    match next.await {
                        Ok(Some(answer)) => {
                            alone.told = alone.place.at();
                            return Some(answer);
                        }
                        Ok(None) => Way::Over,
                        Err(seated) => Way::Seated(seated),
                    }
                }
                Way::Seated(Seated(feed, seat)) => match seat.next() {
                    Taken::Item(item) => return Some(item.response()),
                    Taken::Over => Way::Over,
                    Taken::Behind => {
                        let (request, place) = asked.request(seat.place);
                        let answers = shared.schema.execute_stream(request);
                        Way::Alone(Alone { answers, place, told: None })
                    }
                    Taken::Nothing => match shared.better(feed, seat) {
                        Some(better) => Way::Seated(better),
                        None => {
                            seat.news().await;
                            continue;
                        }
                    },
                },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::access::{Portfolio, Role};
    use proptest::prelude::*;
    use serde_json::json;

    fn key(query: &str, variables: serde_json::Value, actor: Actor) -> Option<Key> {
        let mut request = Request::new(query).variables(Variables::from_json(variables)).data(actor);
        Asked::of(&mut request).map(|asked| asked.key)
    }

    fn ann() -> Actor {
        Actor { id: Uuid::from_u128(1), ..Actor::system(Uuid::from_u128(9), "ann") }
    }

    #[test]
    fn who_asks_the_same_with_the_same_rights_is_answered_alike() {
        let watch = "subscription($filter: Criteria, $after: String) {
            findingChanged(filter: $filter, after: $after) { ... on FindingChange { event } } }";
        let filter = json!({ "filter": { "field": "severity" } });
        let one = key(watch, filter.clone(), ann());
        assert!(one.is_some());
        let bob = Actor { id: Uuid::from_u128(2), name: "bob".to_owned(), ..ann() };
        assert!(key(watch, filter.clone(), bob.clone()) == one, "another person");
        let later = json!({ "filter": { "field": "severity" }, "after": "x" });
        assert!(key(watch, later, ann()) == one, "from another place");
        let only = Portfolio::Only { projects: [Uuid::from_u128(3)].into(), teams: [].into() };
        for (what, query, variables, actor) in [
            ("another document", "subscription { findingChanged { __typename } }", filter.clone(), ann()),
            ("another filter", watch, json!({ "filter": null }), ann()),
            ("another company", watch, filter.clone(), Actor { company: Uuid::from_u128(8), ..ann() }),
            ("another role", watch, filter.clone(), Actor { role: Role::Viewer, ..ann() }),
            ("another portfolio", watch, filter.clone(), Actor { portfolio: only, ..ann() }),
            ("fewer scopes", watch, filter.clone(), Actor { token_scopes: Some(vec![]), ..ann() }),
            ("another kind", watch, filter.clone(), Actor { kind: ActorKind::User, ..ann() }),
        ] {
            let other = key(query, variables, actor);
            assert!(other.is_some() && other != one, "{what}");
        }
        // Where the place is also part of what is asked for, it tells readers apart.
        let twice = "subscription($after: String) { findingChanged(after: $after) {
            ... on FindingChange { event @skip(if: $after) } } }";
        let from = |after: &str| key(twice, json!({ "after": after }), ann());
        assert!(from("1") != from("2"));
        let personal = "subscription { jobProgress(id: 1) { ...f } } fragment f on X { job { cancellable } }";
        assert!(key(personal, json!({}), ann()) != key(personal, json!({}), bob));
        for alone in ["{ a }", "subscription { a b }", "subscription { ...f } fragment f on S { a }"] {
            assert!(key(alone, json!({}), ann()).is_none(), "{alone}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn counts_uses_of_any_text(query in "[$a-c_ \\n]{0,40}", name in "[a-c_]{1,3}") {
            let counted = uses(&query, &name);
            prop_assert!(counted <= query.matches('$').count());
            prop_assert_eq!(uses(&format!("{query} ${name}"), &name), counted + 1);
        }
    }
}
