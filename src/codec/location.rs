//! Locations and persons as messages of gRPC.

use super::{from_timestamp, proto, to_timestamp};
use crate::domain::{FieldError, Location, LocationDraft, LocationInput, Person};
use prost_types::Timestamp;

/// What a message says of a location, not checked yet; every field that is missing or unreadable is named.
pub fn draft(message: &proto::NewLocation) -> LocationDraft {
    let read = parts(
        message.person_id,
        message.latitude,
        message.longitude,
        message.creation_time.as_ref(),
        message.accuracy_m,
    );
    read.map_or_else(LocationDraft::from, LocationDraft::from)
}

pub(super) fn parts(
    person_id: i64,
    latitude: Option<f64>,
    longitude: Option<f64>,
    creation_time: Option<&Timestamp>,
    accuracy_m: Option<f64>,
) -> Result<LocationInput, Vec<FieldError>> {
    let time = creation_time.map(|time| from_timestamp(time, "creation_time")).transpose();
    match (latitude, longitude, time) {
        (Some(latitude), Some(longitude), Ok(creation_time)) => {
            Ok(LocationInput { person_id, latitude, longitude, creation_time, accuracy_m })
        }
        (latitude, longitude, time) => {
            let missing = [("latitude", latitude), ("longitude", longitude)]
                .into_iter()
                .filter(|(_, value)| value.is_none())
                .map(|(field, _)| FieldError::new(field, "is required"));
            Err(missing.chain(time.err()).collect())
        }
    }
}

pub fn location(location: &Location) -> proto::Location {
    proto::Location {
        id: location.id,
        person_id: location.person_id.get(),
        latitude: location.coordinate.latitude(),
        longitude: location.coordinate.longitude(),
        creation_time: Some(to_timestamp(location.creation_time)),
        accuracy_m: location.accuracy_m,
    }
}

pub fn person(person: Person) -> proto::Person {
    proto::Person {
        id: person.id.get(),
        first_name: person.first_name,
        last_name: person.last_name,
        company_name: person.company_name,
    }
}
