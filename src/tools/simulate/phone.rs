//! One phone: measures, sends, is offline now and then, and sends again what nobody acknowledged.

use super::stats::Stats;
use super::walk::{Measured, measure};
use crate::codec::proto::location_service_client::LocationServiceClient;
use crate::codec::proto::{StreamLocationsRequest, StreamLocationsResponse};
use crate::tools::demo_event::Random;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// What all phones have in common.
pub struct Plan {
    /// When the simulation begins, and what time the phones have then.
    pub begin: Instant,
    /// What phones do follows from it.
    pub seed: u64,
    pub clock: DateTime<Utc>,
    /// How fast the phones' time goes by.
    pub speed: f64,
    /// Between two measurements, in the phones' time.
    pub interval: TimeDelta,
    pub duration: Duration,
    /// How much of the time a phone is offline, 0 to below 1.
    pub offline: f64,
    /// How many of a hundred measurements are sent twice.
    pub resends: f64,
    /// How long after the end acknowledgements are waited for.
    pub patience: Duration,
    /// In which event.
    pub event: super::Named,
}

impl Plan {
    pub fn end(&self) -> Instant {
        self.begin + self.duration
    }
}

/// The most locations in one message.
const MESSAGE: usize = 1_000;
/// The most a phone wakes up, however fast time goes by.
const SHORTEST_TICK: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(500);

struct Phone<'a> {
    number: u32,
    person_id: i64,
    plan: &'a Plan,
    stats: &'a Stats,
    random: Random,
    /// The number of the next measurement, and when it is due in the phone's time.
    due: DateTime<Utc>,
    /// Measured, and not sent on this stream.
    outbox: VecDeque<Measured>,
    /// Sent on this stream, in order, and not acknowledged.
    pending: VecDeque<(Measured, Instant)>,
    /// How many of this stream are settled.
    settled: u64,
    acknowledged: Vec<Measured>,
}

/// A stream while it is open.
struct Line {
    send: mpsc::Sender<StreamLocationsRequest>,
    answers: Streaming<StreamLocationsResponse>,
}

/// How a phone leaves a stream.
enum Left {
    Offline,
    Ended,
}

/// Lives until the end of the plan; returns what was acknowledged.
pub async fn live(number: u32, person_id: i64, channel: Channel, plan: &Plan, stats: &Stats) -> Vec<Measured> {
    let mut random = Random::of([6, number.into(), plan.seed]);
    let first = micros(plan.interval.as_seconds_f64() * random.unit());
    let mut phone = Phone {
        number,
        person_id,
        plan,
        stats,
        random,
        due: plan.clock + first,
        outbox: VecDeque::new(),
        pending: VecDeque::new(),
        settled: 0,
        acknowledged: Vec::new(),
    };
    let deadline = plan.end() + plan.patience;
    while Instant::now() < deadline {
        let left = match timeout_at(deadline, phone.online(channel.clone())).await {
            Ok(left) => left,
            Err(_) => break,
        };
        // Sent and not acknowledged: perhaps it arrived, perhaps not. It goes out again, before what is newer.
        while let Some((measured, _)) = phone.pending.pop_back() {
            phone.outbox.push_front(measured);
        }
        match left {
            Ok(Left::Ended) => break,
            Ok(Left::Offline) => phone.offline().await,
            Err(status) => {
                stats.broken.fetch_add(1, Relaxed);
                stats.error(format!("{}: {}", status.code(), status.message()));
                sleep(RETRY).await;
            }
        }
    }
    stats.left.fetch_add((phone.outbox.len() + phone.pending.len()) as u64, Relaxed);
    phone.acknowledged
}

fn micros(seconds: f64) -> TimeDelta {
    TimeDelta::microseconds((seconds * 1e6) as i64)
}

