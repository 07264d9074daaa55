//! The role that imports files with locations.

mod files;
mod load;
mod persons;
mod summary;
mod zip;

use super::output;
use crate::codec::files::{Columns, Format, Options, PersonBy, Timezone, Twice};
use crate::runtime::Incomplete;
use crate::service::Service;
use crate::service::record::IngestArgs;
use crate::store::{DatabaseArgs, Store};
use crate::tools::which::EventArg;
use anyhow::{Context, bail};
use std::path::PathBuf;
use summary::Way;

/// Bring in locations from files: GPX, TCX, KML, FIT, NMEA, GeoJSON, CSV, OwnTracks, Google Timeline
///
/// What a file is, is found out from its content, also when it is packed with gzip or zstd, or in a ZIP archive. What is stored already is
/// stored once: after an interruption, or with a corrected file, simply run it again. With KAFKA_BOOTSTRAP locations go
/// through Kafka, else straight to the database.
///
/// Whose a location is: --person if given; else what --person-column names; else what the record says. --person-by says what
/// that text is. Files of `export` hold person_id, external_key and names, of which the part counts that --person-by asks for;
/// without it that is person_id, and key and names must be those of whoever has the id here, so that nothing is stored under
/// a stranger who has the id in this database. A name that several have is refused with their ids and keys.
///
/// Exit status 0: everything is stored;
/// 3: all that is good is stored, something was refused; 1: it failed or was stopped.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// Files, directories with files, or - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What the files are, if their content should not decide
    #[arg(long, env = "IMPORT_FORMAT", value_name = "FORMAT")]
    format: Option<Format>,
    /// Whose all the locations are
    #[arg(long, env = "IMPORT_PERSON", value_name = "WHO")]
    person: Option<String>,
    /// The CSV column, GeoJSON property or element of a GPX track that says whose a location is
    #[arg(long, env = "IMPORT_PERSON_COLUMN", value_name = "NAME")]
    person_column: Option<String>,
    /// What --person and the person column hold; id when absent, and then only if what else the record says of the person agrees
    #[arg(long, env = "IMPORT_PERSON_BY", value_name = "KIND")]
    person_by: Option<PersonBy>,
    /// The company of persons that are created
    #[arg(long, env = "IMPORT_COMPANY", value_name = "NAME", default_value = "imported")]
    company: String,
    /// The CSV column with the latitude
    #[arg(long, env = "IMPORT_LATITUDE_COLUMN", value_name = "NAME")]
    latitude_column: Option<String>,
    /// The CSV column with the longitude
    #[arg(long, env = "IMPORT_LONGITUDE_COLUMN", value_name = "NAME")]
    longitude_column: Option<String>,
    /// The CSV column or GeoJSON property with the time
    #[arg(long, env = "IMPORT_TIME_COLUMN", value_name = "NAME")]
    time_column: Option<String>,
    /// The CSV column or GeoJSON property with the accuracy in metres
    #[arg(long, env = "IMPORT_ACCURACY_COLUMN", value_name = "NAME")]
    accuracy_column: Option<String>,
    /// The names of CSV's columns, in order, where it has no header: person_id,time,longitude,latitude
    #[arg(long, env = "IMPORT_COLUMNS", value_name = "NAMES", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// What stands between the columns of CSV, if it cannot be found out
    #[arg(long, env = "IMPORT_DELIMITER", value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The zone of times that name none, e.g. Europe/Berlin
    #[arg(long, env = "IMPORT_TIMEZONE", value_name = "ZONE", default_value = "UTC", value_parser = timezone)]
    timezone: chrono_tz::Tz,
    /// How times are written, as for strftime, where it cannot be known: '%d/%m/%Y %H:%M:%S'
    #[arg(long, env = "IMPORT_TIME_FORMAT", value_name = "FORMAT", value_parser = time_format)]
    time_format: Option<String>,
    /// Take points of routes, too, which are plans
    #[arg(long, env = "IMPORT_ROUTES")]
    routes: bool,
    /// Take waypoints, too, which are places
    #[arg(long, env = "IMPORT_WAYPOINTS")]
    waypoints: bool,
    /// Which time is meant of two that a clock in --timezone showed, as it does when it is set back; without this they are refused
    #[arg(long, env = "IMPORT_AMBIGUOUS_TIME", value_name = "WHICH")]
    ambiguous_time: Option<Twice>,
    /// Go on after what is bad, and report it at the end (as without this option)
    #[arg(long, env = "IMPORT_SKIP_BAD", conflicts_with = "stop_at_bad")]
    skip_bad: bool,
    /// Stop at the first thing that is bad
    #[arg(long, env = "IMPORT_STOP_AT_BAD")]
    stop_at_bad: bool,
    /// Read and check everything, store nothing
    #[arg(long, env = "IMPORT_DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    event: EventArg,
    #[command(flatten)]
    ingest: IngestArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" | b"tab" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
        _ => Err("must be one character, such as ; or tab".to_owned()),
    }
}

