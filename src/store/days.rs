//! The days on which a person has locations.

use super::EventStore;
use super::connection::Connection;
use super::error::from_diesel;
use super::statement::{Bind, Statement};
use crate::domain::{Error, PersonId, Result};
use chrono::NaiveDate;
use diesel::sql_types::{BigInt, Bool, Date};
use diesel_async::RunQueryDsl;

impl EventStore<'_> {
    /// The days on which a person has locations, oldest first, each with the number of its locations. `zone`, an IANA name, is the
    /// time zone of the days. [`Error::NotFound`] for an unknown person.
    pub async fn days(&self, person: PersonId, zone: &str) -> Result<Vec<(NaiveDate, u64)>> {
        let mut connection = self.store.search().await?;
        let rows = loop {
            let rows = Statement::<(Date, BigInt)>::new(
                "SELECT (creation_time AT TIME ZONE $1)::date AS day, count(*) FROM location
                 WHERE event_id = $2 AND person_id = $3
                 GROUP BY day ORDER BY day",
                vec![Bind::Text(zone), Bind::event(self.event), Bind::Id(person.get())],
            )
            .load(&mut *connection)
            .await;
            if let Some(rows) = connection.settle(rows).await {
                break rows;
            }
        };
        let rows: Vec<(NaiveDate, i64)> = match rows {
            Ok(rows) => rows,
            // The server's list of zones may be shorter than ours: old names are in a package of their own in some systems.
            Err(error @ diesel::result::Error::DatabaseError(..)) => {
                return Err(if knows_zone(&mut connection, zone).await? {
                    from_diesel(error)
                } else {
                    Error::invalid("tz", format!("must be a time zone that the database knows; it has no {zone}"))
                });
            }
            Err(error) => return Err(from_diesel(error)),
        };
        drop(connection);
        if rows.is_empty() {
            self.person(person).await?;
        }
        Ok(rows.into_iter().map(|(day, count)| (day, count.unsigned_abs())).collect())
    }
}

async fn knows_zone(connection: &mut Connection, zone: &str) -> Result<bool> {
    let known = Statement::<(Bool,)>::new(
        "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1) AS known",
        vec![Bind::Text(zone)],
    );
    let known: (bool,) = known.get_result(connection).await.map_err(from_diesel)?;
    Ok(known.0)
}
