//! Who met whom, as pure algorithms: contacts, encounters, and where to look for them. No I/O and no clock.

mod contact;
mod encounter;
mod lookup;
mod track;

pub use contact::{ContactRule, EncounterRule};
pub use encounter::{Closest, Connection, Encounter, Meetings};
pub use lookup::{Lookup, Lookups, lookups};
pub use track::{Fix, Track};
