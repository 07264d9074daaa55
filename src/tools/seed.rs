//! The role that loads the standard event.

use super::demo_event::{DemoEvent, FIRST_DAY, HOURS, NAME, ZONE, opening};
use super::output;
use super::which::EventArg;
use crate::domain::{Error, Event, EventChange, EventId, NewEvent, NewLocation, Result};
use crate::service::bulk::{self, BATCH};
use crate::store::{DatabaseArgs, EventStore, Store, Stored};
use anyhow::bail;
use chrono::{NaiveDate, TimeDelta};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;

/// Load a demo event: a few hundred people among 200 booths for three days
///
/// It is the same every time, and loading it twice changes nothing. A larger event holds every smaller one.
#[derive(Clone, Debug, clap::Args)]
pub struct SeedArgs {
    /// How many people come
    #[arg(long, env = "SEED_PERSONS", value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    persons: u32,
    /// How many days it lasts
    #[arg(long, env = "SEED_DAYS", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Its first day, e.g. 2026-06-01 when absent; another one makes other locations of the same people
    #[arg(long, env = "SEED_START", value_name = "DATE", default_value_t = FIRST_DAY, value_parser = first_day)]
    start: NaiveDate,
    /// Do nothing if the event has any person
    #[arg(long, env = "SEED_IF_EMPTY")]
    if_empty: bool,
    #[command(flatten)]
    event: EventArg,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(args: SeedArgs) -> anyhow::Result<()> {
    let store = Store::new(&args.database, "seed")?;
    store.ready().await?;
    let known = known(&store, &args.event).await?;
    if let Some(known) = known.as_ref().filter(|_| args.if_empty)
        && !store.event(known.id).is_empty().await?
    {
        output::line(format_args!("there are persons already; nothing was loaded"))?;
        return Ok(());
    }
    let known = complete(&store, &args.event, known).await?;
    let event = DemoEvent { persons: args.persons, days: args.days };
    let shift = args.start - FIRST_DAY;
    let last = opening(args.days - 1) + shift + TimeDelta::hours(HOURS.into());
    for time in [opening(0) + shift, last] {
        if let Err(error) = known.takes(time) {
            bail!("--start: {}", error.message);
        }
    }
    let begin = Instant::now();
    let ids = persons(store.event(known.id), event).await?;
    let stored = locations(&store, known.id, event, shift, ids).await?;
    if !stored.unknown.is_empty() {
        bail!("{} persons were deleted meanwhile; run it again to have all", stored.unknown.len());
    }
    store.vacuum().await?;
    let seconds = begin.elapsed().as_secs_f64();
    output::line(format_args!(
        "{} persons, {} locations: {} stored, {} were there already; {seconds:.1} s",
        event.persons,
        event.locations(),
        stored.stored,
        stored.duplicates
    ))?;
    Ok(())
}

/// The event, if it is there.
async fn known(store: &Store, event: &EventArg) -> Result<Option<Event>> {
    match store.events().read(&event.slug).await {
        Err(Error::UnknownEvent(_)) => Ok(None),
        known => known.map(Some),
    }
}

/// The event, made if it is absent. One that nobody has given a name yet gets the demo's, and its time zone. It has no dates: then it
/// takes what somebody who tries it out sends now.
async fn complete(store: &Store, event: &EventArg, known: Option<Event>) -> Result<Event> {
    let about = EventChange { name: Some(NAME.to_owned()), time_zone: Some(ZONE.to_owned()), ..EventChange::default() };
    match known {
        None => match store.events().create(&NewEvent::new(event.slug.as_str(), about)?).await {
            // Somebody else was faster.
            Err(Error::Exists(_)) => store.events().read(&event.slug).await,
            created => created,
        },
        Some(known) if known.id == EventId::FIRST && known.settings.name == UNNAMED => {
            store.events().change(&event.slug, about).await
        }
        Some(known) => Ok(known),
    }
}

/// What the event is called that was there before there were several, until somebody gives it a name.
const UNNAMED: &str = "Default event";

fn first_day(text: &str) -> Result<NaiveDate, String> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let allowed = NaiveDate::from_ymd_opt(2000, 1, 2)..=NaiveDate::from_ymd_opt(2100, 1, 1);
    date.filter(|date| allowed.contains(&Some(*date)))
        .ok_or_else(|| "must be a date such as 2026-06-01, from 2000-01-02 to 2100-01-01".to_owned())
}

async fn persons(store: EventStore<'_>, event: DemoEvent) -> Result<Vec<i64>> {
    const CHUNK: u32 = 10_000;
    let mut ids = Vec::with_capacity(event.persons as usize);
    for first in (0..event.persons).step_by(CHUNK as usize) {
        let chunk: Vec<_> =
            (first..event.persons.min(first + CHUNK)).map(|i| (DemoEvent::key(i), DemoEvent::person(i))).collect();
        ids.extend(store.create_persons_by_key(&chunk).await?.into_iter().map(|id| id.get()));
    }
    Ok(ids)
}

/// In the order in which phones would have sent them: by time, everybody's.
async fn locations(
    store: &Store,
    id: EventId,
    event: DemoEvent,
    shift: TimeDelta,
    ids: Vec<i64>,
) -> anyhow::Result<Stored> {
    let bar = bar(event.locations());
    let (queue, workers) = bulk::workers({
        let (store, bar) = (store.clone(), bar.clone());
        move |batch| {
            let (store, bar) = (store.clone(), bar.clone());
            async move {
                let stored = store.event(id).record_bulk(&batch).await?;
                bar.inc(batch.len() as u64);
                Ok(stored)
            }
        }
    });
    let making = tokio::task::spawn_blocking(move || {
        let mut batch = Vec::with_capacity(BATCH);
        for day in 0..event.days {
            let evening = opening(day) + shift + TimeDelta::days(1);
            for stay in 0..DemoEvent::STAYS {
                for (person, id) in (0..).zip(&ids) {
                    for mut input in DemoEvent::stay(person, *id, day, stay) {
                        input.creation_time = input.creation_time.map(|time| time + shift);
                        batch.push(NewLocation::new(input, evening, TimeDelta::zero())?);
                    }
                    if batch.len() >= BATCH && queue.blocking_send(std::mem::take(&mut batch)).is_err() {
                        return Ok(());
                    }
                }
            }
        }
        let _ = queue.blocking_send(batch);
        Ok::<_, crate::domain::Error>(())
    });
    let sum = workers.finish().await?;
    making.await??;
    bar.finish_and_clear();
    Ok(sum)
}

fn bar(length: u64) -> ProgressBar {
    let style = "{bar:40} {human_pos} of {human_len} locations, {per_sec}, {eta} left";
    ProgressBar::new(length).with_style(ProgressStyle::with_template(style).expect("the template is valid"))
}
