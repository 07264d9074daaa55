//! What the words mean: events, persons, locations, ranges, and the rules they obey.
//!
//! Pure: std, chrono with its time zones, serde and one geodesy library; no I/O, no framework, no clock that is not handed in. A value of one
//! of these types is valid; whoever holds one need not check again.

mod error;
mod event;
mod location;
mod page;
mod person;
mod search;
pub mod text;
mod time;
mod written;

pub use error::{Error, FieldError, Result};
pub use event::{Access, Event, EventChange, EventId, EventSettings, MeetingRule, NewEvent, Slug, zone};
pub use location::{EARLIEST_FIX, Location, LocationDraft, LocationInput, NewLocation, NoFix, Recorded};
pub use page::Page;
pub use person::{NewPerson, Person, PersonId};
pub use search::Search;
pub use text::{quoted, shown};
pub use time::{Moment, TimeRange, checked_time, parse_duration, parse_time, to_micros, unix_seconds};
pub use written::{WrittenTime, read_written};
