//! Events, persons, locations and time ranges, and the rules that they obey.
//!
//! Pure code on std, chrono with its time zones, serde and one geodesy library: no I/O, no framework, and no clock but one that is
//! passed in. A value of one of these types is valid, so nobody need check it again.

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
