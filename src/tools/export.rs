//! The role that writes stored locations and meetings into files.

use super::output;
use crate::codec::files::{LocationWriter, Media, MeetingWriter};
use crate::domain::{Error, Person, PersonId, Search, TimeRange, parse_duration};
use crate::meeting::EncounterRule;
use crate::service::meetings::{self, MeetingQuery, Met, Part};
use crate::store::{DatabaseArgs, EventStore, Store};
use crate::tools::which::EventArg;
use anyhow::Context;
use chrono::TimeDelta;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Encounters that are asked for at a time.
const MOST_ENCOUNTERS: usize = 50_000;

/// Write locations, or a person's encounters, as GPX, GeoJSON or CSV
///
/// Locations of one person, of several or of all, in a range or all there are, oldest first; `import` takes what this writes,
/// into another database with --person-by key or name: names and other systems' keys are in the file beside the ids, which are
/// those of this database. In CSV a text that a spreadsheet would take for a formula has a ' in front; `import` takes it away.
/// An encounter is written where and when the two were closest, with its beginning, its end and with whom it was.
#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    /// Ids of the persons; all when absent
    #[arg(long, env = "EXPORT_PERSON", value_name = "ID,…", value_delimiter = ',', value_parser = clap::value_parser!(i64).range(1..))]
    person: Vec<i64>,
    /// Write the person's encounters instead, whomever they met longest first
    #[arg(long, env = "EXPORT_ENCOUNTERS", requires = "person")]
    encounters: bool,
    /// Metres at most between two who met; 10 when absent
    #[arg(long, env = "EXPORT_DISTANCE", value_name = "METRES", requires = "encounters")]
    distance: Option<f64>,
    /// How far two locations may be apart in time: seconds or ISO 8601 (PT5M); 5 minutes when absent
    #[arg(long, env = "EXPORT_WITHIN", value_name = "TIME", requires = "encounters", value_parser = parse_duration)]
    within: Option<TimeDelta>,
    /// The longest pause in an encounter; 10 minutes when absent
    #[arg(long, env = "EXPORT_GAP", value_name = "TIME", requires = "encounters", value_parser = parse_duration)]
    gap: Option<TimeDelta>,
    /// From this time or the beginning of this day on
    #[arg(long, env = "EXPORT_START_DATE", value_name = "DATE")]
    start_date: Option<String>,
    /// Before this time, or to the end of this day
    #[arg(long, env = "EXPORT_END_DATE", value_name = "DATE")]
    end_date: Option<String>,
    /// The time zone whose days are meant, by its IANA name; UTC when absent
    #[arg(long, env = "EXPORT_TZ", value_name = "ZONE", value_parser = zone)]
    tz: Option<chrono_tz::Tz>,
    /// What is written; by the name of the output when absent, else CSV
    #[arg(long, env = "EXPORT_FORMAT", value_name = "FORMAT")]
    format: Option<Media>,
    /// The file to write; standard output when absent. It appears when it is complete
    #[arg(long, short, env = "EXPORT_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    event: EventArg,
    #[command(flatten)]
    database: DatabaseArgs,
}

fn zone(text: &str) -> Result<chrono_tz::Tz, String> {
    crate::domain::zone("tz", text).map_err(|error| error.message)
}

/// How many locations and persons are asked for at a time.
const PAGE: usize = 10_000;
const PERSONS: usize = 1_000;

pub async fn run(args: ExportArgs) -> anyhow::Result<()> {
    // Before the database is asked: what cannot be read is told at once.
    TimeRange::parse(args.start_date.as_deref(), args.end_date.as_deref())?;
    let media = args.format.or_else(|| by_name(args.output.as_deref()?)).unwrap_or(Media::Csv);
    let store = Store::new(&args.database, "export")?;
    store.ready().await?;
    let event = args.event.find(&store).await?;
    let zone = args.tz.unwrap_or(chrono_tz::UTC);
    let range = TimeRange::parse_in(args.start_date.as_deref(), args.end_date.as_deref(), zone)?;
    let query = if args.encounters { Some(meeting_query(&args, range)?) } else { None };
    let store = store.event(event.id);
    let mut output = Output::open(args.output)?;
    let (count, what) = match query {
        Some(query) => (encounters(store, query, media, &mut output.writer).await?, "encounters"),
        None => (locations(store, &args.person, range, media, &mut output.writer).await?, "locations"),
    };
    if let Some(path) = output.finish()? {
        output::line(format_args!("{count} {what} in {}", path.display()))?;
    }
    Ok(())
}

