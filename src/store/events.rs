//! The events themselves. This stands above events; what belongs to one has its own door ([`Store::event`]).

use super::connection::Connection;
use super::dead_letters;
use super::error::{from_diesel, unavailable};
use super::event_cache::{FRESH, Key, OLDEST};
use super::schema::{event, location};
use super::sqlstate::code_of;
use super::statement::{Bind, Statement};
use super::{EventStore, Store};
use crate::domain::{
    Access, Error, Event, EventChange, EventId, EventSettings, FieldError, MeetingRule, NewEvent, Page, Result, Slug,
    TimeRange, quoted, zone,
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use diesel::sql_types::{BigInt, Timestamptz};
use diesel_async::{AsyncConnection, RunQueryDsl};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An event as a row.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = event, treat_none_as_null = true)]
struct EventRow {
    #[diesel(skip_insertion, skip_update)]
    id: i32,
    slug: String,
    name: String,
    time_zone: String,
    begins: Option<DateTime<Utc>>,
    ends: Option<DateTime<Utc>>,
    access: String,
    distance_m: f64,
    within_us: i64,
    gap_us: i64,
    retention_days: Option<i32>,
    k: i32,
}

impl EventRow {
    fn of(slug: &Slug, settings: &EventSettings) -> Self {
        let micros = |time: TimeDelta| time.num_microseconds().unwrap_or(i64::MAX);
        let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        Self {
            id: 0,
            slug: slug.as_str().to_owned(),
            name: settings.name.clone(),
            time_zone: settings.time_zone.name().to_owned(),
            begins: settings.dates.map(TimeRange::from),
            ends: settings.dates.map(TimeRange::to),
            access: settings.access.as_str().to_owned(),
            distance_m: settings.rule.distance_m(),
            within_us: micros(settings.rule.within()),
            gap_us: micros(settings.rule.gap()),
            retention_days: settings.retention_days.map(whole),
            k: whole(settings.k),
        }
    }

    /// The event; a row that this program would not have written is an internal error.
    fn into_domain(self) -> Result<Event> {
        let id = self.id;
        self.checked().map_err(|error| Error::Internal(format!("event {id} in the database: {error}")))
    }

    fn checked(self) -> Result<Event> {
        let dates = self.begins.zip(self.ends).map(|(begins, ends)| TimeRange::new(begins, ends)).transpose()?;
        let [within, gap] = [self.within_us, self.gap_us].map(TimeDelta::microseconds);
        let settings = EventSettings {
            name: self.name,
            time_zone: zone("time_zone", &self.time_zone)?,
            dates,
            access: Access::parse("access", &self.access)?,
            rule: MeetingRule::new(self.distance_m, within, gap)?,
            retention_days: self.retention_days.and_then(|days| u32::try_from(days).ok()),
            k: self.k.unsigned_abs(),
        };
        Ok(Event { id: EventId::new(self.id), slug: Slug::new("slug", &self.slug)?, settings })
    }
}

/// How much an event holds, counted up to [`EventContents::MOST`] of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventContents {
    pub persons: u64,
    pub locations: u64,
    pub dead_letters: u64,
}

impl EventContents {
    /// More are not counted: that would take longer than an answer should.
    pub const MOST: u64 = 1_000_000;

    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl std::fmt::Display for EventContents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |count: u64| match count {
            count if count > Self::MOST => format!("more than {}", Self::MOST),
            count => count.to_string(),
        };
        let [persons, locations, letters] = [self.persons, self.locations, self.dead_letters].map(text);
        write!(f, "{persons} persons, {locations} locations and {letters} dead letters")
    }
}

/// The events, as a list.
pub struct Events<'a> {
    store: &'a Store,
}

impl Store {
    /// What stands above events: the events themselves.
    pub fn events(&self) -> Events<'_> {
        Events { store: self }
    }
}