impl Phone<'_> {
    /// The phone's time, which stops at the end.
    fn now(&self) -> DateTime<Utc> {
        let real = self.plan.begin.elapsed().min(self.plan.duration);
        self.plan.clock + micros(real.as_secs_f64() * self.plan.speed)
    }

    /// Measures all that is due by now.
    fn measure(&mut self) {
        let now = self.now();
        while self.due <= now {
            let measured = measure(self.number, self.due);
            self.outbox.push_back(measured);
            if self.random.unit() < self.plan.resends {
                self.outbox.push_back(measured);
            }
            // No phone keeps its intervals exactly.
            self.due +=
                micros(self.plan.interval.as_seconds_f64() * (0.8 + 0.4 * self.random.unit())).max(micros(1e-6));
        }
    }

    async fn offline(&mut self) {
        self.stats.offline.fetch_add(1, Relaxed);
        let until = Instant::now() + Duration::from_secs_f64(2.0 + 8.0 * self.random.unit());
        tokio::time::sleep_until(until.min(self.plan.end())).await;
        self.stats.offline.fetch_sub(1, Relaxed);
    }

    async fn online(&mut self, channel: Channel) -> Result<Left, Status> {
        let (send, messages) = mpsc::channel(4);
        let messages = self.plan.event.request(ReceiverStream::new(messages));
        let answers = LocationServiceClient::new(channel).stream_locations(messages).await?.into_inner();
        let mut line = Line { send, answers };
        self.settled = 0;
        // As long that over time the phone is offline for the share it should be; 6 s is the mean above.
        let share = self.plan.offline;
        let online = if share > 0.0 { 6.0 * (1.0 - share) / share * 2.0 * self.random.unit() } else { f64::MAX };
        let until = Duration::try_from_secs_f64(online).ok().and_then(|online| Instant::now().checked_add(online));
        let tick = Duration::from_secs_f64(self.plan.interval.as_seconds_f64() / self.plan.speed).max(SHORTEST_TICK);
        let mut ticks = interval_at(Instant::now() + tick.mul_f64(self.random.unit()), tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = self.plan.end();
        loop {
            tokio::select! {
                answer = line.answers.message() => match answer? {
                    Some(answer) => self.settle(&answer),
                    None => return Err(Status::unavailable("the server closed the stream")),
                },
                _ = ticks.tick() => {
                    self.measure();
                    self.flush(&line)?;
                    if until.is_some_and(|until| Instant::now() >= until && Instant::now() < end) {
                        return Ok(Left::Offline);
                    }
                }
                () = tokio::time::sleep_until(end) => break,
            }
        }
        self.finish(line).await
    }

    /// The end of the day: everything goes out, and every acknowledgement is waited for.
    async fn finish(&mut self, mut line: Line) -> Result<Left, Status> {
        self.measure();
        while !self.outbox.is_empty() || !self.pending.is_empty() {
            self.flush(&line)?;
            let wait = sleep(SHORTEST_TICK);
            tokio::select! {
                answer = line.answers.message() => match answer? {
                    Some(answer) => self.settle(&answer),
                    None => return Err(Status::unavailable("the server closed the stream")),
                },
                () = wait, if !self.outbox.is_empty() => {}
            }
        }
        Ok(Left::Ended)
    }

    /// Sends what is measured, unless the connection takes no more for now.
    fn flush(&mut self, line: &Line) -> Result<(), Status> {
        while !self.outbox.is_empty() {
            let permit = match line.send.try_reserve() {
                Ok(permit) => permit,
                Err(TrySendError::Full(())) => return Ok(()),
                Err(TrySendError::Closed(())) => return Err(Status::unavailable("the stream has ended")),
            };
            let count = self.outbox.len().min(MESSAGE);
            let now = Instant::now();
            let part: Vec<Measured> = self.outbox.drain(..count).collect();
            let locations = part.iter().map(|measured| measured.message(self.person_id)).collect();
            permit.send(StreamLocationsRequest { locations });
            self.stats.sent.fetch_add(count as u64, Relaxed);
            self.pending.extend(part.into_iter().map(|measured| (measured, now)));
        }
        Ok(())
    }

    fn settle(&mut self, answer: &StreamLocationsResponse) {
        let count = answer.acknowledged_through.saturating_sub(self.settled) as usize;
        let refused: Vec<u64> = answer.refused.iter().map(|refused| refused.position).collect();
        let settled: Vec<(Measured, Instant)> = self.pending.drain(..count.min(self.pending.len())).collect();
        self.stats.latencies(settled.iter().map(|(_, sent)| sent.elapsed()));
        let mut acknowledged = 0;
        for (position, (measured, _)) in (self.settled + 1..).zip(settled) {
            if refused.contains(&position) {
                continue;
            }
            // A resend follows the first directly.
            if self.acknowledged.last() != Some(&measured) {
                self.acknowledged.push(measured);
                acknowledged += 1;
            }
        }
        self.stats.acknowledged.fetch_add(acknowledged, Relaxed);
        self.stats.refused.fetch_add(refused.len() as u64, Relaxed);
        if let Some(why) = answer.refused.first().and_then(|refused| refused.violations.first()) {
            self.stats.error(format!("refused: {}: {}", why.field, why.description));
        }
        self.settled = answer.acknowledged_through;
    }
}
