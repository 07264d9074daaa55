//! Kafka: producer, partition reader, partitioner.
//!
//! rskafka retries a little by itself ([`cluster`]) and then says no; who waits how long is decided here and by the consumer.
//! Nothing here knows PostgreSQL or what becomes of a record.

mod args;
mod backoff;
mod cluster;
mod health;
mod partition_writer;
mod partitioner;
mod producer;
mod reader;
mod security;

pub use args::{Bootstrap, KafkaArgs, ProducerArgs};
pub use backoff::Backoff;
pub use cluster::Cluster;
pub use partitioner::partition_of;
pub use producer::{Delivery, Place, Producer};
pub use reader::{Fetched, Reader};
pub use rskafka::record::{Record, RecordAndOffset};
pub use security::KafkaSecurityArgs;

use crate::domain::Error;
use health::Health;

/// What this program calls the dependency, in errors and readiness.
pub const KAFKA: &str = "kafka";

fn unavailable(detail: impl ToString) -> Error {
    Error::Unavailable { dependency: KAFKA, detail: detail.to_string() }
}
