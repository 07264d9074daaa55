//! How locations get from a request to where they are safe.

mod writer;

pub use writer::{BatchWriter, MAX_REQUEST, WriterArgs, Writers};
