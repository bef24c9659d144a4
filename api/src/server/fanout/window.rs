//! What a feed made and some reader has yet to take.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::Item;

/// The bytes that are kept for readers that are behind.
const MOST_BYTES: usize = 512 << 10;
/// How long a feed waits for its slowest reader when it keeps that much; then it goes on without.
const GRACE: Duration = Duration::from_millis(250);

/// Answers in their order, each kept until every reader that was there when it came has taken it.
pub struct Window {
    kept: Mutex<Kept>,
    /// Rung when something was put, or the end came.
    news: watch::Sender<()>,
    /// Rung when something was taken by all.
    room: Notify,
}

struct Kept {
    answers: VecDeque<Answer>,
    /// The number of the first of them, counted from the beginning.
    first: u64,
    /// The place behind which everything is kept.
    start: i64,
    bytes: usize,
    /// The readers, and the number of the answer that each takes next.
    seats: HashMap<u64, u64>,
    next_seat: u64,
    ended: bool,
}

struct Answer {
    item: Arc<Item>,
    /// How many readers have yet to take it.
    left: usize,
}

impl Kept {
    /// The answers from `number` on, which is not before the first.
    fn from(&mut self, number: u64) -> impl Iterator<Item = &mut Answer> {
        self.answers.iter_mut().skip(usize::try_from(number - self.first).unwrap_or(usize::MAX))
    }

    fn drop_first(&mut self) {
        if let Some(answer) = self.answers.pop_front() {
            self.first += 1;
            self.bytes -= answer.item.bytes;
            self.start = answer.item.place.unwrap_or(self.start);
        }
    }

    /// Lets go of what everybody has taken; whether that was anything.
    fn tidy(&mut self) -> bool {
        let before = self.first;
        while self.answers.front().is_some_and(|answer| answer.left == 0) {
            self.drop_first();
        }
        self.first > before
    }

    /// Whether there is room for `item`; one is always kept.
    fn has_room(&self, item: &Item) -> bool {
        self.answers.is_empty() || self.bytes + item.bytes <= MOST_BYTES
    }

    fn push(&mut self, item: Item) {
        if self.seats.is_empty() {
            self.start = item.place.unwrap_or(self.start);
            return;
        }
        self.bytes += item.bytes;
        self.answers.push_back(Answer { item: Arc::new(item), left: self.seats.len() });
    }

    /// Lets go of the older half, or of as much as makes room for `bytes` more, and of the readers that
    /// have not taken it.
    fn give_up(&mut self, bytes: usize) {
        let most = MOST_BYTES.saturating_sub(bytes).min(MOST_BYTES / 2);
        while self.bytes > most {
            self.drop_first();
        }
        let first = self.first;
        let mut late = Vec::new();
        self.seats.retain(|_, at| {
            let stays = *at >= first;
            if !stays {
                late.push(*at);
            }
            stays
        });
        for answer in &mut self.answers {
            answer.left -= late.len();
        }
        self.tidy();
    }
}

