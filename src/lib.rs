//! UdaConnect: whom did I meet, where, when and for how long?
//!
//! The map of the house, from the bottom up; a room may use those above it in this list, and roles never import each other.

/// What travels ↔ domain: JSON objects, protobuf messages, records; files in `codec::files`.
#[cfg(feature = "codec")]
pub mod codec;
/// Persons, locations, times, and what can be wrong with them: pure.
pub mod domain;
/// Coordinates, distances and cells on the WGS 84 ellipsoid: pure geometry.
pub mod geo;
/// Who met whom, as pure algorithms.
pub mod meeting;
/// What every process needs: log lines, traces, metrics, probes, the end of the process. Imports nothing of ours.
pub mod runtime;
/// The use cases, each once.
#[cfg(feature = "store")]
pub mod service;
/// PostgreSQL: every line of SQL in the program.
#[cfg(feature = "store")]
pub mod store;
/// Kafka: cluster, producer, reader, partitioner.
#[cfg(feature = "stream")]
pub mod stream;

/// Role: REST.
#[cfg(feature = "api")]
pub mod api;
/// Role: the web app.
#[cfg(feature = "app")]
pub mod app;
/// One subcommand a role.
pub mod cli;
/// Role: Kafka → PostGIS.
#[cfg(feature = "consume")]
pub mod consumer;
/// Role: gRPC.
#[cfg(feature = "grpc")]
pub mod grpc;
/// The serving roles in one process.
#[cfg(feature = "standalone")]
pub mod standalone;
/// Roles that do one thing and end.
pub mod tools;
