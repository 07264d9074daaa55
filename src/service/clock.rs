//! The check of locations' times against a clock: how far ahead one may be.

use crate::codec;
use crate::domain::{Event, FieldError, LocationDraft, NewLocation, Result};
use chrono::{DateTime, TimeDelta, Utc};

/// How far phones' clocks are trusted.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Ingest")]
pub struct ClockArgs {
    /// How far a location's time may be ahead of this server's clock
    #[arg(long, env, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(i64).range(0..=86_400))]
    max_clock_skew: i64,
}

impl ClockArgs {
    pub fn clock(&self) -> Clock {
        Clock::new(TimeDelta::seconds(self.max_clock_skew))
    }
}

/// Checks locations, their times by one clock. Every location that comes in is checked here, whichever way it takes.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    max_ahead: TimeDelta,
}

impl Clock {
    pub fn new(max_ahead: TimeDelta) -> Self {
        Self { max_ahead }
    }

    /// Checks a location that is sent now; the error names every field that is wrong.
    pub fn check(self, draft: impl Into<LocationDraft>) -> Result<NewLocation, Vec<FieldError>> {
        draft.into().check(Utc::now(), self.max_ahead)
    }

    /// Checks a location of this event, also against the event's dates.
    pub fn check_at(self, event: &Event, draft: impl Into<LocationDraft>) -> Result<NewLocation, Vec<FieldError>> {
        draft.into().check_at(event, Utc::now(), self.max_ahead)
    }

    /// Reads and checks the value of a Kafka record, by the record's own time ([`codec::decode`]).
    pub fn check_record(
        self,
        value: Option<&[u8]>,
        content_type: Option<&[u8]>,
        timestamp: Option<DateTime<Utc>>,
    ) -> Result<NewLocation> {
        codec::decode(value, content_type, timestamp, self.max_ahead)
    }
}
