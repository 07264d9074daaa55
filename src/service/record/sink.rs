//! The one way in for locations, whichever way they go.

use super::writer::{Answer, BatchWriter, WriterArgs, Writers};
use super::{ClockArgs, Receipt};
use crate::codec::Origin;
use crate::domain::{Error, NewLocation, Recorded, Result};
use crate::store::Store;
use crate::stream::{Delivery, KAFKA, KafkaArgs, Producer, ProducerArgs};
use chrono::TimeDelta;
use metrics::{counter, gauge, histogram};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How locations are taken in and where they go.
#[derive(Clone, Debug, clap::Args)]
pub struct IngestArgs {
    #[command(flatten)]
    pub clock: ClockArgs,
    #[command(flatten)]
    writer: WriterArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    producer: ProducerArgs,
}

/// Where locations go. Cheap to clone.
#[derive(Clone)]
pub struct LocationSink {
    way: Way,
    max_ahead: TimeDelta,
    topic: Arc<str>,
    origin: Origin,
}

#[derive(Clone)]
enum Way {
    /// To PostgreSQL, in this process.
    Store(BatchWriter),
    /// To Kafka; workers store them later.
    Kafka(Producer),
}

/// What became of locations, in the order in which they were given: they are safe, or refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Recorded(Vec<Recorded>),
    Queued(Vec<Receipt>),
}

/// Locations that were taken and are on their way.
#[must_use = "only its outcome tells whether the locations are safe"]
pub struct Taken {
    way: Pending,
    count: u64,
    begin: Instant,
}

enum Pending {
    Store(Answer),
    Kafka(Delivery),
}

/// What is still under way when a role ends.
pub enum Drain {
    Store(Writers),
    Kafka(Producer),
}

/// How long a request waits for the broker's acknowledgement. Streams wait as long as their phones do.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a process that ends waits for Kafka to take what is still buffered.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

impl LocationSink {
    /// Through Kafka where brokers are given, else straight to the store.
    pub fn start(store: &Store, args: &IngestArgs) -> Result<(Self, Drain)> {
        let (way, drain) = if args.kafka.kafka_bootstrap.is_some() {
            let producer = Producer::start(&args.kafka, &args.producer)?;
            (Way::Kafka(producer.clone()), Drain::Kafka(producer))
        } else {
            let (writer, writers) = BatchWriter::start(store, &args.writer);
            (Way::Store(writer), Drain::Store(writers))
        };
        Ok((
            Self {
                way,
                max_ahead: args.clock.max_ahead(),
                topic: args.kafka.kafka_topic.as_str().into(),
                origin: Origin::default(),
            },
            drain,
        ))
    }

    /// The same way, for locations that this request brings.
    pub fn on_behalf_of(&self, origin: Origin) -> Self {
        Self { origin, ..self.clone() }
    }

    /// How far a location's time may be ahead of this server's clock.
    pub fn max_ahead(&self) -> TimeDelta {
        self.max_ahead
    }

    /// Whether locations are queued in Kafka and stored later.
    pub fn is_queue(&self) -> bool {
        matches!(self.way, Way::Kafka(_))
    }

    /// Takes all of the locations and waits until they are safe; [`Error::Overloaded`] when there is no room, then none is
    /// taken. After any other error they may be stored all the same; sending them again is safe.
    pub async fn record(&self, locations: Vec<NewLocation>) -> Result<Outcome> {
        let count = locations.len();
        received(count);
        let way = match &self.way {
            Way::Store(writer) => writer.try_reserve(count).map(|room| Pending::Store(writer.send(room, locations))),
            Way::Kafka(producer) => producer.try_send(&self.origin, locations).map(Pending::Kafka),
        };
        let way = way.inspect_err(|error| refused(count, error))?;
        let taken = Taken { way, count: count as u64, begin: Instant::now() };
        if !self.is_queue() {
            return taken.outcome().await;
        }
        tokio::time::timeout(PATIENCE, taken.outcome()).await.unwrap_or_else(|_| {
            Err(Error::Unavailable { dependency: KAFKA, detail: format!("no acknowledgement within {PATIENCE:?}") })
        })
    }

