//! How locations get from a request to where they are safe: Kafka, or straight to the store.

mod receipt;
mod sink;
mod writer;

pub use receipt::Receipt;
pub use sink::{Drain, IngestArgs, LocationSink, Outcome, Taken};
pub use writer::{BatchWriter, MAX_REQUEST, WriterArgs, Writers};

use chrono::TimeDelta;

/// How far phones' clocks are trusted.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Ingest")]
pub struct ClockArgs {
    /// How far a location's time may be ahead of this server's clock
    #[arg(long, env, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(i64).range(0..=86_400))]
    max_clock_skew: i64,
}

impl ClockArgs {
    pub fn max_ahead(&self) -> TimeDelta {
        TimeDelta::seconds(self.max_clock_skew)
    }
}
