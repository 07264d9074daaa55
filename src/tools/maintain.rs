//! The role that does what time brings: tables for the months ahead, and the end of what is kept of an event.

use super::output;
use crate::domain::{Error, Event, EventId, Result};
use crate::runtime::Backoff;
use crate::store::{DatabaseArgs, MOST_MONTHS_AHEAD, Store};
use chrono::{DateTime, Datelike, Months, NaiveDate, SecondsFormat, TimeDelta, Utc};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Make the tables of coming months and delete what is kept no longer, then exit
///
/// One pass; meant to be run every hour. Safe at any time, beside everything else, and to be interrupted: what was done is kept,
/// and the next pass goes on. Where one is under way already, another one says so and leaves it to that.
#[derive(Clone, Debug, clap::Args)]
pub struct MaintainArgs {
    #[command(flatten)]
    upkeep: UpkeepArgs,
    /// Change nothing; say what would be done
    #[arg(long, env = "MAINTAIN_DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// How upkeep is done, by whichever role.
#[derive(Clone, Debug, clap::Args)]
pub struct UpkeepArgs {
    /// Months after this one whose tables are made, besides those of events' dates
    #[arg(long, env = "MAINTAIN_MONTHS_AHEAD", value_name = "N", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_MONTHS_AHEAD)))]
    months_ahead: u32,
    /// How long to try again while others hold locks (a dump does); each try waits for a second at most
    #[arg(long, env = "MAINTAIN_WAIT", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,
}

/// How far back the months of events' dates are looked at. Older ones get their tables when locations come.
const MONTHS_BACK: u32 = 24;
/// How long to wait after others were in the way, at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How many events are read from the database at once.
const PAGE: usize = 500;

pub async fn run(args: MaintainArgs) -> anyhow::Result<()> {
    let store = Store::new(&args.database, "maintain")?;
    let say = |line: &str| {
        if let Err(error) = output::line(line) {
            tracing::warn!(error = format!("{error:#}"), line, "a line cannot be written");
        }
    };
    if args.dry_run {
        store.ready().await?;
        let mut pass = Pass::new(&store, &args.upkeep, say);
        let due = Due::of(&store, &args.upkeep).await?;
        pass.tell(&due.months, due.over()).await?;
        return pass.end();
    }
    keep_up(&store, &args.upkeep, say).await
}

/// One pass of upkeep. `say` is given a line for each thing that was done, and one when there was nothing to do; the error holds
/// what could not be done.
pub async fn keep_up(store: &Store, args: &UpkeepArgs, say: impl Fn(&str)) -> anyhow::Result<()> {
    store.ready().await?;
    let Some(_upkeep) = store.begin_upkeep().await? else {
        say("another upkeep is under way; this one leaves it to that");
        return Ok(());
    };
    let mut pass = Pass::new(store, args, say);
    let due = Due::of(store, args).await?;
    pass.make(&due.months).await?;
    pass.expire(due.over()).await?;
    pass.end()
}

/// What there is to do now, by the database's clock.
struct Due {
    now: DateTime<Utc>,
    /// Months without a table.
    months: Vec<NaiveDate>,
    events: Vec<Event>,
}

impl Due {
    async fn of(store: &Store, args: &UpkeepArgs) -> Result<Self> {
        let (now, events) = (store.now().await?, events(store).await?);
        let months = store.months_without_table(&months(now, args.months_ahead, &events)).await?;
        Ok(Self { now, months, events })
    }

    /// Events whose locations are kept no longer.
    fn over(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.kept_until().is_some_and(|until| until <= self.now))
    }
}

async fn events(store: &Store) -> Result<Vec<Event>> {
    let (mut events, mut after): (_, Option<EventId>) = (Vec::new(), None);
    loop {
        let page = store.events().list(after, PAGE).await?;
        events.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(events);
        }
    }
}

/// The months, by their first days, that should have a table: this one, so many ahead, and those of events' dates with their
/// margin, from [`MONTHS_BACK`] to [`MOST_MONTHS_AHEAD`].
fn months(now: DateTime<Utc>, ahead: u32, events: &[Event]) -> BTreeSet<NaiveDate> {
    let this = first_of_month(now);
    let later = |month: NaiveDate, n: u32| month.checked_add_months(Months::new(n)).unwrap_or(NaiveDate::MAX);
    let earliest = this.checked_sub_months(Months::new(MONTHS_BACK)).unwrap_or(NaiveDate::MIN);
    let latest = later(this, MOST_MONTHS_AHEAD);
    let mut months: BTreeSet<NaiveDate> = (0..=ahead).map(|n| later(this, n)).collect();
    for times in events.iter().filter(|event| event.settings.dates.is_some()).filter_map(Event::times) {
        let last = first_of_month(times.to() - TimeDelta::microseconds(1)).min(latest);
        let mut month = first_of_month(times.from()).max(earliest);
        while month <= last {
            months.insert(month);
            month = later(month, 1);
        }
    }
    months
}

fn first_of_month(time: DateTime<Utc>) -> NaiveDate {
    let day = time.date_naive();
    day.with_day(1).unwrap_or(day)
}

/// What one pass does, and what came of it.
struct Pass<'a, S> {
    store: &'a Store,
    say: S,
    /// How long to try again while others are in the way.
    wait: Duration,
    /// Lines said.
    done: usize,
    /// What could not be done, each with its reason.
    failed: Vec<String>,
}

impl<'a, S: Fn(&str)> Pass<'a, S> {
    fn new(store: &'a Store, args: &UpkeepArgs, say: S) -> Self {
        Self { store, say, wait: Duration::from_secs(args.wait), done: 0, failed: Vec::new() }
    }

