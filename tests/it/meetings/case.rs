//! Random crowds, with everything in them that is easy to get wrong.

use chrono::{DateTime, TimeDelta, Utc};
use geographiclib_rs::{DirectGeodesic, Geodesic};
use proptest::prelude::*;
use udaconnect::domain::{PersonId, TimeRange};
use udaconnect::geo::Coordinate;
use udaconnect::meeting::{EncounterRule, Fix};

/// A few people, their locations and a question.
#[derive(Clone, Debug)]
pub struct Case {
    /// Who (from 0), when and where. Repeats are wanted.
    pub fixes: Vec<(usize, Fix)>,
    pub rule: EncounterRule,
    pub range: TimeRange,
}

pub const PERSONS: usize = 3;

pub fn id(person: usize) -> PersonId {
    PersonId::new(person as i64 + 1, "id").unwrap()
}

impl Case {
    /// The locations of one person that are in the range, oldest first, each once.
    pub fn track(&self, person: usize) -> Vec<Fix> {
        let mut fixes: Vec<Fix> = self
            .fixes
            .iter()
            .filter(|(who, fix)| *who == person && self.range.contains(time(fix.time)))
            .map(|(_, fix)| *fix)
            .collect();
        fixes.sort_by_key(|fix| (fix.time, fix.coordinate.bits()));
        fixes.dedup();
        fixes
    }
}

pub fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap()
}

pub fn hours(hours: i64) -> i64 {
    hours * 3_600_000_000
}

/// Midnight before the case's first possible location.
pub fn midnight() -> i64 {
    "2026-06-02T00:00:00Z".parse::<DateTime<Utc>>().unwrap().timestamp_micros()
}

/// Any question at any crowd. `edge` is how far off the distance a place "at the distance" is, metres.
pub fn any_case(edge: f64) -> impl Strategy<Value = Case> {
    let distance = prop_oneof![
        3 => Just(5.0),
        2 => Just(10.0),
        1 => Just(1_000.0),
        1 => 0.05..100.0,
        // A cell's height, and half of it.
        1 => Just(180.0 / f64::from(1 << 22) * 111_195.0),
        1 => Just(180.0 / f64::from(1 << 23) * 111_195.0),
    ];
    let within = prop_oneof![
        3 => Just(300_000_000),
        2 => Just(0),
        1 => Just(hours(24)),
        1 => 0..hours(2),
        1 => Just(1_000_000),
    ];
    let more = prop_oneof![Just(0), Just(1_000_000), Just(300_000_000), 0..hours(1)];
    (origin(), distance, within, more, 1..28_usize).prop_flat_map(move |(origin, distance, within, more, count)| {
        let gap = (within + more).min(hours(24));
        let rule = EncounterRule::new(
            Some(distance),
            Some(TimeDelta::microseconds(within)),
            Some(TimeDelta::microseconds(gap)),
        )
        .unwrap();
        let fix = (0..PERSONS, place(origin, distance, edge), moment(within, gap))
            .prop_map(|(person, coordinate, time)| (person, Fix { time, coordinate }));
        (prop::collection::vec(fix, count), any_range(within)).prop_map(move |(fixes, range)| Case {
            fixes,
            rule,
            range,
        })
    })
}

/// Where the crowd is.
fn origin() -> impl Strategy<Value = (f64, f64)> {
    // Corners of cells of any size: their rows and columns are powers of two.
    let corner = (0..1024_i32, 0..1024_i32)
        .prop_map(|(row, column)| (f64::from(row) * 180.0 / 1024.0 - 90.0, f64::from(column) * 360.0 / 1024.0 - 180.0));
    prop_oneof![
        3 => Just((37.553_441, -122.290_524)),
        2 => (-60.0..60.0, prop_oneof![Just(180.0), Just(-180.0), Just(179.999_99), Just(-179.999_99)]),
        1 => (prop_oneof![Just(90.0), Just(-90.0), Just(89.999_9), Just(-89.999_99)], -180.0..180.0),
        1 => corner,
        1 => Just((0.0, 0.0)),
        1 => (-90.0..90.0, -180.0..180.0),
    ]
}

fn place((latitude, longitude): (f64, f64), distance: f64, edge: f64) -> impl Strategy<Value = Coordinate> {
    let metres = prop_oneof![
        3 => Just(0.0),
        1 => Just(distance - edge),
        1 => Just(distance + edge),
        // On either side of the middle: again just not more than the distance apart.
        1 => Just((distance - edge) / 2.0),
        1 => Just(distance * 2.0 + 3.0 * edge),
        3 => 0.0..distance * 2.5,
    ];
    let azimuth = prop_oneof![Just(0.0), Just(90.0), Just(180.0), Just(270.0), 0.0..360.0];
    (metres, azimuth).prop_map(move |(metres, azimuth)| {
        let (latitude, longitude): (f64, f64) = Geodesic::wgs84().direct(latitude, longitude, azimuth, metres);
        // Nobody is exactly at (0, 0): that is no fix.
        let longitude = if (latitude, longitude) == (0.0, 0.0) { 1e-9 } else { longitude };
        Coordinate::new(latitude.clamp(-90.0, 90.0), longitude.clamp(-180.0, 180.0)).unwrap()
    })
}

/// Times that are just, and just not, a window or a gap apart; within three days, over a month's end or not.
fn moment(within: i64, gap: i64) -> impl Strategy<Value = i64> {
    let step = prop_oneof![
        Just(0),
        Just(within),
        Just(within + 1),
        Just(gap),
        Just(gap + 1),
        Just(2 * within),
        Just(-within - gap),
        -hours(1)..hours(1),
    ];
    (prop_oneof![Just(hours(12)), Just(hours(24)), Just(hours(36))], step.clone(), step)
        .prop_map(|(begin, one, another)| midnight() + begin + one + another)
}

fn any_range(within: i64) -> impl Strategy<Value = TimeRange> {
    let edge = move || {
        prop_oneof![
            Just(hours(12)),
            Just(hours(24)),
            Just(hours(12) + within),
            Just(hours(12) + within + 1),
            hours(10)..hours(40)
        ]
    };
    prop_oneof![
        3 => Just(TimeRange::ALL),
        2 => (edge(), edge()).prop_map(|(a, b)| {
            TimeRange::new(time(midnight() + a.min(b)), time(midnight() + a.max(b) + 1)).unwrap()
        }),
    ]
}