impl Window {
    /// An empty one behind `place`.
    pub fn starting(place: i64) -> Self {
        let kept = Kept {
            answers: VecDeque::new(),
            first: 0,
            start: place,
            bytes: 0,
            seats: HashMap::new(),
            next_seat: 0,
            ended: false,
        };
        Self { kept: Mutex::new(kept), news: watch::Sender::new(()), room: Notify::new() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an answer behind the others. While there is no room it waits, but not for long.
    pub async fn put(&self, item: Item) {
        loop {
            if self.kept().has_room(&item) {
                break;
            }
            if timeout(GRACE, self.room.notified()).await.is_err() {
                self.kept().give_up(item.bytes);
            }
        }
        self.kept().push(item);
        self.news.send_replace(());
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.kept().ended = true;
        self.news.send_replace(());
    }

    /// A seat for a reader that was told everything up to `place`; `None` if what comes next is no
    /// longer kept.
    pub fn seat(self: &Arc<Self>, place: i64) -> Option<Seat> {
        let mut kept = self.kept();
        if kept.ended || place < kept.start {
            return None;
        }
        let told = |answer: &Answer| answer.item.place.is_some_and(|told| told <= place);
        let at = kept.first + u64::try_from(kept.answers.partition_point(told)).unwrap_or(u64::MAX);
        kept.from(at).for_each(|answer| answer.left += 1);
        let id = kept.next_seat;
        kept.next_seat += 1;
        kept.seats.insert(id, at);
        Some(Seat { window: Arc::clone(self), id, place, news: self.news.subscribe() })
    }
}

/// A reader's place at a window.
pub struct Seat {
    window: Arc<Window>,
    id: u64,
    /// Everything up to here has been told.
    pub place: i64,
    news: watch::Receiver<()>,
}

/// What there is for a reader.
pub enum Taken {
    Item(Arc<Item>),
    /// Nothing now.
    Nothing,
    /// What comes next is no longer kept.
    Behind,
    /// Nothing, for ever.
    Over,
}

impl Seat {
    /// The next answer that the reader was not told.
    pub fn next(&mut self) -> Taken {
        let mut kept = self.window.kept();
        loop {
            let Some(at) = kept.seats.get_mut(&self.id) else { return Taken::Behind };
            let number = *at;
            *at += 1;
            let Some(answer) = kept.from(number).next() else {
                kept.seats.insert(self.id, number);
                return if kept.ended { Taken::Over } else { Taken::Nothing };
            };
            answer.left -= 1;
            let item = Arc::clone(&answer.item);
            if kept.tidy() {
                self.window.room.notify_one();
            }
            if item.place.is_none_or(|place| place > self.place) {
                self.place = item.place.unwrap_or(self.place);
                return Taken::Item(item);
            }
        }
    }

    /// Returns when there may be more.
    pub async fn news(&mut self) {
        // The window is there for as long as its seats.
        let _ = self.news.changed().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut kept = self.window.kept();
        if let Some(at) = kept.seats.remove(&self.id) {
            kept.from(at).for_each(|answer| answer.left -= 1);
            if kept.tidy() {
                self.window.room.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::{Response, Value};
    use proptest::prelude::*;

    /// What may happen around a window.
    #[derive(Clone, Debug)]
    enum Step {
        Put,
        /// Somebody comes who was told all but the last so many.
        Come(i64),
        /// This one takes so many.
        Take(usize, usize),
        Leave(usize),
        GiveUp,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Put),
            2 => (0..6_i64).prop_map(Step::Come),
            4 => (0..6_usize, 1..5_usize).prop_map(|(who, many)| Step::Take(who, many)),
            1 => (0..6_usize).prop_map(Step::Leave),
            1 => Just(Step::GiveUp),
        ];
        proptest::collection::vec(step, 1..80)
    }

    /// An answer so large that a few fill the window.
    fn item(place: i64) -> Item {
        let mut item = Item::of(Response::new(Value::from(place)), Some(place));
        item.bytes = MOST_BYTES / 5;
        item
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn readers_are_told_everything_once_and_in_order(steps in steps()) {
            let window = Arc::new(Window::starting(0));
            let mut head = 0;
            let mut readers: Vec<Seat> = Vec::new();
            for step in steps {
                match step {
                    Step::Put => {
                        head += 1;
                        let mut kept = window.kept();
                        if !kept.has_room(&item(head)) {
                            kept.give_up(0);
                        }
                        kept.push(item(head));
                    }
                    Step::Come(behind) => {
                        let place = (head - behind).max(0);
                        let start = window.kept().start;
                        let seat = window.seat(place);
                        prop_assert_eq!(seat.is_some(), place >= start);
                        readers.extend(seat);
                    }
                    Step::Take(who, many) => {
                        let Some(reader) = readers.get_mut(who) else { continue };
                        for _ in 0..many {
                            let before = reader.place;
                            match reader.next() {
                                Taken::Item(item) => prop_assert_eq!(item.place, Some(before + 1)),
                                Taken::Nothing => prop_assert_eq!(before, head),
                                Taken::Behind => prop_assert!(before < window.kept().start),
                                Taken::Over => prop_assert!(false, "nobody ended it"),
                            }
                        }
                    }
                    Step::Leave(who) => {
                        if who < readers.len() {
                            readers.swap_remove(who);
                        }
                    }
                    Step::GiveUp => window.kept().give_up(0),
                }
                let kept = window.kept();
                prop_assert!(kept.bytes <= MOST_BYTES);
                prop_assert_eq!(kept.bytes, kept.answers.iter().map(|answer| answer.item.bytes).sum::<usize>());
                let slowest = kept.seats.values().min().copied();
                prop_assert_eq!(kept.answers.is_empty(), slowest.is_none_or(|at| at >= kept.first + kept.answers.len() as u64));
            }
            drop(readers);
            let kept = window.kept();
            prop_assert!(kept.seats.is_empty() && kept.answers.is_empty() && kept.bytes == 0);
        }
    }

    #[tokio::test]
    async fn the_end_is_told_behind_everything() {
        let window = Arc::new(Window::starting(0));
        let mut seat = window.seat(0).unwrap();
        window.put(item(1)).await;
        window.end();
        assert!(matches!(seat.next(), Taken::Item(_)));
        assert!(matches!(seat.next(), Taken::Over));
        assert!(window.seat(1).is_none(), "nobody begins where nothing will come");
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_holds_a_feed_up_once() {
        let window = Arc::new(Window::starting(0));
        let (mut stalled, mut steady) = (window.seat(0).unwrap(), window.seat(0).unwrap());
        for place in 1..100 {
            window.put(item(place)).await;
            assert!(matches!(steady.next(), Taken::Item(item) if item.place == Some(place)));
        }
        assert!(matches!(stalled.next(), Taken::Behind));
        assert!(window.kept().answers.is_empty());
    }
}
