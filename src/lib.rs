//! UdaConnect: whom did I meet, where, when and for how long?
//!
//! The map of the house, from the bottom up; imports point downward only, and roles never import each other.

/// Persons, locations, ranges and what can be wrong with them: pure.
pub mod domain;
/// GPX, GeoJSON, CSV and OwnTracks ↔ domain.
#[cfg(feature = "formats")]
pub mod formats;
/// How locations get from a request to where they are safe.
#[cfg(feature = "ingest")]
pub mod ingest;
/// Whom did a person meet: the store's candidates, decided by the domain.
#[cfg(feature = "store")]
pub mod meetings;
/// What every role needs: log lines, the end of the process, probes and metrics. Imports nothing of ours.
pub mod runtime;
/// PostgreSQL: every line of SQL in the program.
#[cfg(feature = "store")]
pub mod store;
/// Kafka: producer, partition reader, partitioner.
#[cfg(feature = "stream")]
pub mod stream;
/// TLS to PostgreSQL and Kafka.
#[cfg(feature = "tls")]
pub mod tls;
/// What travels ↔ domain.
#[cfg(feature = "wire")]
pub mod wire;

/// Role: REST.
#[cfg(feature = "api")]
pub mod api;
/// Role: the web app.
#[cfg(feature = "app")]
pub mod app;
/// Role: Kafka → PostGIS.
#[cfg(feature = "consume")]
pub mod consumer;
/// Role: what could not be stored.
#[cfg(feature = "dead-letters")]
pub mod dead_letters;
/// Roles: a demo event, and a crowd of phones at it.
#[cfg(any(feature = "seed", feature = "simulate"))]
pub mod demo;
/// Role: what is stored, as files.
#[cfg(feature = "export")]
pub mod export;
/// Role: gRPC.
#[cfg(feature = "grpc")]
pub mod grpc;
/// Role: asks a running role whether it is ready.
#[cfg(feature = "healthcheck")]
pub mod healthcheck;
/// Role: files into the store.
#[cfg(feature = "import")]
pub mod import;
/// Role: the schema.
#[cfg(feature = "migrate")]
pub mod migrate;
/// All serving roles in one process.
#[cfg(feature = "standalone")]
pub mod standalone;

/// One subcommand a role.
pub mod cli;
