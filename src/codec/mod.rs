//! What travels ↔ domain: protobuf messages, and JSON objects as REST and Kafka carry them.

mod connection;
mod cursor;
mod event;
mod fields;
#[cfg(feature = "files")]
pub mod files;
mod json;
mod location;
mod origin;
mod recorded;
mod shallow;
mod time;

pub use connection::{connection, encounter};
pub use cursor::Listed;
pub use event::{EVENT_FIELDS, all_wrong, event, event_change, read_event, wrong_paths};
pub use fields::{Fields, misspelt};
pub use json::{LOCATION_FIELDS, read_location};
pub use location::{draft, location, person};
pub use origin::Origin;
pub use recorded::{CONTENT_TYPE, JSON, PROTOBUF, decode, encode, key, person_named};
pub use shallow::{list, object};
pub use time::{from_duration, from_timestamp, to_duration, to_timestamp};

/// What `proto/udaconnect/v1` compiles to.
#[allow(clippy::doc_markdown, rustdoc::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/udaconnect.v1.rs"));
}

/// The compiled contract, for gRPC reflection: an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
