//! The walk of a person through the hall, and the locations that their phone makes of it.

use crate::codec::{proto, to_timestamp};
use crate::tools::demo_event::{DemoEvent, Random, before_a_booth, place};
use chrono::{DateTime, SecondsFormat, Utc};
use std::fmt;

/// Metres a second.
const PACE: f64 = 1.4;
/// From one booth to the next, with the way there, seconds.
const STAY: u64 = 600;

/// What a phone measured, in whole microseconds and ten-millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub time: DateTime<Utc>,
    pub latitude: f64,
    pub longitude: f64,
    /// Metres; a phone says it of every location.
    pub accuracy_m: Option<f64>,
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time.to_rfc3339_opts(SecondsFormat::Micros, true);
        write!(out, "location of {time} at ({}, {})", self.latitude, self.longitude)?;
        self.accuracy_m.map_or(Ok(()), |metres| write!(out, " ± {metres} m"))
    }
}

impl Measured {
    pub fn message(&self, person_id: i64) -> proto::NewLocation {
        proto::NewLocation {
            person_id,
            latitude: Some(self.latitude),
            longitude: Some(self.longitude),
            creation_time: Some(to_timestamp(self.time)),
            accuracy_m: self.accuracy_m,
        }
    }
}

/// Where the person with this number (from 0) is, as their phone measures it; the same every time.
pub fn measure(person: u32, time: DateTime<Utc>) -> Measured {
    let second = time.timestamp_micros() as f64 / 1e6;
    // Nobody changes places at the same moment as everybody.
    let own = second + Random::of([3, person.into(), 0]).unit() * STAY as f64;
    let stay = (own / STAY as f64).floor();
    let booth = |stay: f64| before_a_booth(&mut Random::of([4, person.into(), stay as i64 as u64]));
    let (from, to) = (booth(stay - 1.0), booth(stay));
    let (east, north) = (to.0 - from.0, to.1 - from.1);
    let way = east.hypot(north).max(f64::MIN_POSITIVE);
    let walked = ((own - stay * STAY as f64) * PACE / way).min(1.0);

    let mut random = Random::of([5, person.into(), time.timestamp_micros() as u64]);
    let accuracy_m = (20.0 + random.unit() * 100.0).round() / 10.0;
    let mut error = || random.normal() * accuracy_m / 2.0;
    let (latitude, longitude) = place(from.0 + east * walked + error(), from.1 + north * walked + error());
    Measured { time, latitude, longitude, accuracy_m: Some(accuracy_m) }
}

/// Who a simulated person is, and the company by which they are found again.
pub const COMPANY: &str = "Simulated";

pub fn names(person: u32) -> (String, String) {
    let person = DemoEvent::person(person);
    (person.first_name().to_owned(), person.last_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_walk_and_do_not_jump() {
        let begin = DateTime::from_timestamp(1_780_401_600, 0).unwrap();
        for person in 0..20 {
            let track: Vec<Measured> =
                (0..1_800).map(|second| measure(person, begin + chrono::TimeDelta::seconds(second))).collect();
            assert_eq!(track[7], measure(person, track[7].time), "the same every time");
            let metres = |a: &Measured, b: &Measured| {
                ((a.latitude - b.latitude) * 110_950.0).hypot((a.longitude - b.longitude) * 91_180.0)
            };
            // Errors of both, and a step.
            assert!(track.windows(2).all(|pair| metres(&pair[0], &pair[1]) < 60.0));
            assert!(metres(&track[0], &track[1_799]) < 400.0);
            assert!(track.iter().any(|at| metres(at, &track[0]) > 10.0), "they move");
            assert!(track.iter().all(|at| at.longitude < -90.0 && (2.0..=12.0).contains(&at.accuracy_m.unwrap())));
        }
    }
}
