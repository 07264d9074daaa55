//! The role that makes, shows, changes and deletes events.

use super::output::{line, print};
use crate::domain::text::shown_at_most;
use crate::domain::{Access, Event, EventChange, EventId, Moment, NewEvent, Slug, TimeRange, parse_duration};
use crate::store::{DatabaseArgs, Store};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::io::Write;

/// Create, list, show, change and delete events
#[derive(Clone, Debug, clap::Args)]
pub struct EventArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Add an event
    Create {
        /// What stands in addresses: 1 to 64 of a to z, 0 to 9 and -
        slug: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// One line for each, by id
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Everything about one, and what there is of it
    Show {
        /// Its slug, from the list
        slug: Slug,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Change what is given and leave the rest; what is stored stays, whatever the new dates
    Change {
        /// Its slug, from the list
        slug: Slug,
        #[command(flatten)]
        settings: Settings,
        /// Take its dates away
        #[arg(long, env = "EVENT_NO_DATES", conflicts_with_all = ["begins", "ends"])]
        no_dates: bool,
        /// Keep locations until somebody deletes them
        #[arg(long, env = "EVENT_NO_RETENTION", conflicts_with = "retention_days")]
        no_retention: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Delete one; refused while there is anything of it, unless --force is given
    Delete {
        /// Its slug, from the list
        slug: Slug,
        /// With every person, location and dead letter of it. What was interrupted goes on when it is run again
        #[arg(long, env = "EVENT_FORCE")]
        force: bool,
        /// The event of servers' addresses without one, which is not deleted
        #[arg(long, env = "DEFAULT_EVENT", value_name = "EVENT", default_value = "default")]
        default_event: Slug,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// What can be said of an event.
#[derive(Clone, Debug, clap::Args)]
struct Settings {
    /// What it is called
    #[arg(long, env = "EVENT_NAME", value_name = "NAME")]
    name: Option<String>,
    /// Whose days its days are, by its IANA name; UTC when a new one has none
    #[arg(long, env = "EVENT_ZONE", value_name = "ZONE")]
    time_zone: Option<String>,
    /// When it begins: a day of its time zone, or a time; locations of more than a day before are refused
    #[arg(long, env = "EVENT_BEGINS", value_name = "DATE", value_parser = Moment::parse)]
    begins: Option<Moment>,
    /// With which day it ends, or before which time
    #[arg(long, env = "EVENT_ENDS", value_name = "DATE", value_parser = Moment::parse)]
    ends: Option<Moment>,
    /// Who may see it: open or members
    #[arg(long, env = "EVENT_ACCESS", value_name = "WHO", value_parser = access)]
    access: Option<Access>,
    /// Metres at most between two who meet, where a query does not say; 10 when a new one has none
    #[arg(long, env = "EVENT_DISTANCE", value_name = "METRES")]
    distance: Option<f64>,
    /// How far two locations in contact may be apart in time, seconds or ISO 8601; 5 minutes
    #[arg(long, env = "EVENT_WITHIN", value_name = "TIME", value_parser = parse_duration)]
    within: Option<TimeDelta>,
    /// The longest pause in an encounter; 10 minutes
    #[arg(long, env = "EVENT_GAP", value_name = "TIME", value_parser = parse_duration)]
    gap: Option<TimeDelta>,
    /// How many days locations are kept after its end, 1 to 36500, until `udaconnect maintain` deletes them; when absent, until
    /// somebody does
    #[arg(long, env = "EVENT_RETENTION_DAYS", value_name = "N")]
    retention_days: Option<i64>,
    /// A count of fewer people than this is not shown, 1 to 1000; 5 when a new one has none
    #[arg(long, env = "EVENT_K", value_name = "N")]
    k: Option<i64>,
}

fn access(text: &str) -> Result<Access, String> {
    Access::parse("access", text).map_err(|error| error.message)
}

impl Settings {
    fn change(self) -> EventChange {
        EventChange {
            name: self.name,
            time_zone: self.time_zone,
            begins: self.begins.map(Some),
            ends: self.ends.map(Some),
            access: self.access,
            distance_m: self.distance,
            within: self.within,
            gap: self.gap,
            retention_days: self.retention_days.map(Some),
            k: self.k,
        }
    }
}

pub async fn run(args: EventArgs) -> anyhow::Result<()> {
    match args.command {
        Command::Create { slug, settings, database } => {
            let new = NewEvent::new(&slug, settings.change())?;
            let event = open(&database).await?.events().create(&new).await?;
            print(|out| describe(out, &event)).map(drop)
        }
        Command::List { database } => list(&open(&database).await?).await,
        Command::Show { slug, database } => {
            let store = open(&database).await?;
            let event = store.events().read(&slug).await?;
            let held = store.events().held(event.id).await?;
            print(|out| {
                describe(out, &event)?;
                writeln!(out, "holds         {held}")
            })
            .map(drop)
        }
        Command::Change { slug, settings, no_dates, no_retention, database } => {
            let mut change = settings.change();
            if no_dates {
                (change.begins, change.ends) = (Some(None), Some(None));
            }
            if no_retention {
                change.retention_days = Some(None);
            }
            let event = open(&database).await?.events().change(&slug, change).await?;
            print(|out| describe(out, &event)).map(drop)
        }
        Command::Delete { slug, force, default_event, database } => {
            let deleted = open(&database).await?.events().delete(&slug, force, &default_event).await?;
            line(format_args!("deleted {slug}, and with it {deleted}"))
        }
    }
}

async fn open(database: &DatabaseArgs) -> anyhow::Result<Store> {
    let store = Store::new(database, "event")?;
    store.ready().await?;
    Ok(store)
}

/// How many are read from the database at once.
const PAGE: usize = 500;

async fn list(store: &Store) -> anyhow::Result<()> {
    let columns = |out: &mut dyn Write, [id, slug, begins, ends, zone]: [&str; 5], name: &str| {
        writeln!(out, "{id:>6}  {slug:20}  {begins:20}  {ends:20}  {zone:20}  {name}")
    };
    print(|out| columns(out, ["id", "slug", "begins", "ends", "time zone"], "name"))?;
    let mut after: Option<EventId> = None;
    loop {
        let page = store.events().list(after, PAGE).await?;
        let read = print(|out| {
            page.items.iter().try_for_each(|event| {
                let dates = event.settings.dates;
                let time = |end: fn(TimeRange) -> DateTime<Utc>| dates.map_or_else(|| "-".to_owned(), |d| text(end(d)));
                let zone = event.settings.time_zone.name();
                let five =
                    [&event.id.to_string(), event.slug.as_str(), &time(TimeRange::from), &time(TimeRange::to), zone];
                columns(out, five, &shown_at_most(&event.settings.name, event.settings.name.len()))
            })
        })?;
        after = page.next;
        if after.is_none() || !read {
            return Ok(());
        }
    }
}

fn describe(out: &mut dyn Write, event: &Event) -> std::io::Result<()> {
    let settings = &event.settings;
    writeln!(out, "id            {}", event.id)?;
    writeln!(out, "slug          {}", event.slug)?;
    writeln!(out, "name          {}", shown_at_most(&settings.name, settings.name.len()))?;
    writeln!(out, "time zone     {}", settings.time_zone.name())?;
    match settings.dates {
        Some(dates) => writeln!(out, "dates         {} to before {}", text(dates.from()), text(dates.to()))?,
        None => writeln!(out, "dates         none")?,
    }
    let times = event.times();
    match (times, settings.dates) {
        (Some(times), Some(_)) => {
            writeln!(out, "takes         times from {} to before {}", text(times.from()), text(times.to()))?;
        }
        (Some(times), None) => writeln!(out, "takes         times from {} on", text(times.from()))?,
        (None, _) => writeln!(out, "takes         no times: it was over before 2000")?,
    }
    writeln!(out, "access        {}", settings.access.as_str())?;
    let rule = settings.rule;
    let [within, gap] = [rule.within(), rule.gap()].map(TimeDelta::as_seconds_f64);
    writeln!(out, "meeting       {} m, within {within} s, gap {gap} s", rule.distance_m())?;
    match settings.retention_days {
        Some(days) => writeln!(out, "retention     {days} days after it")?,
        None => writeln!(out, "retention     until somebody deletes")?,
    }
    writeln!(out, "k             {}", settings.k)
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
