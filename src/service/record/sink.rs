//! Where valid locations go: to Kafka, or straight to the store.

use super::Receipt;
use super::outcome::Settled;
use super::writer::{BatchWriter, Reply, WriterArgs, Writers};
use crate::codec::Origin;
use crate::domain::{Error, EventId, NewLocation, Recorded, Result};
use crate::service::clock::ClockArgs;
use crate::store::Store;
use crate::stream::{Delivery, KAFKA, KafkaArgs, Producer, ProducerArgs};
use metrics::{counter, gauge, histogram};
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

/// Where locations go.
pub(in crate::service) struct Sink {
    way: Way,
    topic: String,
}

enum Way {
    /// To PostgreSQL, in this process.
    Store(BatchWriter),
    /// To Kafka; workers store them later.
    Kafka(Producer),
}

/// Locations that were taken and are on their way.
pub(super) struct Pending {
    way: OnTheWay,
    count: u64,
    begin: Instant,
}

enum OnTheWay {
    Store(Reply),
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

impl Sink {
    /// Through Kafka where brokers are given, else straight to the store.
    pub(in crate::service) fn start(store: &Store, args: &IngestArgs) -> Result<(Self, Drain)> {
        let (way, drain) = if args.kafka.kafka_bootstrap.is_some() {
            let producer = Producer::start(&args.kafka, &args.producer)?;
            (Way::Kafka(producer.clone()), Drain::Kafka(producer))
        } else {
            let (writer, writers) = BatchWriter::start(store, &args.writer);
            (Way::Store(writer), Drain::Store(writers))
        };
        Ok((Self { way, topic: args.kafka.kafka_topic.clone() }, drain))
    }

    /// Whether locations are queued in Kafka and stored later.
    pub(in crate::service) fn is_queue(&self) -> bool {
        matches!(self.way, Way::Kafka(_))
    }

    /// Takes all of the locations and waits until they are safe, as [`Intake::record`](super::Intake::record) says.
    pub(super) async fn record(
        &self,
        event: Option<EventId>,
        origin: &Origin,
        locations: Vec<NewLocation>,
    ) -> Result<Settled> {
        let count = locations.len();
        received(count);
        let way = match &self.way {
            Way::Store(writer) => {
                let event = known(event)?;
                writer.try_reserve(count).map(|permit| OnTheWay::Store(writer.send(event, permit, locations)))
            }
            Way::Kafka(producer) => producer.try_send(origin, of_event(event, locations)).map(OnTheWay::Kafka),
        };
        let way = way.inspect_err(|error| refused(count, error))?;
        let pending = Pending { way, count: count as u64, begin: Instant::now() };
        if !self.is_queue() {
            return pending.settled().await;
        }
        tokio::time::timeout(PATIENCE, pending.settled()).await.unwrap_or_else(|_| {
            Err(Error::Unavailable { dependency: KAFKA, detail: format!("no acknowledgement within {PATIENCE:?}") })
        })
    }

    /// Takes all of the locations as soon as there are permits for them, as [`Intake::take`](super::Intake::take) says.
    pub(super) async fn send(
        &self,
        event: Option<EventId>,
        origin: &Origin,
        locations: Vec<NewLocation>,
    ) -> Result<Pending> {
        let count = locations.len();
        let way = match &self.way {
            Way::Store(writer) => {
                let event = known(event)?;
                let permit = writer.reserve(count).await?;
                received(count);
                OnTheWay::Store(writer.send(event, permit, locations))
            }
            Way::Kafka(producer) => {
                received(count);
                let sent = producer.send(origin, of_event(event, locations)).await;
                OnTheWay::Kafka(sent.inspect_err(|error| refused(count, error))?)
            }
        };
        Ok(Pending { way, count: count as u64, begin: Instant::now() })
    }

    /// Whether Kafka accepts what is sent; always ready where there is no Kafka.
    pub(in crate::service) fn check(&self) -> Result<()> {
        match &self.way {
            Way::Store(_) => Ok(()),
            Way::Kafka(producer) => producer.check(),
        }
    }

    /// The topic and number of partitions that receipts are of; `None` where there are no receipts.
    pub(in crate::service) fn queue(&self) -> Option<(&str, i32)> {
        match &self.way {
            Way::Store(_) => None,
            Way::Kafka(producer) => Some((&self.topic, producer.partitions())),
        }
    }

    /// Writes the gauges that `/metrics` shows.
    pub(in crate::service) fn measure(&self) {
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

impl Pending {
    /// Waits until all are safe or refused.
    pub(super) async fn settled(self) -> Result<Settled> {
        let settled = match self.way {
            OnTheWay::Store(reply) => reply.recorded().await.map(|recorded| {
                let unknown = |recorded: &&Recorded| matches!(recorded, Recorded::UnknownPerson { .. });
                acknowledged(self.count - recorded.iter().filter(unknown).count() as u64);
                Settled::Recorded(recorded.into_iter())
            }),
            OnTheWay::Kafka(delivery) => delivery.offsets().await.map(|offsets| {
                acknowledged(self.count);
                let receipts: Vec<Receipt> = offsets.into_iter().map(Receipt::from).collect();
                Settled::Queued(receipts.into_iter())
            }),
        };
        histogram!("udaconnect_ingest_seconds").record(self.begin.elapsed());
        settled.inspect_err(|error| refused(self.count as usize, error))
    }
}

/// Only what is queued may be of an event that is not known yet.
fn known(event: Option<EventId>) -> Result<EventId> {
    event.ok_or_else(|| Error::Internal("locations of an event that is not known cannot be stored".to_owned()))
}

/// Records name their event; what has none is its person's event's.
fn of_event(event: Option<EventId>, locations: Vec<NewLocation>) -> Vec<NewLocation> {
    match event {
        Some(event) => locations.into_iter().map(|location| location.of_event(event)).collect(),
        None => locations,
    }
}

fn received(count: usize) {
    counter!("udaconnect_ingest_received_total").increment(count as u64);
}

fn acknowledged(count: u64) {
    counter!("udaconnect_ingest_acknowledged_total").increment(count);
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
    /// Waits until everything that was taken is safe. Every [`Service`](crate::service::Service) must be dropped before, or unused.
    pub async fn drained(self) {
        match self {
            Self::Store(writers) => writers.drained().await,
            Self::Kafka(producer) => producer.finish(LAST_PATIENCE).await,
        }
    }
}
