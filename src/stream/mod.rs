//! Kafka: producer, partition reader, partitioner.

mod partitioner;

pub use partitioner::partition_of;
