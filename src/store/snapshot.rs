//! A snapshot: one state of the database, in which the queries of one use case agree with each other.

use super::EventStore;
use super::connection::Connection;
use super::error::from_diesel;
use super::loader::Loader;
use super::locations::{coordinate, point};
use super::persons::PersonRow;
use super::proximity::time;
use super::schema::person;
use super::searches::Search;
use super::statement::{Bind, Statement};
use crate::domain::{Error, EventId, Person, PersonId, Result, TimeRange};
use crate::meeting::Fix;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as Diesel;
use diesel::sql_types::Timestamptz;
use diesel_async::{AnsiTransactionManager, RunQueryDsl, TransactionManager};
use diesel_geography::sql_types::Geography;
use diesel_geography::types::Point;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One state of the database, in which one event's rows are seen. Queries in one snapshot agree with each other.
///
/// All of them together may take as long as one statement may. A snapshot that is dropped before its end closes its connection,
/// and the server is told to stop what it still does for it. At a replica it may lack the last moments.
pub struct Snapshot {
    /// `None` when it has ended.
    search: Option<Search>,
    pub(super) event: EventId,
    /// Who a replica has not heard of yet, the primary may know.
    at_primary: Loader<Person>,
    began: Instant,
    limit: Duration,
}

impl EventStore<'_> {
    /// Begins a snapshot, as soon as the search has a permit.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut search = self.store.search().await?;
        begin(&mut search).await?;
        Ok(Snapshot {
            search: Some(search),
            event: self.event,
            at_primary: self.store.person_loader.clone(),
            began: Instant::now(),
            limit: self.store.connector.statement_timeout(),
        })
    }
}

impl Snapshot {
    /// The person, or [`Error::NotFound`].
    pub async fn person(&mut self, id: PersonId) -> Result<Person> {
        let mut found = self.persons(&[id]).await?.remove(&id);
        if found.is_none() && self.search.as_ref().is_some_and(Search::is_at_replica) {
            found = self.at_primary.get(self.event, id.get()).await?;
        }
        found.ok_or(Error::NotFound { what: "person", id: id.get() })
    }

    /// Those of the persons that exist, in one query.
    pub async fn persons(&mut self, ids: &[PersonId]) -> Result<BTreeMap<PersonId, Person>> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows: Vec<PersonRow> = person::table
            .select(PersonRow::as_select())
            .filter(person::event_id.eq(self.event.get()).and(person::id.eq_any(ids)))
            .load(self.connection())
            .await
            .map_err(|error| self.noted(error))?;
        rows.into_iter().map(|row| row.into_domain().map(|person| (person.id, person))).collect()
    }

    /// A person's locations in the range, oldest first, after `after`, at most `limit`. Read from the index alone.
    pub async fn track(
        &mut self,
        person: PersonId,
        range: TimeRange,
        after: Option<Fix>,
        limit: usize,
    ) -> Result<Vec<Fix>> {
        self.in_time()?;
        let event = Bind::event(self.event);
        let (person, to, limit) = (Bind::Id(person.get()), Bind::Time(range.to()), Bind::Id(limit as i64));
        let rows = match after {
            None => Statement::<(Timestamptz, Geography)>::new(
                "SELECT creation_time, coordinate FROM location
                 WHERE event_id = $1 AND person_id = $2 AND creation_time >= $3 AND creation_time < $4
                 ORDER BY creation_time, coordinate LIMIT $5",
                vec![event, person, Bind::Time(range.from()), to, limit],
            ),
            Some(after) => Statement::new(
                "SELECT creation_time, coordinate FROM location
                 WHERE event_id = $1 AND person_id = $2 AND (creation_time, coordinate) > ($3, $4) AND creation_time < $5
                 ORDER BY creation_time, coordinate LIMIT $6",
                vec![event, person, Bind::Time(time(after.time)?), Bind::Point(point(after.coordinate)), to, limit],
            ),
        };
        let rows: Vec<(DateTime<Utc>, Point)> =
            rows.load(self.connection()).await.map_err(|error| self.noted(error))?;
        rows.into_iter().map(|(time, place)| Ok(Fix::new(time, coordinate(place)?))).collect()
    }

    /// Ends the snapshot, gives its connection back if that still works, and returns the work's result.
    ///
    /// `None`: the replica failed and the snapshot has begun anew at the primary; the same work is to be done again.
    pub async fn end<T>(&mut self, done: Result<T>) -> Option<Result<T>> {
        let Some(mut search) = self.search.take() else { return Some(done) };
        if done.is_err() && search.begins_anew().await {
            if let Err(error) = begin(&mut search).await {
                return Some(Err(error));
            }
            self.search = Some(search);
            self.began = Instant::now();
            return None;
        }
        Some(settle(search, done).await)
    }

    /// Turns a statement's error into ours, once the search has noted it.
    pub(super) fn noted(&mut self, error: Diesel) -> Error {
        if let Some(search) = &mut self.search {
            search.note(&error);
        }
        from_diesel(error)
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        self.search.as_mut().expect("it is there until the end")
    }

    /// How long all of its queries may take together.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Fails when the snapshot has taken as long as it may.
    pub(super) fn in_time(&self) -> Result<()> {
        if self.began.elapsed() < self.limit {
            Ok(())
        } else {
            Err(Error::TimedOut(format!(
                "not done within {} s; ask for a shorter range, a smaller distance or a smaller within",
                self.limit.as_secs()
            )))
        }
    }
}

async fn begin(search: &mut Search) -> Result<()> {
    loop {
        // A plan is kept as long as its connection. Made while a partition was small or not yet analysed it would be a
        // sequential scan, and stay one when the partition has grown; what is asked for here always is a few index entries.
        let begun = AnsiTransactionManager::begin_transaction_sql(
            &mut **search,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off",
        )
        .await;
        if let Some(begun) = search.settle(begun).await {
            return begun.map_err(from_diesel);
        }
    }
}

/// Ends the transaction as the work went.
async fn settle<T>(mut search: Search, done: Result<T>) -> Result<T> {
    let ended = match &done {
        Ok(_) => AnsiTransactionManager::commit_transaction(&mut *search).await,
        // Nobody knows what the server still does.
        Err(Error::Unavailable { .. }) => {
            search.discard();
            return done;
        }
        Err(
            Error::Invalid(_)
            | Error::NotFound { .. }
            | Error::UnknownEvent(_)
            | Error::Exists(_)
            | Error::Conflict(_)
            | Error::TooBroad(_)
            | Error::TimedOut(_)
            | Error::Internal(_)
            | Error::Overloaded,
        ) => AnsiTransactionManager::rollback_transaction(&mut *search).await,
    };
    let done = done?;
    ended.map_err(from_diesel)?;
    Ok(done)
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(search) = self.search.take() {
            search.discard();
        }
    }
}
