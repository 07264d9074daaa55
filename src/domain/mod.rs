//! What the words mean: persons, locations, ranges, and the rules they obey.
//!
//! Pure: std, chrono, serde and one geodesy library; no I/O, no framework, no clock that is not handed in. A value of one
//! of these types is valid; whoever holds one need not check again.

mod cell;
mod contact;
mod coordinate;
mod encounter;
mod error;
mod geodesic;
mod location;
mod lookup;
mod page;
mod person;
mod search;
pub mod text;
mod time;
mod track;

use cell::cell_height_m;
pub use cell::{Cell, CellRange, Extent, cell_of};
pub use contact::{ContactRule, EncounterRule};
pub use coordinate::Coordinate;
pub use encounter::{Closest, Connection, Encounter, Meetings};
pub use error::{Error, FieldError, Result};
pub use geodesic::distance_m;
pub use location::{Location, LocationInput, NewLocation, Recorded};
pub use lookup::{Lookup, Lookups, lookups};
pub use page::Page;
pub use person::{NewPerson, Person, PersonId};
pub use search::Search;
pub use text::{quoted, shown};
pub use time::{TimeRange, checked_time, parse_duration, parse_time, to_micros, unix_seconds};
pub use track::{Fix, Track};