impl Events<'_> {
    /// Stores an event under a new id; [`Error::Exists`] when another one has its slug.
    pub async fn create(&self, new: &NewEvent) -> Result<Event> {
        let stored: QueryResult<EventRow> = diesel::insert_into(event::table)
            .values(EventRow::of(&new.slug, &new.settings))
            .returning(EventRow::as_returning())
            .get_result(&mut self.store.connection().await?)
            .await;
        match stored {
            Err(Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
                Err(Error::Exists(FieldError::new("slug", format!("there is an event {} already", new.slug))))
            }
            Err(error) if is_too_early(&error) => Err(Error::Conflict(
                "there can be no second event while an older version of the program may run; run `udaconnect migrate --contract` when none does"
                    .to_owned(),
            )),
            row => row.map_err(from_diesel)?.into_domain(),
        }
    }

    /// Events by id, after `after`, at most `limit`.
    pub async fn list(&self, after: Option<EventId>, limit: usize) -> Result<Page<Event, EventId>> {
        let rows: Vec<EventRow> = event::table
            .select(EventRow::as_select())
            .filter(event::id.gt(after.map_or(i32::MIN, EventId::get)))
            .order(event::id)
            .limit(limit as i64 + 1)
            .load(&mut self.store.connection().await?)
            .await
            .map_err(from_diesel)?;
        let events = rows.into_iter().map(EventRow::into_domain).collect::<Result<_>>()?;
        Ok(Page::cut(events, limit, |event: &Event| event.id))
    }

    /// The event of this slug, at most [`OLDEST`] old; [`Error::UnknownEvent`] when there is none. While the
    /// database is away, as it was read last.
    pub async fn by_slug(&self, slug: &Slug) -> Result<Arc<Event>> {
        self.cached(Key::Slug(slug.clone())).await
    }

    /// The same by its id.
    pub async fn by_id(&self, id: EventId) -> Result<Arc<Event>> {
        self.cached(Key::Id(id)).await
    }

    /// The event of this slug as it is stored now.
    pub async fn read(&self, slug: &Slug) -> Result<Event> {
        Ok(Event::clone(&*self.fetch(&Key::Slug(slug.clone())).await?))
    }

    async fn cached(&self, key: Key) -> Result<Arc<Event>> {
        let cache = &self.store.event_cache;
        let away = cache.is_away();
        match cache.get(&key) {
            Some((event, age)) if age <= FRESH => Ok(event),
            Some((event, age)) if age <= OLDEST || away => {
                // Whoever asks next has it anew; nobody waits for it.
                if cache.renew(&key) {
                    let store = self.store.clone();
                    tokio::spawn(async move {
                        let _ = store.events().fetch(&key).await;
                    });
                }
                Ok(event)
            }
            Some((event, _)) => match tokio::time::timeout(PATIENCE, self.fetch(&key)).await {
                Ok(Err(Error::Unavailable { .. } | Error::TimedOut(_))) => Ok(event),
                Ok(fetched) => fetched,
                Err(_) => {
                    cache.note(true);
                    Ok(event)
                }
            },
            None if away => tokio::time::timeout(PATIENCE, self.fetch(&key))
                .await
                .unwrap_or_else(|_| Err(unavailable("events could not be asked for just now"))),
            None => self.fetch(&key).await,
        }
    }

    async fn fetch(&self, key: &Key) -> Result<Arc<Event>> {
        let fetched = self.fetch_now(key).await;
        let away = matches!(fetched, Err(Error::Unavailable { .. } | Error::TimedOut(_)));
        self.store.event_cache.note(away);
        fetched
    }

    async fn fetch_now(&self, key: &Key) -> Result<Arc<Event>> {
        let connection = &mut self.store.connection().await?;
        let asked = Instant::now();
        let all = event::table.select(EventRow::as_select());
        let row: Option<EventRow> = match key {
            Key::Slug(slug) => all.filter(event::slug.eq(slug.as_str())).first(connection).await,
            Key::Id(id) => all.filter(event::id.eq(id.get())).first(connection).await,
        }
        .optional()
        .map_err(from_diesel)?;
        let Some(row) = row else {
            self.store.event_cache.forget(key);
            return Err(unknown(key));
        };
        let event = Arc::new(row.into_domain()?);
        self.store.event_cache.put(&event, asked);
        Ok(event)
    }

    /// Changes the event of this slug; [`Error::UnknownEvent`] when there is none. Stored locations stay, whatever the new dates.
    pub async fn change(&self, slug: &Slug, change: EventChange) -> Result<Event> {
        let connection = &mut self.store.connection().await?;
        let changed = connection
            .transaction(async |connection| {
                let row: EventRow = event::table
                    .select(EventRow::as_select())
                    .filter(event::slug.eq(slug.as_str()))
                    // Its key stays what it is, which is all that persons who are being stored need.
                    .for_no_key_update()
                    .first(connection)
                    .await
                    .optional()?
                    .ok_or_else(|| unknown(&Key::Slug(slug.clone())))?;
                let event = row.into_domain()?;
                let settings = event.settings.changed(change)?;
                diesel::update(event::table.find(event.id.get()))
                    .set(EventRow::of(&event.slug, &settings))
                    .execute(connection)
                    .await?;
                Ok::<_, Failed>(Event { settings, ..event })
            })
            .await?;
        self.store.event_cache.put(&Arc::new(changed.clone()), Instant::now());
        Ok(changed)
    }

    /// What there is of an event.
    pub async fn held(&self, id: EventId) -> Result<EventContents> {
        let connection = &mut self.store.connection().await?;
        let mut count = async |table: &str, which: &str| {
            // Both are ours.
            let sql = format!(
                "SELECT count(*) FROM (SELECT FROM {table} WHERE event_id = $1{which} LIMIT {}) AS counted",
                EventContents::MOST + 1
            );
            let (count,): (i64,) = Statement::<(BigInt,)>::new(sql, vec![Bind::event(id)])
                .get_result(connection)
                .await
                .map_err(from_diesel)?;
            Ok::<_, Error>(count.unsigned_abs())
        };
        Ok(EventContents {
            persons: count("person", "").await?,
            locations: count("location", "").await?,
            dead_letters: count("dead_letter", " AND emptied IS NULL").await?,
        })
    }

    /// Deletes the event of this slug, and returns what it held. [`Error::UnknownEvent`] when there is none;
    /// [`Error::Conflict`] for the first event and for `default`, and, unless `force` is given, for an event that holds anything.
    ///
    /// Its rows are deleted in transactions of some thousand each, the event itself in the last one. A deletion that was interrupted
    /// goes on when it is called again.
    pub async fn delete(&self, slug: &Slug, force: bool, default: &Slug) -> Result<EventContents> {
        let event = self.read(slug).await?;
        if event.id == EventId::FIRST || slug == default {
            let message = format!(
                "the event {slug} is where addresses and records that name no event belong, so it cannot be deleted; delete what it holds"
            );
            return Err(Error::Conflict(message));
        }
        let held = self.held(event.id).await?;
        if !held.is_nothing() && !force {
            return Err(Error::Conflict(format!("the event {slug} holds {held}; force deletes it with all of them")));
        }
        let mut persons = PERSONS;
        loop {
            let erased = match self.erase(event.id, persons).await {
                // On a slow disk; fewer may be done in time, and what is done stays.
                Err(Error::TimedOut(_)) if persons > 1 => {
                    persons = (persons / 4).max(1);
                    continue;
                }
                erased => erased?,
            };
            if erased.persons == 0 && self.remove(event.id).await? {
                break;
            }
            // As many persons at a time as have about so many locations.
            persons = match erased.locations {
                0..ROWS => (persons * 2).min(PERSONS * 10),
                _ => (persons / 2).max(1),
            };
        }
        self.store.event_cache.forget(&Key::Id(event.id));
        Ok(held)
    }

    /// Erases some persons of the event with their locations and dead letters.
    async fn erase(&self, id: EventId, most: i64) -> Result<EventContents> {
        let connection = &mut self.store.connection().await?;
        let event = id.get();
        connection
            .transaction(async |connection| {
                // The persons first, as whoever erases one does: this waits for writers that hold them.
                let ids: Vec<(i64,)> = Statement::<(BigInt,)>::new(
                    "DELETE FROM person WHERE event_id = $1 AND id IN (
                         SELECT id FROM person WHERE event_id = $2 ORDER BY id LIMIT $3) RETURNING id",
                    vec![Bind::event(id), Bind::event(id), Bind::Id(most)],
                )
                .load(connection)
                .await?;
                let ids: Vec<i64> = ids.into_iter().map(|(id,)| id).collect();
                let theirs = location::event_id.eq(event).and(location::person_id.eq_any(&ids));
                let locations = diesel::delete(location::table.filter(theirs)).execute(connection).await?;
                let letters = dead_letters::erase_all(connection, &ids).await?;
                Ok(EventContents {
                    persons: ids.len() as u64,
                    locations: locations as u64,
                    dead_letters: letters as u64,
                })
            })
            .await
            .map_err(from_diesel)
    }

    /// Deletes an event without persons; false when it has some again.
    async fn remove(&self, id: EventId) -> Result<bool> {
        let connection = &mut self.store.connection().await?;
        let removed = connection
            .transaction(async |connection| {
                dead_letters::erase_of_event(connection, id).await?;
                diesel::delete(event::table.find(id.get())).execute(connection).await
            })
            .await;
        match removed {
            Ok(_) => Ok(true),
            Err(Diesel::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)) => Ok(false),
            Err(error) => Err(from_diesel(error)),
        }
    }
}

