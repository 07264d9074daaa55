//! Connections and encounters as messages of gRPC.

use super::{proto, to_duration, to_timestamp};
use crate::domain::Person;
use crate::meeting::{Closest, Connection, Encounter};

pub fn connection(connection: &Connection, person: Person, met: &[Encounter]) -> proto::Connection {
    proto::Connection {
        person: Some(super::person(person)),
        encounters: connection.encounters as i64,
        total_duration: Some(to_duration(connection.total_duration)),
        first_met: Some(to_timestamp(connection.first_met)),
        last_met: Some(to_timestamp(connection.last_met)),
        closest: Some(closest(&connection.closest)),
        met: met.iter().map(encounter).collect(),
    }
}

pub fn encounter(encounter: &Encounter) -> proto::Encounter {
    proto::Encounter {
        start: Some(to_timestamp(encounter.start)),
        end: Some(to_timestamp(encounter.end)),
        duration: Some(to_duration(encounter.end - encounter.start)),
        closest: Some(closest(&encounter.closest)),
    }
}

fn closest(closest: &Closest) -> proto::Closest {
    proto::Closest {
        distance_m: closest.distance_m,
        time: Some(to_timestamp(closest.time)),
        latitude: closest.coordinate.latitude(),
        longitude: closest.coordinate.longitude(),
    }
}
