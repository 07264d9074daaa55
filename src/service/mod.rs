//! The use cases, each once: what REST, gRPC, files and Kafka ask for, whatever protocol they ask by.
//!
//! A process makes one [`Service`]; what can be done at an event is a method of [`AtEvent`], which [`Service::at`] returns.

pub mod bulk;
#[cfg(feature = "codec")]
pub mod clock;
pub mod meetings;
#[cfg(feature = "service")]
pub mod record;

#[cfg(feature = "service")]
mod events;
#[cfg(feature = "service")]
mod locations;
#[cfg(feature = "service")]
mod persons;
#[cfg(all(feature = "service", feature = "server"))]
mod probes;
#[cfg(feature = "service")]
mod readiness;
#[cfg(feature = "service")]
mod receipts;
#[cfg(feature = "service")]
mod start;

#[cfg(feature = "service")]
pub use events::DefaultEventArgs;
#[cfg(feature = "service")]
pub use locations::{AllLocations, LocationPosition};
#[cfg(feature = "service")]
pub use receipts::Fate;
#[cfg(feature = "service")]
pub use start::{AtEvent, Service, ServiceArgs};