/// Persons that are erased at a time, to begin with.
const PERSONS: i64 = 100;
/// Locations that are deleted at a time, about.
const ROWS: u64 = 10_000;

impl EventStore<'_> {
    /// The error for the caller: when the event of a person has just been deleted, it is an unknown event.
    pub(super) fn told(&self, error: Diesel) -> Error {
        match error {
            Diesel::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
                let key = Key::Id(self.id());
                let slug = self.store.event_cache.get(&key).map(|(event, _)| event.slug.to_string());
                self.store.event_cache.forget(&key);
                slug.map_or_else(|| unknown(&key), Error::UnknownEvent)
            }
            error => from_diesel(error),
        }
    }
}

/// Whether the schema says that older versions, which know one event only, may still run (object_not_in_prerequisite_state).
fn is_too_early(error: &Diesel) -> bool {
    matches!(error, Diesel::DatabaseError(_, info) if code_of(info.message()) == Some("55000"))
}

/// Whether the locations of an event are not to be kept any longer, by the database's clock. Its dates and its retention stay what they
/// are until the transaction ends. One that does not exist has none.
pub(super) async fn is_over(connection: &mut Connection, id: EventId) -> Result<bool, Failed> {
    let row: Option<(EventRow, DateTime<Utc>)> = event::table
        .find(id.get())
        .select((EventRow::as_select(), diesel::dsl::now.into_sql::<Timestamptz>()))
        .for_share()
        .first(connection)
        .await
        .optional()?;
    let Some((row, now)) = row else { return Ok(false) };
    Ok(row.into_domain()?.kept_until().is_some_and(|until| until <= now))
}

