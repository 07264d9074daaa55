//! What every role needs: log lines, the end of the process, probes and metrics. Imports nothing else of ours.

pub mod settings;
pub mod shutdown;
pub mod telemetry;

#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod probes;

#[cfg(feature = "server")]
pub use http::{DRAIN_SECONDS, ListenAddr, bind, close_when_draining, observe, run_until};