    fn end(self) -> anyhow::Result<()> {
        match self.failed.is_empty() {
            true if self.done == 0 => (self.say)("nothing to do"),
            true => {}
            false => anyhow::bail!("{}; run it again", self.failed.join("; ")),
        }
        Ok(())
    }

    /// Says what would be done.
    async fn tell(&mut self, months: &[NaiveDate], over: impl Iterator<Item = &Event>) -> Result<()> {
        for month in months {
            self.say(format!("would make the table of {}", month.format("%Y-%m")));
        }
        for event in over {
            let held = self.store.events().held(event.id).await?;
            if held.locations > 0 || held.dead_letters > 0 {
                self.say(format!(
                    "would delete the locations of {}, {}, and empty its dead letters; it holds {held}",
                    event.slug,
                    kept(event)
                ));
            }
        }
        Ok(())
    }

    /// Makes the tables of months.
    async fn make(&mut self, months: &[NaiveDate]) -> Result<()> {
        let until = Instant::now() + self.wait;
        for &month in months {
            let name = month.format("%Y-%m");
            match patiently(until, async || self.store.make_month(month).await).await {
                Ok(()) => self.say(format!("made the table of {name}")),
                Err(error) => self.fail(format!("{name} has no table yet"), error)?,
            }
        }
        Ok(())
    }

    /// Deletes the locations of events, and empties the dead letters about them.
    async fn expire(&mut self, over: impl Iterator<Item = &Event>) -> Result<()> {
        for event in over {
            let (mut locations, mut letters) = (0, 0);
            let ended = async {
                self.each_block(&mut locations, async |after| self.store.event(event.id).expire_locations(after).await)
                    .await?;
                self.each_block(&mut letters, async |after| self.store.event(event.id).expire_dead_letters(after).await)
                    .await
            }
            .await;
            if locations > 0 || letters > 0 {
                self.say(format!(
                    "deleted {locations} locations and emptied {letters} dead letters of {}, {}",
                    event.slug,
                    kept(event)
                ));
            }
            if let Err(error) = ended {
                self.fail(format!("not all of {} could be deleted", event.slug), error)?;
            }
        }
        Ok(())
    }

    /// Removes one block after another until there is none, and counts the rows.
    async fn each_block(
        &self,
        rows: &mut u64,
        remove: impl AsyncFn(i64) -> Result<Option<crate::store::Expired>>,
    ) -> Result<()> {
        let mut after = Some(0);
        while let Some(from) = after {
            // `None`: somebody has changed the event's dates or its retention meanwhile.
            let block = patiently(Instant::now() + self.wait, async || remove(from).await).await?;
            *rows += block.map_or(0, |block| block.rows);
            after = block.and_then(|block| block.next);
        }
        Ok(())
    }

    fn say(&mut self, line: String) {
        (self.say)(&line);
        self.done += 1;
    }

    /// Notes what could not be done. Without the database there is no going on.
    fn fail(&mut self, what: String, error: Error) -> Result<()> {
        match error {
            Error::Unavailable { .. } => Err(error),
            error => {
                self.failed.push(format!("{what}: {error}"));
                Ok(())
            }
        }
    }
}

fn kept(event: &Event) -> String {
    let until = event.kept_until().map(|until| until.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    format!("kept until {}", until.unwrap_or_default())
}

/// Tries again while others are in the way, with pauses, until the time is over.
async fn patiently<T>(until: Instant, attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut backoff = Backoff::new(PAUSE, LONGEST_PAUSE);
    loop {
        match attempt().await {
            Err(Error::TimedOut(_)) if Instant::now() < until => backoff.wait().await,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventChange, Moment, NewEvent, parse_time};

    fn event(dates: Option<(&str, &str)>) -> Event {
        let moment = |text: &str| Some(Some(Moment::parse(text).unwrap()));
        let about = EventChange {
            name: Some("Conference".into()),
            begins: dates.and_then(|dates| moment(dates.0)),
            ends: dates.and_then(|dates| moment(dates.1)),
            ..EventChange::default()
        };
        let NewEvent { slug, settings } = NewEvent::new("conf", about).unwrap();
        Event { id: EventId::new(2), slug, settings }
    }

    fn of(ahead: u32, events: &[Event]) -> Vec<String> {
        let now = parse_time("2026-11-30T23:00:00Z").unwrap();
        months(now, ahead, events).iter().map(|month| month.format("%Y-%m").to_string()).collect()
    }

    #[test]
    fn months_ahead_and_those_of_events_dates() {
        assert_eq!(of(0, &[]), ["2026-11"]);
        assert_eq!(of(2, &[event(None)]), ["2026-11", "2026-12", "2027-01"]);
        // A day before the first of May, a day after the last of June.
        assert_eq!(
            of(0, &[event(Some(("2027-05-01", "2027-06-30")))]),
            ["2026-11", "2027-04", "2027-05", "2027-06", "2027-07"]
        );
        // To before the first of July.
        assert_eq!(of(0, &[event(Some(("2027-06-10", "2027-06-29")))]), ["2026-11", "2027-06"]);
        assert_eq!(of(0, &[event(Some(("1998-06-01", "1998-06-02")))]), ["2026-11"]);
    }

    #[test]
    fn events_of_any_length_make_a_bounded_number_of_tables() {
        let all = of(0, &[event(Some(("2000-01-01", "9999-12-31")))]);
        assert_eq!(all.len() as u32, MONTHS_BACK + 1 + MOST_MONTHS_AHEAD);
        assert_eq!((all[0].as_str(), all[all.len() - 1].as_str()), ("2024-11", "2027-11"));
        assert_eq!(of(12, &[]).last().unwrap(), "2027-11");
    }
}
