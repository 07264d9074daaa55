//! Behaviour at the contract: the real binary on a real PostgreSQL with PostGIS, a database for each test.
//!
//! `make test` starts the servers and says where they are; see scripts/test.sh. Tests that need more than PostgreSQL are
//! marked `#[ignore]` and run by it where what they need is there.

mod support;

mod api_faults;
mod api_input;
mod app;
mod bounds;
mod cli;
mod docs;
mod doors;
mod encrypted;
mod event_rows;
mod event_statements;
mod events;
mod faults;
mod grpc;
mod grpc_bounds;
mod grpc_stream;
mod http;
mod hygiene;
mod kafka_apache;
mod kafka_mock;
mod kafka_producing;
mod kafka_storing;
mod locations;
mod maintain;
mod meetings;
#[cfg(target_os = "linux")]
mod memory;
mod no_fix;
mod owntracks;
mod partitions;
mod persons;
mod replica;
mod rollout;
mod rooms;
mod schema;
mod searches;
mod seed;
mod simulate;
mod tracing;
mod transfer;
mod values;
