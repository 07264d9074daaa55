//! What every role needs: log lines, the end of the process, probes and metrics. Imports nothing else of ours.

mod backoff;
#[cfg(feature = "store")]
mod group;
mod lines;
pub mod memory;
pub mod ports;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
#[cfg(feature = "tls")]
pub mod tls;

#[cfg(feature = "server")]
pub mod budget;
#[cfg(feature = "server")]
pub mod headers;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod probes;
#[cfg(any(feature = "server", feature = "service"))]
pub mod request;
#[cfg(feature = "otlp")]
pub mod trace;
#[cfg(not(feature = "otlp"))]
#[path = "no_trace.rs"]
pub mod trace;

pub use backoff::Backoff;
#[cfg(feature = "store")]
pub use group::{GroupSize, Job, JobSender, Jobs, UnderWay, jobs};
#[cfg(feature = "server")]
pub use http::{
    BudgetedBody, DRAIN_SECONDS, ListenAddr, bind, close_when_draining, end_unread_bodies, leave_the_deaf, observe,
    per_worker, reading, run_until,
};

/// What a role ends with when it has done what can be done and something is left that cannot; says what.
#[derive(Debug)]
pub struct Incomplete(pub String);

impl std::fmt::Display for Incomplete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Incomplete {}
