//! The tables that `location` is divided into: which times share one, and that it is there when it is wanted.
//!
//! A month has a table of its own from the beginning of the year before last on, and so does a year before that, from 2000 on.
//! Everything else is in `location_other`, the default partition. The rule itself is the database's
//! (`location_ensure_partition`), since several versions of this program may run side by side.

use super::Store;
use super::connection::Connection;
use super::error::from_diesel;
use super::statement::Statement;
use super::upkeep::or_in_the_way;
use crate::domain::{Error, NewLocation, Result, TimeRange};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use diesel::sql_types::{Date, Text};
use diesel_async::RunQueryDsl;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The first year that has a table of its own.
const FIRST_YEAR: i32 = 2000;
/// How many years before this one are divided into months.
const YEARS_BY_MONTH: i32 = 2;
/// How many months ahead get a table before anybody needs it: one, so that a dump that runs when the month begins is no trouble.
const MONTHS_AHEAD: u32 = 1;
/// How far ahead a month may be to get a table. Locations may be as far ahead as phones' clocks are allowed to be wrong.
pub const MOST_MONTHS_AHEAD: u32 = 12;
/// How long a table that was seen is believed to be there; an operator may drop it.
const BELIEVED: Duration = Duration::from_secs(600);
/// How long to wait after a failure, doubled with each one that follows.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What this process knows of the tables.
#[derive(Default)]
pub(super) struct Partitions(Mutex<State>);

#[derive(Default)]
struct State {
    /// The months, by their first days, whose table (or whose year's) was there when it was looked for.
    seen: HashMap<NaiveDate, Instant>,
    /// Those that are wanted and could not be had; their rows are in the default partition.
    missing: BTreeSet<NaiveDate>,
    failures: u32,
    /// When to try again after a failure. One for all months, since all need the same locks.
    again: Option<Instant>,
}

impl Partitions {
    /// Makes the tables of these locations that do not exist yet, and the next month's.
    ///
    /// A table that cannot be made now (a dump holds its locks) is not an error: its rows go to the default partition, and move when
    /// the table is made. Later batches try that again, after a pause that grows to 30 s.
    pub(super) async fn ensure(&self, connection: &mut Connection, batch: &[&NewLocation]) {
        for month in self.wanted(batch, Utc::now().date_naive(), Instant::now()) {
            let made: diesel::QueryResult<bool> =
                diesel::select(location_ensure_partition(month)).get_result(connection).await;
            match made {
                // False: the default partition is where it belongs.
                Ok(_) => {
                    let mut state = self.state();
                    state.seen.insert(month, Instant::now());
                    state.missing.remove(&month);
                    state.failures = 0;
                    state.again = None;
                }
                Err(error) => {
                    let error = from_diesel(error);
                    let failures = {
                        let mut state = self.state();
                        state.missing.insert(month);
                        state.failures = state.failures.saturating_add(1);
                        state.again = Some(Instant::now() + pause(state.failures));
                        state.failures
                    };
                    // What follows on this connection says it better when the database is away.
                    if !matches!(error, Error::Unavailable { .. }) {
                        metrics::counter!("udaconnect_database_partition_errors_total").increment(1);
                        if failures == 1 || failures % 20 == 0 {
                            tracing::warn!(
                                month = %month.format("%Y-%m"), %error, failures,
                                "no table for this month yet; its locations go to the default partition and move later"
                            );
                        }
                    }
                    return;
                }
            }
        }
    }