    /// Takes all of the locations as soon as there is room for them: whoever waits here reads no more from its phone. With Kafka,
    /// an error after the delivery time-out; then some may have been taken.
    pub async fn take(&self, locations: Vec<NewLocation>) -> Result<Taken> {
        let count = locations.len();
        let way = match &self.way {
            Way::Store(writer) => {
                let room = writer.reserve(count).await?;
                received(count);
                Pending::Store(writer.send(room, locations))
            }
            Way::Kafka(producer) => {
                received(count);
                let sent = producer.send(&self.origin, locations).await;
                Pending::Kafka(sent.inspect_err(|error| refused(count, error))?)
            }
        };
        Ok(Taken { way, count: count as u64, begin: Instant::now() })
    }

    /// Whether Kafka takes what is sent; always, where there is none.
    pub fn check(&self) -> Result<()> {
        match &self.way {
            Way::Store(_) => Ok(()),
            Way::Kafka(producer) => producer.check(),
        }
    }

    /// The topic and number of partitions that receipts are of; `None` where there are no receipts.
    pub fn queue(&self) -> Option<(&str, i32)> {
        match &self.way {
            Way::Store(_) => None,
            Way::Kafka(producer) => Some((&self.topic, producer.partitions())),
        }
    }

    /// Writes the gauges that `/metrics` shows.
    pub fn measure(&self) {
        match &self.way {
            Way::Store(writer) => writer.measure(),
            Way::Kafka(producer) => {
                let (waiting, capacity) = producer.buffer_use();
                gauge!("udaconnect_kafka_buffer").set(waiting as f64);
                gauge!("udaconnect_kafka_buffer_capacity").set(capacity as f64);
                gauge!("udaconnect_kafka_partitions_failing").set(producer.failing_partitions() as f64);
                gauge!("udaconnect_kafka_up").set(if producer.check().is_ok() { 1.0 } else { 0.0 });
            }
        }
    }
}

impl Taken {
    /// Waits until all are safe or refused.
    pub async fn outcome(self) -> Result<Outcome> {
        let outcome = match self.way {
            Pending::Store(answer) => answer.recorded().await.map(Outcome::Recorded),
            Pending::Kafka(delivery) => {
                delivery.places().await.map(|places| Outcome::Queued(places.into_iter().map(Receipt::from).collect()))
            }
        };
        match &outcome {
            Ok(Outcome::Recorded(recorded)) => {
                let unknown = recorded.iter().filter(|recorded| **recorded == Recorded::UnknownPerson).count() as u64;
                counter!("udaconnect_ingest_acknowledged_total").increment(self.count - unknown);
            }
            Ok(Outcome::Queued(_)) => counter!("udaconnect_ingest_acknowledged_total").increment(self.count),
            Err(error) => refused(self.count as usize, error),
        }
        histogram!("udaconnect_ingest_seconds").record(self.begin.elapsed());
        outcome
    }
}

fn received(count: usize) {
    counter!("udaconnect_ingest_received_total").increment(count as u64);
}

/// Locations that were not taken, by what kept them out.
fn refused(count: usize, error: &Error) {
    let reason = match error {
        Error::Invalid(_)
        | Error::NotFound { .. }
        | Error::UnknownEvent(_)
        | Error::Exists(_)
        | Error::Conflict(_)
        | Error::TooBroad(_) => "invalid",
        Error::Overloaded => "overloaded",
        Error::TimedOut(_) => "timed out",
        Error::Unavailable { .. } => "unavailable",
        Error::Internal(_) => "internal",
    };
    counter!("udaconnect_ingest_refused_total", "reason" => reason).increment(count as u64);
}

impl Drain {
    /// Waits for what was taken. Every [`LocationSink`] must have been dropped, or be used no more.
    pub async fn drained(self) {
        match self {
            Self::Store(writers) => writers.drained().await,
            Self::Kafka(producer) => producer.finish(LAST_PATIENCE).await,
        }
    }
}