fn meeting_query(args: &ExportArgs, range: TimeRange) -> anyhow::Result<MeetingQuery> {
    let [person] = args.person.as_slice() else {
        anyhow::bail!("--encounters are those of one person; give one --person")
    };
    let person = PersonId::new(*person, "person").map_err(Error::from)?;
    Ok(MeetingQuery { person, range, rule: EncounterRule::new(args.distance, args.within, args.gap)? })
}

/// Tells how many there were.
async fn encounters(
    store: EventStore<'_>,
    query: MeetingQuery,
    media: Media,
    out: &mut (impl Write + Send),
) -> anyhow::Result<u64> {
    let mut writer = MeetingWriter::encounters(media);
    writer.begin(out)?;
    let mut count = 0;
    let mut part =
        Part { min_duration: TimeDelta::zero(), after: None, limit: PERSONS, encounters: Some(MOST_ENCOUNTERS) };
    loop {
        let page = meetings::connections(store, query, part).await?;
        for Met { person, encounters, .. } in page.items {
            for encounter in encounters.unwrap_or_default() {
                writer.encounter(out, &encounter, &person)?;
                count += 1;
            }
        }
        part.after = page.next;
        if part.after.is_none() {
            break;
        }
    }
    writer.end(out)?;
    Ok(count)
}

fn by_name(path: &Path) -> Option<Media> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "json" => Some(Media::GeoJson),
        other => [Media::Csv, Media::GeoJson, Media::Gpx].into_iter().find(|media| media.extension() == other),
    }
}

/// Where it is written: a file gets its name only when it is complete, so that half of one is taken for none.
struct Output {
    writer: Box<dyn Write + Send>,
    names: Option<(PathBuf, PathBuf)>,
}

impl Output {
    fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { writer: Box::new(BufWriter::new(std::io::stdout())), names: None });
        };
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("{} cannot be written", part.display()))?;
        Ok(Self { writer: Box::new(BufWriter::new(file)), names: Some((part, path)) })
    }

    /// The file's name, if it is one.
    fn finish(mut self) -> anyhow::Result<Option<PathBuf>> {
        self.writer.flush()?;
        let Some((part, path)) = self.names else { return Ok(None) };
        std::fs::rename(&part, &path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Some(path))
    }
}

/// Tells how many there were.
async fn locations(
    store: EventStore<'_>,
    ids: &[i64],
    range: TimeRange,
    media: Media,
    out: &mut (impl Write + Send),
) -> anyhow::Result<u64> {
    let mut writer = LocationWriter::new(media);
    writer.begin(out)?;
    let mut count = 0;
    if ids.is_empty() {
        let mut after = None;
        loop {
            let page = store.persons(&Search::default(), after, PERSONS).await?;
            for person in &page.items {
                count += of_person(store, person, range, &mut writer, out).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    } else {
        for id in ids {
            let person = store.person(PersonId::new(*id, "person").map_err(Error::from)?).await?;
            count += of_person(store, &person, range, &mut writer, out).await?;
        }
    }
    writer.end(out)?;
    Ok(count)
}

async fn of_person(
    store: EventStore<'_>,
    person: &Person,
    range: TimeRange,
    writer: &mut LocationWriter,
    out: &mut (impl Write + Send),
) -> anyhow::Result<u64> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = match store.locations(person.id, range, after, PAGE).await {
            // Deleted between two queries: nobody's locations are none.
            Err(Error::NotFound { .. }) => return Ok(count),
            page => page?,
        };
        // A track without points would be one more name in the list of whoever opens the file.
        if count == 0 && !page.items.is_empty() {
            let key = store.described(&[person.id.get()]).await?.remove(&person.id.get()).and_then(|(_, key)| key);
            writer.person(out, person, key.as_deref())?;
        }
        for location in &page.items {
            writer.location(out, location)?;
        }
        count += page.items.len() as u64;
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}