fn timezone(text: &str) -> Result<chrono_tz::Tz, String> {
    text.parse().map_err(|_| "must be the name of a time zone, such as Europe/Berlin or UTC".to_owned())
}

fn time_format(text: &str) -> Result<String, String> {
    use chrono::format::{Item, StrftimeItems};
    let wrong = || "must be written as for strftime, such as '%d/%m/%Y %H:%M:%S'".to_owned();
    let items: Vec<Item<'_>> = StrftimeItems::new(text).collect();
    let has_fields = items.iter().any(|item| matches!(item, Item::Numeric(..) | Item::Fixed(_)));
    if items.contains(&Item::Error) || !has_fields { Err(wrong()) } else { Ok(text.to_owned()) }
}

pub async fn run(args: ImportArgs) -> anyhow::Result<()> {
    let (files, left_out) = files::find(&args.files)?;
    let person = match &args.person {
        Some(text) => {
            Some(args.person_by.unwrap_or_default().who(text).map_err(anyhow::Error::msg).context("--person")?)
        }
        None => None,
    };
    // The names of persons to be are checked before anything is done.
    crate::domain::NewPerson::new("-", "-", &args.company).context("--company")?;
    let options = Options {
        format: args.format,
        person,
        otherwise: None,
        person_by: args.person_by,
        columns: Columns {
            latitude: args.latitude_column,
            longitude: args.longitude_column,
            time: args.time_column,
            accuracy: args.accuracy_column,
            person: args.person_column,
            delimiter: args.delimiter,
            names: args.columns,
        },
        timezone: Some(Timezone { zone: args.timezone, twice: args.ambiguous_time }),
        time_format: args.time_format,
        routes: args.routes,
        waypoints: args.waypoints,
    };
    let store = Store::new(&args.database, "import")?;
    store.ready().await?;
    let event = args.event.find(&store).await?;
    let persons = persons::Persons::new(store.clone(), event.id, args.company, args.dry_run);
    let rules =
        load::Rules { options, stop_at_bad: args.stop_at_bad, clock: args.ingest.clock.clock(), event: event.clone() };
    let mut summary = if args.dry_run {
        load::run(load::Target::Nowhere, files, persons, rules).await?
    } else {
        let (service, drain) = Service::new(store, &args.ingest, args.event.slug)?;
        let way = if service.has_queue() { Way::Kafka } else { Way::Store };
        let target = load::Target::Event(service.at(event), way);
        drop(service);
        let summary = load::run(target, files, persons, rules).await?;
        drain.drained().await;
        summary
    };
    summary.left_out.splice(0..0, left_out);
    output::line(format_args!("{summary}"))?;
    if summary.stopped {
        bail!("stopped at the first thing that is bad; what came before it is stored");
    }
    if summary.incomplete() {
        let text = "not everything was good (see above); correct it and run this again: nothing is stored twice";
        return Err(Incomplete(text.to_owned()).into());
    }
    Ok(())
}
