//! The role that shows what could not be stored, and tries again.

use crate::store::{DatabaseArgs, DeadLetter, Replayed, Store};
use crate::wire;
use anyhow::bail;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::io::Write;

/// List, show and replay what came through Kafka and could not be stored
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
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
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::List { after, limit, database } => list(&open(&database).await?, after, limit).await,
        Command::Show { id, database } => {
            let letter = open(&database).await?.dead_letter(id).await?;
            print(|out| show(out, &letter))
        }
        Command::Replay { ids, all, database } => replay(&open(&database).await?, ids, all).await,
    }
}

async fn open(database: &DatabaseArgs) -> anyhow::Result<Store> {
    let store = Store::new(database, "dead-letters")?;
    store.ready().await?;
    Ok(store)
}

/// How many are read from the database at once.
const PAGE: i64 = 500;

async fn list(store: &Store, mut after: i64, mut limit: i64) -> anyhow::Result<()> {
    print(|out| writeln!(out, "{:>8}  {:20}  {:>9}  {:>12}  reason", "id", "time", "partition", "offset"))?;
    while limit > 0 {
        let letters = store.dead_letters(after, limit.min(PAGE)).await?;
        let Some(last) = letters.last() else { break };
        (after, limit) = (last.id, limit - letters.len() as i64);
        print(|out| {
            letters.iter().try_for_each(|letter| {
                let time = text(letter.time);
                writeln!(
                    out,
                    "{:>8}  {time:20}  {:>9}  {:>12}  {}",
                    letter.id,
                    letter.partition,
                    offsets(letter),
                    letter.reason
                )
            })
        })?;
    }
    Ok(())
}

fn show(out: &mut dyn Write, letter: &DeadLetter) -> std::io::Result<()> {
    writeln!(out, "id            {}", letter.id)?;
    writeln!(out, "topic         {}", letter.topic)?;
    writeln!(out, "partition     {}", letter.partition)?;
    writeln!(out, "offset        {}", offsets(letter))?;
    writeln!(out, "reason        {}", letter.reason)?;
    writeln!(out, "set aside     {}", text(letter.time))?;
    writeln!(out, "written       {}", letter.record_time.map_or_else(|| "unknown".to_owned(), text))?;
    writeln!(out, "content-type  {}", bytes(letter.content_type.as_deref()))?;
    writeln!(out, "key           {}", bytes(letter.key.as_deref()))?;
    writeln!(out, "value         {}", bytes(letter.value.as_deref()))
}

async fn replay(store: &Store, ids: Vec<i64>, all: bool) -> anyhow::Result<()> {
    let (mut stored, mut refused) = (0, 0);
    let mut one = async |letter: DeadLetter| -> anyhow::Result<()> {
        match store.replay(letter.id, location(&letter)).await? {
            Replayed::Stored => stored += 1,
            Replayed::Refused(reason) => {
                refused += 1;
                print(|out| writeln!(out, "{} stays: {reason}", letter.id))?;
            }
        }
        Ok(())
    };
    for id in ids {
        one(store.dead_letter(id).await?).await?;
    }
    let mut next = all.then_some(0);
    while let Some(after) = next {
        let letters = store.dead_letters(after, PAGE).await?;
        next = letters.last().map(|letter| letter.id);
        for letter in letters {
            one(letter).await?;
        }
    }
    print(|out| writeln!(out, "{stored} stored, {refused} still cannot be"))?;
    if refused > 0 {
        bail!("{refused} dead letters are left");
    }
    Ok(())
}

/// The location in it, read again, since this program may be newer than the one that set it aside.
fn location(letter: &DeadLetter) -> Result<crate::domain::NewLocation, String> {
    if letter.value.is_none() {
        // Of a range there is nothing to read; the reason stays as it is.
        return Err(letter.reason.clone());
    }
    let time = letter.record_time.unwrap_or(letter.time);
    wire::decode(letter.value.as_deref(), letter.content_type.as_deref(), Some(time), Utc::now(), TimeDelta::minutes(5))
        .map_err(|error| error.to_string())
}

fn offsets(letter: &DeadLetter) -> String {
    if letter.first_offset == letter.last_offset {
        letter.first_offset.to_string()
    } else {
        format!("{}-{}", letter.first_offset, letter.last_offset)
    }
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// As text where it is some, else as hexadecimal digits.
fn bytes(value: Option<&[u8]>) -> String {
    match value.map(std::str::from_utf8) {
        None => "none".to_owned(),
        Some(Ok(text)) if !text.chars().any(char::is_control) => text.to_owned(),
        Some(_) => value.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
fn print(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> anyhow::Result<()> {
    match write(&mut std::io::stdout().lock()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}
