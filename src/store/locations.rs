//! Locations as rows: read, listed and deleted. How they are stored is in [`record`](super::record).

use super::EventStore;
use super::connection::Connection;
use super::error::from_diesel;
use super::loader::Load;
use super::schema::location;
use crate::domain::{Error, EventId, Location, Page, PersonId, Result, TimeRange};
use crate::geo::Coordinate;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use diesel_geography::types::Point;

/// WGS 84.
const SRID: u32 = 4326;

/// A location as a row.
#[derive(Queryable, Selectable)]
#[diesel(table_name = location)]
pub(super) struct LocationRow {
    id: i64,
    person_id: i64,
    creation_time: DateTime<Utc>,
    coordinate: Point,
    accuracy_m: Option<f64>,
}

/// The columns of a [`LocationRow`], for hand-written SQL.
pub(super) type LocationColumns = diesel::dsl::SqlTypeOf<diesel::dsl::AsSelect<LocationRow, diesel::pg::Pg>>;

impl LocationRow {
    pub(super) fn into_domain(self) -> Result<Location> {
        Ok(Location {
            id: self.id,
            person_id: PersonId::new(self.person_id, "person_id")?,
            coordinate: coordinate(self.coordinate)?,
            creation_time: self.creation_time,
            accuracy_m: self.accuracy_m,
        })
    }
}

/// The coordinate as PostGIS takes it: (x, y) = (longitude, latitude). The two are swapped here and nowhere else.
pub(super) fn point(coordinate: Coordinate) -> Point {
    Point { x: coordinate.longitude(), y: coordinate.latitude(), srid: Some(SRID) }
}

pub(super) fn coordinate(point: Point) -> Result<Coordinate> {
    Ok(Coordinate::new(point.y, point.x)?)
}

impl Load for Location {
    fn id(&self) -> i64 {
        self.id
    }

    async fn load(connection: &mut Connection, event: EventId, ids: &[i64]) -> Result<Vec<Self>> {
        let found = location::table
            .select(LocationRow::as_select())
            .filter(location::event_id.eq(event.get()).and(location::id.eq_any(ids)));
        let rows: Vec<LocationRow> = found.load(connection).await.map_err(from_diesel)?;
        rows.into_iter().map(LocationRow::into_domain).collect()
    }
}

/// A position in the list of a person's locations: after this time and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationPosition {
    pub creation_time: DateTime<Utc>,
    pub id: i64,
}

impl EventStore<'_> {
    /// The location, or [`Error::NotFound`].
    pub async fn location(&self, id: i64) -> Result<Location> {
        self.store.location_loader.get(self.event, id).await?.ok_or(Error::NotFound { what: "location", id })
    }

    /// Deletes one location, or [`Error::NotFound`].
    pub async fn delete_location(&self, id: i64) -> Result<()> {
        let this = location::table.find((self.event.get(), id));
        match diesel::delete(this).execute(&mut self.store.connection().await?).await {
            Ok(0) => Err(Error::NotFound { what: "location", id }),
            Ok(_) => Ok(()),
            Err(error) => Err(from_diesel(error)),
        }
    }

    /// A person's locations in the range, oldest first, after `after`, at most `limit`; [`Error::NotFound`] for an unknown
    /// person. Read from the index alone.
    pub async fn locations(
        &self,
        person: PersonId,
        range: TimeRange,
        after: Option<LocationPosition>,
        limit: usize,
    ) -> Result<Page<Location, LocationPosition>> {
        let mut searching = self.store.search().await?;
        let rows: Vec<LocationRow> = loop {
            let mut select = location::table
                .select(LocationRow::as_select())
                .filter(location::event_id.eq(self.event.get()))
                .filter(location::person_id.eq(person.get()))
                .filter(location::creation_time.ge(after.map_or(range.from(), |after| after.creation_time)))
                .filter(location::creation_time.lt(range.to()))
                .order((location::creation_time, location::id))
                .limit(limit as i64 + 1)
                .into_boxed();
            if let Some(after) = after {
                select = select.filter(location::creation_time.gt(after.creation_time).or(location::id.gt(after.id)));
            }
            let rows = select.load(&mut *searching).await;
            if let Some(rows) = searching.settle(rows).await {
                break rows.map_err(from_diesel)?;
            }
        };
        drop(searching);
        if rows.is_empty() {
            self.person(person).await?;
        }
        let locations = rows.into_iter().map(LocationRow::into_domain).collect::<Result<_>>()?;
        Ok(Page::cut(locations, limit, |l: &Location| LocationPosition { creation_time: l.creation_time, id: l.id }))
    }
}