    /// The months to ask for now, the batch's first.
    fn wanted(&self, batch: &[&NewLocation], today: NaiveDate, now: Instant) -> Vec<NaiveDate> {
        let mut state = self.state();
        if state.again.is_some_and(|again| now < again) {
            // Remembered, so that they are asked for even if none of their locations ever comes again.
            let missing: Vec<NaiveDate> =
                months_of(batch, today).filter(|month| !state.believes(*month, now)).collect();
            state.missing.extend(missing);
            return Vec::new();
        }
        let ahead = (0..=MONTHS_AHEAD).filter_map(|n| first_of_month(today)?.checked_add_months(Months::new(n)));
        let missing: Vec<NaiveDate> = state.missing.iter().copied().collect();
        let mut wanted: Vec<NaiveDate> = Vec::new();
        for month in months_of(batch, today).chain(missing).chain(ahead) {
            if !state.believes(month, now) && !wanted.contains(&month) {
                wanted.push(month);
            }
        }
        wanted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn believes(&self, month: NaiveDate, now: Instant) -> bool {
        self.seen.get(&month).is_some_and(|seen| now.saturating_duration_since(*seen) < BELIEVED)
    }
}

/// The months of a batch that may have a table. Neighbours mostly share one.
fn months_of<'a>(batch: &'a [&NewLocation], today: NaiveDate) -> impl Iterator<Item = NaiveDate> + 'a {
    let last = today.checked_add_months(Months::new(MOST_MONTHS_AHEAD)).unwrap_or(today);
    let mut before = None;
    batch.iter().filter_map(move |location| {
        let time = location.creation_time();
        let key = (time.year(), time.month());
        if before.replace(key) == Some(key) {
            return None;
        }
        first_of_month(time.date_naive()).filter(|month| month.year() >= FIRST_YEAR && *month <= last)
    })
}

fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

fn first_of_month(day: NaiveDate) -> Option<NaiveDate> {
    day.with_day(1)
}

/// The half-open stretch of whole tables that holds the times from `from` to `to`, both included; an end that no time can name
/// is `None`.
///
/// A year that is divided into months is taken whole where it might not be. Everything before the first year is one table.
pub(super) fn whole_tables(
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    today: NaiveDate,
) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let divided = |year: i32| year >= today.year() - YEARS_BY_MONTH;
    let begin = match from.year() {
        year if year < FIRST_YEAR => return (Some(TimeRange::ALL.from()), end_of_table(to, divided)),
        year if divided(year) => first_of_month(from.date_naive()),
        year => NaiveDate::from_ymd_opt(year, 1, 1),
    };
    (begin.map(midnight), end_of_table(to, divided))
}

