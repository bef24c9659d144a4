//! One execution for all who ask the same: by a schema that counts how often an item is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::{
    ComplexObject, Context, EmptyMutation, Executor, Object, Request, Response, Result, Schema, SimpleObject,
    Subscription, Variables,
};
use domain::access::{Actor, Role};
use domain::error::{Code, Error};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::world::PATIENCE;
use crate::server::fanout::{Place, Shared};
use crate::server::reply::{Answer, Outcome};
use crate::server::schema::AnySchema;
use crate::server::trace::TraceId;

type Ticking = Schema<Nothing, EmptyMutation, Ticks>;

struct Nothing;

#[Object]
impl Nothing {
    async fn nothing(&self) -> Option<bool> {
        None
    }
}

/// A ledger of numbers: how many there are, and how often one was made into an item.
struct Ledger {
    head: watch::Sender<i64>,
    made: AtomicUsize,
}

#[derive(SimpleObject)]
#[graphql(complex)]
struct Tick {
    number: i64,
}

#[ComplexObject]
impl Tick {
    /// Comes a while after the item, as what a loader brings does.
    async fn late(&self) -> i64 {
        tokio::task::yield_now().await;
        self.number
    }

    async fn role(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(format!("{:?}", ctx.data::<Actor>()?.role))
    }

    async fn viewer(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(ctx.data::<Actor>()?.name.clone())
    }

    async fn odd(&self) -> Result<Option<bool>> {
        match self.number % 2 {
            1 => Ok(Some(true)),
            _ => Err(Error::new(Code::Conflict, "It is even."))?,
        }
    }

    async fn small(&self) -> Result<bool> {
        if self.number > 8 { panic!("too large") } else { Ok(true) }
    }
}

struct Ticks;

#[Subscription]
impl Ticks {
    async fn ticks(&self, ctx: &Context<'_>, after: Option<i64>) -> Result<impl Stream<Item = Result<Tick>>> {
        let ledger = ctx.data::<Arc<Ledger>>()?.clone();
        let place = ctx.data_opt::<Place>().cloned().unwrap_or_default();
        let given = place.from().or(after);
        let begin = given.unwrap_or(*ledger.head.borrow());
        if begin > *ledger.head.borrow() {
            return Err(Error::new(Code::CursorInvalid, "Not yet.").into());
        }
        // Whoever does not say where it begins is told so first.
        let opening = given.is_none().then_some(begin);
        if opening.is_none() {
            place.begin(begin);
        }
        let numbers = stream::unfold((ledger.head.subscribe(), begin), |(mut head, last)| async move {
            head.wait_for(|head| *head > last).await.ok()?;
            Some((last + 1, (head, last + 1)))
        });
        Ok(stream::iter(opening).chain(numbers).map(move |number| {
            place.note(number);
            ledger.made.fetch_add(1, Ordering::SeqCst);
            Ok(Tick { number })
        }))
    }
}

struct Desk {
    ledger: Arc<Ledger>,
    plain: Ticking,
    shared: Shared,
}

type Answers = BoxStream<'static, Response>;

impl Desk {
    fn new() -> Self {
        let ledger = Arc::new(Ledger { head: watch::Sender::new(0), made: AtomicUsize::new(0) });
        let plain = Schema::build(Nothing, EmptyMutation, Ticks).data(Arc::clone(&ledger)).finish();
        Self { ledger, shared: Shared::new(AnySchema::new(plain.clone())), plain }
    }

    fn tick(&self, many: i64) {
        self.ledger.head.send_modify(|head| *head += many);
    }

    fn made(&self) -> usize {
        self.ledger.made.load(Ordering::SeqCst)
    }

    fn request(query: &str, after: Option<i64>, actor: Actor) -> Request {
        Request::new(query).variables(Variables::from_json(json!({ "after": after }))).data(actor)
    }

    fn shared(&self, query: &str, after: Option<i64>, actor: Actor) -> Answers {
        self.shared.execute_stream(Self::request(query, after, actor))
    }

    fn alone(&self, query: &str, after: Option<i64>, actor: Actor) -> Answers {
        Executor::execute_stream(&self.plain, Self::request(query, after, actor), None)
    }
}

fn ann() -> Actor {
    Actor { id: Uuid::from_u128(1), ..Actor::system(Uuid::from_u128(9), "ann") }
}

fn bob() -> Actor {
    Actor { id: Uuid::from_u128(2), name: "bob".to_owned(), ..ann() }
}

/// What goes over the wire for the next answer; `None` at the end.
async fn next(answers: &mut Answers) -> Option<(String, Outcome)> {
    let response = timeout(PATIENCE, answers.next()).await.expect("an answer")?;
    let answer = Answer::of(response, &TraceId::from("t"));
    Some((String::from_utf8(answer.json()).unwrap(), answer.outcome))
}

async fn number(answers: &mut Answers) -> Value {
    let (json, _) = next(answers).await.expect("it goes on");
    serde_json::from_str::<Value>(&json).unwrap()["data"]["ticks"]["number"].take()
}

const NUMBERS: &str = "subscription($after: Int) { ticks(after: $after) { number late } }";