/// Those of the events that exist. One that cannot be read is left out, as if it had no dates.
pub(super) async fn by_ids<'a>(
    connection: &mut Connection,
    ids: impl Iterator<Item = &'a EventId>,
) -> QueryResult<HashMap<EventId, Event>> {
    let ids: Vec<i32> = ids.map(|id| id.get()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let all = event::table.select(EventRow::as_select());
    let rows: Vec<EventRow> = all.filter(event::id.eq_any(ids)).load(connection).await?;
    let read =
        |row: EventRow| row.into_domain().inspect_err(|error| tracing::error!(%error, "an event cannot be read")).ok();
    Ok(rows.into_iter().filter_map(read).map(|event| (event.id, event)).collect())
}

fn unknown(key: &Key) -> Error {
    match key {
        Key::Slug(slug) => Error::UnknownEvent(slug.to_string()),
        Key::Id(id) => Error::UnknownEvent(quoted(&id.to_string())),
    }
}

/// Why a transaction was rolled back: the database's reason, or ours.
pub(super) enum Failed {
    Database(Diesel),
    Ours(Error),
}

impl From<Diesel> for Failed {
    fn from(error: Diesel) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Database(error) => from_diesel(error),
            Failed::Ours(error) => error,
        }
    }
}

/// How long somebody waits to have anew what is known already, or while the database is away.
const PATIENCE: Duration = Duration::from_secs(1);