fn end_of_table(to: DateTime<Utc>, divided: impl Fn(i32) -> bool) -> Option<DateTime<Utc>> {
    let end = match to.year() {
        year if year < FIRST_YEAR => NaiveDate::from_ymd_opt(FIRST_YEAR, 1, 1),
        year if divided(year) => first_of_month(to.date_naive())?.checked_add_months(Months::new(1)),
        year => NaiveDate::from_ymd_opt(year + 1, 1, 1),
    };
    end.map(midnight)
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

impl Store {
    /// Those of the months, which are named by their first days, that have no table, neither of their own nor their year's.
    pub async fn months_without_table(&self, months: &BTreeSet<NaiveDate>) -> Result<Vec<NaiveDate>> {
        let tables = "SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'location'::regclass";
        let tables: Vec<(String,)> = Statement::<(Text,)>::new(tables, Vec::new())
            .load(&mut self.connection().await?)
            .await
            .map_err(from_diesel)?;
        let tables: HashSet<String> = tables.into_iter().map(|(name,)| name).collect();
        // As `location_ensure_partition` names them.
        let has = |month: &NaiveDate| {
            ["location_%Y_%m", "location_%Y"].iter().any(|name| tables.contains(&month.format(name).to_string()))
        };
        Ok(months.iter().filter(|month| !has(month)).copied().collect())
    }

    /// Makes a month's table, unless it is there or is not to be; what had gone to the default partition moves into it.
    /// [`Error::TimedOut`] when others hold its locks: it waits a second for them and makes others wait a tenth of one.
    pub async fn make_month(&self, month: NaiveDate) -> Result<()> {
        let made: diesel::QueryResult<bool> =
            diesel::select(location_ensure_partition(month)).get_result(&mut self.connection().await?).await;
        made.map(|_| ()).map_err(or_in_the_way)
    }
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn location_ensure_partition(day: Date) -> Bool;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LocationInput, parse_time};
    use chrono::TimeDelta;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn location(time: &str) -> NewLocation {
        let time = parse_time(time).unwrap();
        let input = LocationInput {
            person_id: 1,
            latitude: 1.0,
            longitude: 101.0,
            creation_time: Some(time),
            accuracy_m: None,
        };
        NewLocation::new(input, time, TimeDelta::zero()).unwrap()
    }

    fn wanted(partitions: &Partitions, times: &[&str], now: Instant) -> Vec<String> {
        let batch: Vec<NewLocation> = times.iter().map(|time| location(time)).collect();
        let batch: Vec<&NewLocation> = batch.iter().collect();
        partitions.wanted(&batch, day("2026-11-25"), now).iter().map(NaiveDate::to_string).collect()
    }

    #[test]
    fn months_are_wanted_once_and_ahead_of_their_time() {
        let (partitions, now) = (Partitions::default(), Instant::now());
        let batch = ["2026-06-01T00:00:00Z", "2026-06-30T23:59:59Z", "2008-02-29T00:00:00Z"];
        let all = ["2026-06-01", "2008-02-01", "2026-11-01", "2026-12-01"];
        assert_eq!(wanted(&partitions, &batch, now), all);
        for month in all {
            partitions.state().seen.insert(day(month), now);
        }
        assert_eq!(wanted(&partitions, &batch, now), [""; 0]);
        assert_eq!(wanted(&partitions, &["9999-01-01T00:00:00Z"], now), [""; 0], "too far ahead");
        // Somebody may have dropped it.
        assert_eq!(wanted(&partitions, &batch, now + BELIEVED), all);
    }

    #[test]
    fn what_could_not_be_made_is_wanted_again_after_a_pause() {
        let (partitions, now) = (Partitions::default(), Instant::now());
        {
            let mut state = partitions.state();
            state.seen.extend([(day("2026-11-01"), now), (day("2026-12-01"), now)]);
            state.missing.insert(day("2026-06-01"));
            state.again = Some(now + Duration::from_secs(1));
        }
        assert_eq!(wanted(&partitions, &["2026-07-01T00:00:00Z"], now), [""; 0]);
        let later = now + Duration::from_secs(1);
        assert_eq!(wanted(&partitions, &[], later), ["2026-06-01", "2026-07-01"]);
        assert_eq!(pause(1), PAUSE);
        assert!((1..100).all(|n| pause(n) <= pause(n + 1) && pause(n) <= LONGEST_PAUSE));
    }

    #[test]
    fn whole_tables_hold_what_is_asked_for() {
        let today = day("2026-11-25");
        let time = |text: &str| parse_time(text).unwrap();
        for (from, to, begin, end) in [
            ("2026-06-02T10:00:00Z", "2026-06-03", "2026-06-01", "2026-07-01"),
            ("2023-06-02", "2024-02-29", "2023-01-01", "2024-03-01"),
            ("2008-05-05", "2008-05-06", "2008-01-01", "2009-01-01"),
            ("1969-07-20", "1999-12-31T23:59:59.999999Z", "0001-01-01", "2000-01-01"),
            ("1999-12-31", "2000-01-01", "0001-01-01", "2001-01-01"),
        ] {
            let whole = (Some(time(begin)), Some(time(end)));
            assert_eq!(whole_tables(time(from), time(to), today), whole, "{from} {to}");
        }
        let (all, end) = (TimeRange::ALL, DateTime::from_timestamp_micros(253_402_300_799_999_999).unwrap());
        assert_eq!(whole_tables(all.from(), end, today), (Some(all.from()), Some(all.to())));
    }
}