#[tokio::test]
async fn an_item_is_made_once_for_all_readers() {
    let desk = Desk::new();
    let mut readers: Vec<Answers> =
        [ann(), bob()].into_iter().cycle().take(50).map(|who| desk.shared(NUMBERS, None, who)).collect();
    for reader in &mut readers {
        assert_eq!(number(reader).await, 0);
        assert!(reader.next().now_or_never().is_none(), "and takes its seat");
    }
    let before = desk.made();
    for tick in 1..=20 {
        desk.tick(1);
        for reader in &mut readers {
            assert_eq!(number(reader).await, tick);
        }
    }
    assert_eq!(desk.made() - before, 20);
}

#[tokio::test]
async fn other_rights_are_another_execution() {
    let desk = Desk::new();
    let query = "subscription($after: Int) { ticks(after: $after) { number role } }";
    let viewer = Actor { role: Role::Viewer, ..ann() };
    let mut readers = [desk.shared(query, Some(0), ann()), desk.shared(query, Some(0), viewer)];
    let roles = ["Admin", "Viewer"];
    for tick in 1..=5 {
        desk.tick(1);
        for (reader, role) in readers.iter_mut().zip(roles) {
            let (json, _) = next(reader).await.unwrap();
            assert_eq!(json, format!(r#"{{"data":{{"ticks":{{"number":{tick},"role":"{role}"}}}}}}"#));
        }
    }
    // What is of a person is told to that person.
    let query = "subscription($after: Int) { ticks(after: $after) { viewer } }";
    let mut readers = [desk.shared(query, Some(0), ann()), desk.shared(query, Some(0), bob())];
    for _ in 1..=5 {
        for (reader, name) in readers.iter_mut().zip(["ann", "bob"]) {
            assert_eq!(
                next(reader).await.unwrap().0,
                format!(r#"{{"data":{{"ticks":{{"viewer":"{name}"}}}}}}"#)
            );
        }
    }
}

#[tokio::test]
async fn what_is_shared_is_what_each_would_be_told() {
    for query in [
        NUMBERS,
        "subscription($after: Int) { ticks(after: $after) { b: late a: number __typename } }",
        "subscription($after: Int) { t: ticks(after: $after) { ...f odd } } fragment f on Tick { number odd }",
        "subscription($after: Int) { ticks(after: $after) { number small @skip(if: false) } }",
        "subscription($after: Int) { ticks(after: $after) { number @skip(if: true) role } }",
        "subscription($after: Int) { ticks(after: $after) { nope } }",
        "subscription($after: Int) { ...f } fragment f on Ticks { ticks(after: $after) { number } }",
    ] {
        for after in [None, Some(0), Some(2), Some(7)] {
            let desk = Desk::new();
            desk.tick(3);
            let mut alone = desk.alone(query, after, ann());
            let mut readers: Vec<Answers> =
                [ann(), bob(), ann()].into_iter().map(|who| desk.shared(query, after, who)).collect();
            let mut told = Vec::new();
            for step in 0..12 {
                desk.tick(if step % 4 == 3 { 30 } else { 1 });
                // A panic reaches the edge as such, or as the fault that the edge makes of it.
                let expected = std::panic::AssertUnwindSafe(next(&mut alone)).catch_unwind().await;
                let over = matches!(expected, Ok(None) | Err(_));
                for reader in &mut readers {
                    let seen = std::panic::AssertUnwindSafe(next(reader)).catch_unwind().await;
                    match (&expected, seen) {
                        (Ok(expected), Ok(seen)) => assert_eq!(&seen, expected, "{query} after {after:?}"),
                        (Err(_), Err(_)) => {}
                        (Err(_), Ok(Some((json, _)))) => assert!(json.contains("INTERNAL"), "{json}"),
                        (expected, seen) => panic!("{query}: {:?} {:?}", expected.is_ok(), seen.is_ok()),
                    }
                }
                told.push(expected.ok().flatten());
                if over {
                    break;
                }
            }
            assert!(!told.is_empty());
        }
    }
}

#[tokio::test]
async fn readers_come_go_and_fall_behind_and_miss_nothing() {
    let desk = Desk::new();
    let mut steady = desk.shared(NUMBERS, Some(0), ann());
    let mut slow = desk.shared(NUMBERS, Some(0), bob());
    desk.tick(5);
    for tick in 1..=5 {
        assert_eq!(number(&mut steady).await, tick);
    }
    assert_eq!(number(&mut slow).await, 1);
    // So many that no window holds them; the steady reader is told all of them.
    desk.tick(6_000);
    for tick in 6..=6_005 {
        assert_eq!(number(&mut steady).await, tick);
    }
    let mut late = desk.shared(NUMBERS, Some(5_990), ann());
    for tick in 5_991..=6_005 {
        assert_eq!(number(&mut late).await, tick);
    }
    for tick in 2..=6_005 {
        assert_eq!(number(&mut slow).await, tick);
    }
    drop(steady);
    let before = desk.made();
    desk.tick(10);
    for reader in [&mut slow, &mut late] {
        for tick in 6_006..=6_015 {
            assert_eq!(number(reader).await, tick);
        }
    }
    assert!(desk.made() - before <= 20, "they sit at no more than two feeds");
}
