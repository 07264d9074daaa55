//! The role that lists, shows, replays and discards dead letters.

use super::output::{self, print};
use crate::domain::text::shown_at_most;
use crate::domain::{Error, EventId, NewLocation, parse_duration};
use crate::service::clock::Clock;
use crate::store::{DatabaseArgs, DeadLetter, DeadLetterLine, Replayed, Store};
use anyhow::bail;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::io::Write;

/// List, show, replay and discard what came through Kafka and could not be stored
#[derive(Clone, Debug, clap::Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// One line for each, oldest first
    List {
        /// Begin after this id
        #[arg(long, env = "DEAD_LETTERS_AFTER", value_name = "ID", default_value_t = 0)]
        after: i64,
        /// At most so many
        #[arg(long, env = "DEAD_LETTERS_LIMIT", value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
        limit: i64,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Everything about one
    Show {
        /// Its id, from the list
        id: i64,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Store what can be stored now, for example after adding the person
    Replay {
        /// Their ids, from the list
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// All of them
        #[arg(long, env = "DEAD_LETTERS_ALL", conflicts_with = "ids")]
        all: bool,
        /// How far a location's time may be ahead of its record's, in seconds: as for the consumers
        #[arg(long, env, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(i64).range(0..=86_400))]
        max_clock_skew: i64,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Throw away what is kept of them; their receipts go on saying that they were refused
    #[command(group = clap::ArgGroup::new("which").required(true).multiple(false))]
    Discard {
        /// Their ids, from the list
        #[arg(group = "which")]
        ids: Vec<i64>,
        /// All of them
        #[arg(long, env = "DEAD_LETTERS_DISCARD_ALL", group = "which")]
        all: bool,
        /// Those that were set aside so long ago: seconds, or e.g. P30D
        #[arg(long, env = "DEAD_LETTERS_DISCARD_OLDER_THAN", value_name = "DURATION", group = "which", value_parser = parse_duration)]
        older_than: Option<TimeDelta>,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

pub async fn run(args: DeadLettersArgs) -> anyhow::Result<()> {
    match args.command {
        Command::List { after, limit, database } => list(&open(&database).await?, after, limit).await,
        Command::Show { id, database } => {
            let store = open(&database).await?;
            let letter = store.dead_letter(id).await?;
            let event = event(&store, letter.event_id).await?;
            print(|out| show(out, &letter, &event)).map(drop)
        }
        Command::Replay { ids, all, max_clock_skew, database } => {
            replay(&open(&database).await?, ids, all, Clock::new(TimeDelta::seconds(max_clock_skew))).await
        }
        Command::Discard { ids, all, older_than, database } => {
            let store = open(&database).await?;
            let age = if all { Some(TimeDelta::zero()) } else { older_than };
            let discarded = match age {
                Some(age) => store.discard_dead_letters_older(age).await?,
                None => store.discard_dead_letters(&ids).await?,
            };
            output::line(format_args!("{discarded} discarded"))?;
            match ids.len() - discarded.min(ids.len()) {
                0 => Ok(()),
                missing if age.is_none() => bail!("{missing} of these are no dead letters, or not any more"),
                _ => Ok(()),
            }
        }
    }
}

async fn open(database: &DatabaseArgs) -> anyhow::Result<Store> {
    let store = Store::new(database, "dead-letters")?;
    store.ready().await?;
    Ok(store)
}

/// How many are read from the database at once; without what was in the records.
const PAGE: i64 = 500;
/// How much is shown of a key or value, in bytes.
const SHOWN: usize = 4_096;

async fn list(store: &Store, mut after: i64, mut limit: i64) -> anyhow::Result<()> {
    print(|out| {
        writeln!(out, "{:>8}  {:20}  {:>9}  {:>12}  {:12}  reason", "id", "time", "partition", "offset", "event")
    })?;
    while limit > 0 {
        let letters = store.dead_letters(after, limit.min(PAGE)).await?;
        let Some(last) = letters.last() else { break };
        (after, limit) = (last.id, limit - letters.len() as i64);
        let mut events = Vec::with_capacity(letters.len());
        for letter in &letters {
            events.push(event(store, letter.event_id).await?);
        }
        if !print(|out| letters.iter().zip(&events).try_for_each(|(letter, event)| line(out, letter, event)))? {
            break;
        }
    }
    Ok(())
}

/// What an event is called: its slug, or its number when it is gone.
async fn event(store: &Store, id: Option<i32>) -> anyhow::Result<String> {
    let Some(id) = id else { return Ok("-".to_owned()) };
    match store.events().by_id(EventId::new(id)).await {
        Ok(event) => Ok(event.slug.to_string()),
        Err(Error::UnknownEvent(_)) => Ok(format!("({id})")),
        Err(error) => Err(error.into()),
    }
}

fn line(out: &mut dyn Write, letter: &DeadLetterLine, event: &str) -> std::io::Result<()> {
    let offsets = offsets(letter.first_offset, letter.last_offset);
    let reason = shown_at_most(&letter.reason, letter.reason.len());
    writeln!(
        out,
        "{:>8}  {:20}  {:>9}  {offsets:>12}  {event:12}  {reason}",
        letter.id,
        text(letter.time),
        letter.partition
    )
}

fn show(out: &mut dyn Write, letter: &DeadLetter, event: &str) -> std::io::Result<()> {
    writeln!(out, "id            {}", letter.id)?;
    writeln!(out, "topic         {}", shown_at_most(&letter.topic, SHOWN))?;
    writeln!(out, "partition     {}", letter.partition)?;
    writeln!(out, "offset        {}", offsets(letter.first_offset, letter.last_offset))?;
    writeln!(out, "event         {event}")?;
    writeln!(out, "reason        {}", shown_at_most(&letter.reason, SHOWN))?;
    writeln!(out, "set aside     {}", text(letter.time))?;
    if let Some(emptied) = letter.emptied {
        return writeln!(out, "emptied       {}", text(emptied));
    }
    writeln!(out, "written       {}", letter.record_time.map_or_else(|| "unknown".to_owned(), text))?;
    writeln!(out, "content-type  {}", bytes(letter.content_type.as_deref(), None))?;
    writeln!(out, "key           {}", bytes(letter.key.as_deref(), None))?;
    writeln!(out, "value         {}", bytes(letter.value.as_deref(), letter.value_length))
}

async fn replay(store: &Store, ids: Vec<i64>, all: bool, clock: Clock) -> anyhow::Result<()> {
    let (mut stored, mut refused) = (0, 0);
    // One after the other, so that one at a time is in memory.
    let mut one = async |id: i64| -> anyhow::Result<()> {
        let letter = match store.dead_letter(id).await {
            // Somebody else has dealt with it since it was listed.
            Err(Error::NotFound { .. }) if all => return Ok(()),
            letter => letter?,
        };
        match store.replay(id, location(&letter, clock)).await? {
            Replayed::Stored => stored += 1,
            Replayed::Refused(reason) => {
                refused += 1;
                output::line(format_args!("{id} stays: {}", shown_at_most(&reason, SHOWN)))?;
            }
            Replayed::Gone if all => {}
            Replayed::Gone => {
                refused += 1;
                output::line(format_args!("{id} cannot be: {}", shown_at_most(&letter.reason, SHOWN)))?;
            }
        }
        Ok(())
    };
    for id in ids {
        one(id).await?;
    }
    let mut next = all.then_some(0);
    while let Some(after) = next {
        let letters = store.dead_letters(after, PAGE).await?;
        next = letters.last().map(|letter| letter.id);
        for letter in letters {
            one(letter.id).await?;
        }
    }
    output::line(format_args!("{stored} stored, {refused} still cannot be"))?;
    if refused > 0 {
        bail!("{refused} dead letters are left");
    }
    Ok(())
}

/// The location in it, read again, since this program may be newer than the one that set it aside.
fn location(letter: &DeadLetter, clock: Clock) -> Result<NewLocation, String> {
    if letter.value.is_none() || letter.is_cut() {
        // Of a range, or of what was cut, there is nothing to read; the reason stays as it is.
        return Err(letter.reason.clone());
    }
    let time = letter.record_time.unwrap_or(letter.time);
    let read = clock.check_record(letter.value.as_deref(), letter.content_type.as_deref(), Some(time));
    read.map_err(|error| error.to_string())
}

fn offsets(first: i64, last: i64) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// As text where it is some, else as hexadecimal digits; the beginning of what is long, with the length of all.
fn bytes(value: Option<&[u8]>, length: Option<i64>) -> String {
    let Some(value) = value else { return "none".to_owned() };
    let shown = &value[..value.len().min(SHOWN)];
    // A letter may be cut in two.
    let valid = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&shown[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    let text = match valid {
        Some(text) if !text.chars().any(char::is_control) => shown_at_most(text, SHOWN),
        _ => shown.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let length = length.unwrap_or(value.len() as i64);
    if shown.len() as i64 == length { text } else { format!("{text}… ({length} bytes in all)") }
}
