//! Kafka: producer, partition reader, partitioner.
//!
//! Reading is our own code ([`PartitionReader`]), because rskafka knows nothing of transactions and unpacks batches as a whole.
//! Producing is rskafka's.
//! It retries a little by itself ([`cluster`]) and then says no; who waits how long is decided here and by the consumer.
//! Nothing here knows PostgreSQL or what becomes of a record.

mod args;
mod batch;
mod cluster;
mod connection;
mod health;
mod memory;
mod partition_writer;
mod partitioner;
mod producer;
mod protocol;
mod reader;
mod records;
mod security;
#[cfg(test)]
mod tests;
mod unpack;

pub use args::{Bootstrap, KafkaArgs, ProducerArgs};
pub use batch::Record;
pub use cluster::Cluster;
pub use memory::{Memory, MemoryPermit};
pub use partitioner::partition_of;
pub use producer::{Delivery, Producer, RecordOffset};
pub use reader::{Fetched, PartitionReader};
pub use records::{Entry, RecordSet};
pub use security::KafkaSecurityArgs;

use crate::domain::Error;
use args::Compression;
use health::Health;

/// The name of the dependency in errors and readiness.
pub const KAFKA: &str = "kafka";

fn unavailable(detail: impl ToString) -> Error {
    Error::Unavailable { dependency: KAFKA, detail: detail.to_string() }
}
