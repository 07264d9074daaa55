//! The use cases, each once: what REST, gRPC, files and Kafka ask for, whatever protocol they ask by.

pub mod meetings;
#[cfg(feature = "ingest")]
pub mod record;
