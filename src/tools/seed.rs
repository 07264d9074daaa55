//! The role that loads the standard event.

use super::demo_event::{Event, opening};
use crate::domain::{EventId, NewLocation, Result};
use crate::store::{DatabaseArgs, Store, Stored};
use anyhow::bail;
use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Load a demo event: a few hundred people among 200 booths for three days
///
/// It is the same every time, and loading it twice changes nothing. A larger event holds every smaller one.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many people come
    #[arg(long, env = "SEED_PERSONS", value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    persons: u32,
    /// How many days it lasts
    #[arg(long, env = "SEED_DAYS", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Do nothing if there is any person in the database
    #[arg(long, env = "SEED_IF_EMPTY")]
    if_empty: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Locations in one transaction.
const BATCH: usize = 20_000;
/// Transactions under way at once.
const WRITERS: usize = 2;

pub async fn run(args: Args) -> anyhow::Result<()> {
    let store = Store::new(&args.database, "seed")?;
    store.ready().await?;
    if args.if_empty && !store.event(EventId::FIRST).is_empty().await? {
        println!("there are persons already; nothing was loaded");
        return Ok(());
    }
    let event = Event { persons: args.persons, days: args.days };
    let begin = Instant::now();
    let ids = persons(&store, event).await?;
    let stored = locations(&store, event, ids).await?;
    if !stored.unknown.is_empty() {
        bail!("{} persons were deleted meanwhile; run it again to have all", stored.unknown.len());
    }
    store.vacuum().await?;
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{} persons, {} locations: {} stored, {} were there already; {seconds:.1} s",
        event.persons,
        event.locations(),
        stored.stored,
        stored.duplicates
    );
    Ok(())
}

async fn persons(store: &Store, event: Event) -> Result<Vec<i64>> {
    const CHUNK: u32 = 10_000;
    let mut ids = Vec::with_capacity(event.persons as usize);
    for first in (0..event.persons).step_by(CHUNK as usize) {
        let chunk: Vec<_> =
            (first..event.persons.min(first + CHUNK)).map(|i| (Event::key(i), Event::person(i))).collect();
        ids.extend(store.event(EventId::FIRST).create_persons_by_key(&chunk).await?.into_iter().map(|id| id.get()));
    }
    Ok(ids)
}

/// In the order in which phones would have sent them: by time, everybody's.
async fn locations(store: &Store, event: Event, ids: Vec<i64>) -> anyhow::Result<Stored> {
    let bar = bar(event.locations());
    let (queue, batches) = mpsc::channel::<Vec<NewLocation>>(1);
    let batches = std::sync::Arc::new(tokio::sync::Mutex::new(batches));
    let mut writers: JoinSet<Result<Stored>> = JoinSet::new();
    for _ in 0..WRITERS {
        let (store, batches, bar) = (store.clone(), batches.clone(), bar.clone());
        writers.spawn(async move {
            let mut sum = Stored::default();
            loop {
                let Some(batch) = batches.lock().await.recv().await else { return Ok(sum) };
                sum += store.event(EventId::FIRST).record_bulk(&batch).await?;
                bar.inc(batch.len() as u64);
            }
        });
    }
    // If a writer fails, the receiver goes and the send below fails.
    drop(batches);
    let making = tokio::task::spawn_blocking(move || {
        let mut batch = Vec::with_capacity(BATCH);
        for day in 0..event.days {
            let evening = opening(day) + TimeDelta::days(1);
            for stay in 0..Event::STAYS {
                for (person, id) in (0..).zip(&ids) {
                    for input in Event::stay(person, *id, day, stay) {
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
    let mut sum = Stored::default();
    while let Some(done) = writers.join_next().await {
        sum += done??;
    }
    making.await??;
    bar.finish_and_clear();
    Ok(sum)
}

fn bar(length: u64) -> ProgressBar {
    let style = "{bar:40} {human_pos} of {human_len} locations, {per_sec}, {eta} left";
    ProgressBar::new(length).with_style(ProgressStyle::with_template(style).expect("the template is valid"))
}
