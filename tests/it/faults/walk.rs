//! Phones that stream, and send again whatever a broken stream did not acknowledge.

use super::ledger::Ledger;
use crate::support::Phone;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use udaconnect::codec::proto::NewLocation;

/// Locations handed out at once.
const PART: i64 = 50;
/// A phone with more than these unsettled measures nothing new.
const UNSETTLED: usize = 5_000;
/// How often a phone looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(50);

/// What the phones have done together.
pub struct Tally {
    pub ledger: Ledger,
    /// Locations handed out so far; each number is one location.
    pub next: AtomicI64,
    /// Locations that are handed out at the most, in all and a second.
    pub limit: i64,
    pub rate: u64,
    begin: Instant,
    pub acknowledged: AtomicU64,
    pub refused: AtomicU64,
    /// Streams that ended with an error, from a phone's view.
    pub errors: AtomicU64,
    /// Nothing more is handed out, and a phone whose locations are settled ends.
    pub enough: AtomicBool,
}

impl Tally {
    pub fn new(seed: u64, limit: i64, rate: u64) -> Self {
        Self {
            ledger: Ledger::new(seed),
            next: AtomicI64::new(0),
            limit,
            rate,
            begin: Instant::now(),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            enough: AtomicBool::new(false),
        }
    }

    /// Numbers for a phone; none when there are enough.
    fn hand_out(&self) -> impl Iterator<Item = i64> + use<> {
        let by_now = 1.0 + self.begin.elapsed().as_secs_f64() * self.rate as f64;
        let limit = self.limit.min(by_now as i64);
        let open = !self.enough.load(Ordering::SeqCst) && self.next.load(Ordering::SeqCst) < limit;
        let first = if open { self.next.fetch_add(PART, Ordering::SeqCst) } else { 0 };
        first..if open { first + PART } else { 0 }
    }

    fn settled(&self, person: i64, numbers: Vec<i64>) {
        let (bad, good): (Vec<i64>, Vec<i64>) = numbers.into_iter().partition(|number| is_bad(*number));
        self.refused.fetch_add(bad.len() as u64, Ordering::SeqCst);
        self.acknowledged.fetch_add(good.len() as u64, Ordering::SeqCst);
        self.ledger.acknowledge(person, good);
    }
}

/// Every 50th location is one that can never be stored.
fn is_bad(number: i64) -> bool {
    number % PART == PART - 1
}

fn message(tally: &Tally, person: i64, number: i64) -> NewLocation {
    let good = tally.ledger.fix(person, number).message(person);
    if is_bad(number) { NewLocation { longitude: Some(-180.5), ..good } } else { good }
}

/// A phone's locations that are not settled, in the order of sending.
#[derive(Default)]
struct Outbox {
    unsettled: VecDeque<i64>,
    /// How many of them, from the front, went out on this stream.
    sent: usize,
}

#[derive(Debug, PartialEq)]
enum Step {
    Send(Vec<i64>),
    Wait,
    Done,
}

impl Outbox {
    /// On a new stream everything goes out once more.
    fn begin(&mut self) {
        self.sent = 0;
    }

    fn step(&mut self, tally: &Tally) -> Step {
        if self.sent == self.unsettled.len() && self.unsettled.len() < UNSETTLED {
            self.unsettled.extend(tally.hand_out());
        }
        if self.sent < self.unsettled.len() {
            let numbers = self.unsettled.range(self.sent..).copied().collect();
            self.sent = self.unsettled.len();
            return Step::Send(numbers);
        }
        // Asked each time, and not only when an answer has come: the last one may have been here before it was enough.
        if self.is_done(tally) { Step::Done } else { Step::Wait }
    }

    fn is_done(&self, tally: &Tally) -> bool {
        self.unsettled.is_empty() && tally.enough.load(Ordering::SeqCst)
    }

    /// The first of them are settled.
    fn settle(&mut self, count: usize) -> Vec<i64> {
        assert!(count <= self.sent, "{count} are acknowledged, {} were sent", self.sent);
        self.sent -= count;
        self.unsettled.drain(..count).collect()
    }
}

/// Sends a person's locations until it is enough and everything is settled.
pub async fn walk(url: String, person: i64, tally: Arc<Tally>) {
    let mut outbox = Outbox::default();
    while !outbox.is_done(&tally) {
        let Ok(mut phone) = Phone::connect(&url).await else {
            tokio::time::sleep(LOOK).await; // polls
            continue;
        };
        outbox.begin();
        loop {
            match outbox.step(&tally) {
                Step::Done => return,
                Step::Wait => {}
                Step::Send(numbers) => {
                    let batch = numbers.into_iter().map(|number| message(&tally, person, number)).collect();
                    // When the stream has ended, the reason comes with the next answer.
                    phone.send(batch).await;
                }
            }
            let before = phone.acknowledged;
            tokio::select! {
                answer = phone.acknowledgement() => match answer {
                    Ok(Some(())) => {
                        let newly = outbox.settle((phone.acknowledged - before) as usize);
                        let refused = std::mem::take(&mut phone.refused);
                        let bad = newly.iter().filter(|number| is_bad(**number)).count();
                        assert_eq!(refused.len(), bad, "every bad one is refused and no other: {refused:?} {newly:?}");
                        tally.settled(person, newly);
                    }
                    Ok(None) | Err(_) => {
                        tally.errors.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                },
                () = tokio::time::sleep(LOOK) => {} // polls
            }
        }
    }
}

#[test]
fn a_phone_ends_whenever_it_is_enough() {
    // The phone has settled everything before it is enough, between two answers, and after.
    let tally = Tally::new(1, 100, u64::MAX);
    let mut outbox = Outbox::default();
    assert_eq!(outbox.step(&tally), Step::Send((0..50).collect()));
    assert_eq!(outbox.step(&tally), Step::Send((50..100).collect()));
    assert_eq!(outbox.step(&tally), Step::Wait);
    outbox.begin();
    assert_eq!(outbox.step(&tally), Step::Send((0..100).collect()), "once more on a new stream");
    assert_eq!(outbox.settle(100).len(), 100);
    assert_eq!(outbox.step(&tally), Step::Wait, "there may be more");
    tally.enough.store(true, Ordering::SeqCst);
    assert_eq!(outbox.step(&tally), Step::Done);

    let tally = Tally::new(1, i64::MAX, u64::MAX);
    let mut outbox = Outbox::default();
    assert_eq!(outbox.step(&tally), Step::Send((0..50).collect()));
    tally.enough.store(true, Ordering::SeqCst);
    assert_eq!(outbox.step(&tally), Step::Wait, "its last are not settled");
    outbox.settle(50);
    assert_eq!(outbox.step(&tally), Step::Done);
}
