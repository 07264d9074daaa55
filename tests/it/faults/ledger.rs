//! What phones were told is safe, and whether the database holds exactly that, field by field.

use super::random::Random;
use futures_util::TryStreamExt;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Mutex;
use std::time::SystemTime;
use udaconnect::codec::proto::NewLocation;

/// The first of all times, in microseconds.
const BEGIN: i64 = 1_780_000_000_000_000;
/// Faults that are told; the rest is counted.
const TOLD: usize = 10;

/// One location as it is sent and as it has to be stored. Each number has a second of its own, so that times tell numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fix {
    pub latitude: f64,
    pub longitude: f64,
    /// Microseconds since 1970.
    pub time: i64,
    pub accuracy_m: Option<f64>,
}

impl Fix {
    /// The same every time for a seed, a person and a number. West of 90 degrees, so that swapped coordinates are no others'.
    pub fn new(seed: u64, person: i64, number: i64) -> Self {
        let mut random = Random::of([seed, person as u64, number as u64]);
        Self {
            latitude: 35.0 + random.unit(),
            longitude: -106.5 - random.unit(),
            time: BEGIN + number * 1_000_000 + random.below(1_000_000) as i64,
            accuracy_m: (random.below(10) > 0).then(|| 1.0 + 50.0 * random.unit()),
        }
    }

    pub fn message(&self, person_id: i64) -> NewLocation {
        let (seconds, micros) = (self.time.div_euclid(1_000_000), self.time.rem_euclid(1_000_000));
        NewLocation {
            person_id,
            latitude: Some(self.latitude),
            longitude: Some(self.longitude),
            creation_time: Some(prost_types::Timestamp { seconds, nanos: micros as i32 * 1_000 }),
            accuracy_m: self.accuracy_m,
        }
    }
}

/// The numbers of the locations that were acknowledged, by person.
pub struct Ledger {
    seed: u64,
    acknowledged: Mutex<BTreeMap<i64, Vec<i64>>>,
}

impl Ledger {
    pub fn new(seed: u64) -> Self {
        Self { seed, acknowledged: Mutex::default() }
    }

    pub fn fix(&self, person: i64, number: i64) -> Fix {
        Fix::new(self.seed, person, number)
    }

    pub fn acknowledge(&self, person: i64, numbers: impl IntoIterator<Item = i64>) {
        self.acknowledged.lock().unwrap().entry(person).or_default().extend(numbers);
    }

    /// What is wrong with the rows of this database: acknowledged locations that are not there, that differ in a field or are
    /// there twice, and rows that nobody was told of. The first few are told, the others counted.
    pub async fn faults(&self, client: &tokio_postgres::Client) -> Vec<String> {
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let mut faults = Faults::default();
        for (person, mut numbers) in acknowledged.clone() {
            numbers.sort_unstable();
            let mut expected = numbers.into_iter().map(|number| self.fix(person, number)).peekable();
            let sql = "SELECT ST_Y(coordinate::geometry), ST_X(coordinate::geometry), creation_time, accuracy_m
                       FROM location WHERE person_id = $1 ORDER BY creation_time";
            let mut rows = pin!(client.query_raw(sql, [person]).await.unwrap());
            while let Some(row) = rows.try_next().await.unwrap() {
                let row = Fix {
                    latitude: row.get(0),
                    longitude: row.get(1),
                    time: micros(row.get(2)),
                    accuracy_m: row.get(3),
                };
                while let Some(missing) = expected.next_if(|fix| fix.time < row.time) {
                    faults.add(|| format!("person {person}: {missing:?} is missing"));
                }
                match expected.next_if(|fix| fix.time == row.time) {
                    Some(fix) if fix == row => {}
                    Some(fix) => faults.add(|| format!("person {person}: {fix:?} is stored as {row:?}")),
                    None => {
                        faults.add(|| format!("person {person}: {row:?} is stored twice, or nobody was told of it"))
                    }
                }
            }
            expected.for_each(|missing| faults.add(|| format!("person {person}: {missing:?} is missing")));
        }
        let others = "SELECT count(*) FROM location WHERE person_id <> ALL($1)";
        let persons: Vec<i64> = acknowledged.into_keys().collect();
        let others: i64 = client.query_one(others, &[&persons]).await.unwrap().get(0);
        if others > 0 {
            faults.add(|| format!("{others} locations are those of other persons"));
        }
        faults.told()
    }
}

fn micros(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64
}

#[derive(Default)]
struct Faults {
    told: Vec<String>,
    count: usize,
}

impl Faults {
    fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(text());
        }
    }

    fn told(mut self) -> Vec<String> {
        if self.count > self.told.len() {
            self.told.push(format!("and {} more", self.count - self.told.len()));
        }
        self.told
    }
}
