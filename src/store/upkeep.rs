//! Upkeep: who does it, and the end of what is kept of an event.

use super::connection::Connection;
use super::error::{Fault, fault, from_diesel};
use super::events::{Failed, is_over};
use super::schema::location;
use super::{EventStore, Store, dead_letters};
use crate::domain::{Error, Result};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as Diesel;
use diesel::sql_types::{Bool, Timestamptz};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};

/// Rows that are deleted in one transaction.
const BLOCK: i64 = 5_000;
/// For the transaction. Shorter than anybody's `deadlock_timeout`: where two wait for each other, it is upkeep that gives way.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '200ms'";

/// Whoever has this is the only one who does upkeep in this database. It goes with its connection, however that ends.
pub struct Upkeep {
    _connection: Connection,
}

/// What one transaction has removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    pub rows: u64,
    /// After which id there may be more.
    pub next: Option<i64>,
}

impl Store {
    /// The database's clock.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        diesel::select(diesel::dsl::now.into_sql::<Timestamptz>())
            .get_result(&mut self.connection().await?)
            .await
            .map_err(from_diesel)
    }

    /// Begins upkeep; `None` while somebody else does it.
    pub async fn begin_upkeep(&self) -> Result<Option<Upkeep>> {
        let mut connection = self.connector.connect().await?;
        let lock = diesel::dsl::sql::<Bool>("pg_try_advisory_lock(hashtext('udaconnect maintain'))");
        let got: bool = diesel::select(lock).get_result(&mut connection).await.map_err(from_diesel)?;
        Ok(got.then_some(Upkeep { _connection: connection }))
    }
}

impl EventStore<'_> {
    /// Deletes the event's next locations by id, after `after`, if they are not to be kept any longer at this moment; `None` when they
    /// are. [`Error::TimedOut`] when others are in the way.
    pub async fn expire_locations(&self, after: i64) -> Result<Option<Expired>> {
        let (id, event) = (self.id(), location::event_id.eq(self.id().get()));
        let connection = &mut self.store.connection().await?;
        let expired = connection
            .transaction(async |connection| {
                connection.batch_execute(LOCK_TIMEOUT).await?;
                if !is_over(connection, id).await? {
                    return Ok(None);
                }
                // From the index alone; and not what earlier transactions have deleted, whose entries may still be in it.
                let next: Option<i64> = location::table
                    .select(location::id)
                    .filter(event.and(location::id.gt(after)))
                    .order(location::id)
                    .offset(BLOCK - 1)
                    .first(connection)
                    .await
                    .optional()?;
                let block = location::id.gt(after).and(location::id.le(next.unwrap_or(i64::MAX)));
                let rows = diesel::delete(location::table.filter(event.and(block))).execute(connection).await?;
                Ok::<_, Failed>(Some(Expired { rows: rows as u64, next }))
            })
            .await;
        expired.map_err(told)
    }

    /// The same for what dead letters hold of the event. Their rows stay, without contents, for receipts.
    pub async fn expire_dead_letters(&self, after: i64) -> Result<Option<Expired>> {
        let id = self.id();
        let connection = &mut self.store.connection().await?;
        let expired = connection
            .transaction(async |connection| {
                connection.batch_execute(LOCK_TIMEOUT).await?;
                if !is_over(connection, id).await? {
                    return Ok(None);
                }
                let ids = dead_letters::expire(connection, id, after, BLOCK).await?;
                let next = ids.last().copied().filter(|_| ids.len() as i64 == BLOCK);
                Ok::<_, Failed>(Some(Expired { rows: ids.len() as u64, next }))
            })
            .await;
        expired.map_err(told)
    }
}

fn told(failed: Failed) -> Error {
    match failed {
        Failed::Database(error) => or_in_the_way(error),
        Failed::Ours(error) => error,
    }
}

/// [`Error::TimedOut`] where the same may succeed when others are done.
pub(super) fn or_in_the_way(error: Diesel) -> Error {
    match fault(&error) {
        Fault::Time | Fault::Race => Error::TimedOut(
            "others hold its locks (a dump, or a transaction that somebody left open), or the database is too slow"
                .to_owned(),
        ),
        Fault::Data | Fault::Server | Fault::Defect => from_diesel(error),
    }
}
