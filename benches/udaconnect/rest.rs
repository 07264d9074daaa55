//! Single questions and single locations over REST, beside PostgreSQL's own load generator and the writer without HTTP.

use super::report::{Row, Section, count, median};
use super::setup::{ROUNDS, Role, connect, free_address, runtime, standard_event, url};
use super::{load, setup};
use anyhow::{Context, ensure};
use clap::Parser;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use udaconnect::domain::{EventId, LocationInput, NewLocation};
use udaconnect::service::record::{BatchWriter, WriterArgs};
use udaconnect::store::{DatabaseArgs, Store};

const PERSONS: u32 = 2_000;
const TIME: Duration = Duration::from_secs(4);
/// As many as the pool has.
const CONNECTIONS: usize = 16;
const POSTING: usize = 64;

pub fn run() -> anyhow::Result<Section> {
    runtime().block_on(async {
        let database = standard_event(PERSONS).await?;
        let mut rows = Vec::new();
        let (address, role, ready) = serve(&database)?;
        let locations = u64::from(PERSONS) * 3 * 540;
        rows.push(
            reads(
                "`GET /api/persons/{id}`, requests/s",
                &address,
                "/api/persons/",
                u64::from(PERSONS),
                "SELECT id, first_name, last_name, company_name FROM person WHERE id = :id;",
                &database,
            )
            .await?,
        );
        rows.push(
            reads(
                "`GET /api/locations/{id}`, requests/s",
                &address,
                "/api/locations/",
                locations,
                "SELECT id, person_id, creation_time, coordinate, accuracy_m FROM location WHERE id = :id;",
                &database,
            )
            .await?,
        );
        drop(role);
        rows.extend(writes().await?);
        rows.push(Row {
            what: "`serve-api` from start to ready".to_owned(),
            figure: format!("{:.0} ms", ready * 1e3),
            baseline: String::new(),
            ratio: String::new(),
            target: "≤ 1 s",
            met: ready <= 1.0,
        });
        Ok(Section {
            title: "Single requests over REST",
            about: format!(
                "The standard event with {PERSONS} persons ({} locations). Reads: {CONNECTIONS} HTTP connections, beside `pgbench -M \
                 prepared` with the same SELECT and {CONNECTIONS} connections. Writes: {POSTING} clients that each post one location after \
                 another, beside the same writer in one process without HTTP, to which {POSTING} tasks give one location after another, or \
                 1,000 at a time; into an empty database of {PERSONS} persons. Client, server and PostgreSQL share the processors.",
                count(locations as f64)
            ),
            rows,
        })
    })
}

/// Starts `serve-api` as often as everything is measured; the last one stays.
fn serve(database: &str) -> anyhow::Result<(String, Role, f64)> {
    let mut ready = Vec::new();
    loop {
        let address = free_address()?;
        let variables = [("DATABASE_URL", &*url(database)?), ("LISTEN_ADDR", &address)];
        let role = Role::start(&["serve-api"], &variables, &address)?;
        ready.push(role.ready_after);
        if ready.len() == ROUNDS {
            return Ok((address, role, median(ready)));
        }
    }
}

async fn reads(
    what: &str,
    address: &str,
    path: &'static str,
    ids: u64,
    sql: &str,
    database: &str,
) -> anyhow::Result<Row> {
    let script = tempfile::NamedTempFile::new()?;
    // Seldom a location is missing: ids are given out in order, but a batch that was begun anew skips some.
    let first: i64 = connect(database).await?.query_one("SELECT min(id) FROM location", &[]).await?.get(0);
    let offset = if path.contains("locations") { first as u64 } else { 1 };
    std::fs::write(&script, format!("\\set id random({offset}, {})\n{sql}\n", offset + ids - 1))?;
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        baseline.push(pgbench(script.path(), database)?);
        let done = load::run(address, CONNECTIONS, TIME, move |n| {
            // Scattered, as pgbench's are.
            load::get(&format!("{path}{}", offset + n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ids))
        })
        .await?;
        ours.push(done.per_second);
    }
    let (ours, baseline) = (median(ours), median(baseline));
    Ok(Row {
        what: what.to_owned(),
        figure: count(ours),
        baseline: count(baseline),
        ratio: format!("{:.2}", ours / baseline),
        target: "≥ 0.5",
        met: ours >= 0.5 * baseline,
    })
}

fn pgbench(script: &std::path::Path, database: &str) -> anyhow::Result<f64> {
    let program = std::env::var("PGBENCH").context("PGBENCH names no pgbench; run scripts/bench.sh")?;
    let output = Command::new(program)
        .args([
            "-n",
            "-M",
            "prepared",
            "-j",
            "2",
            "-c",
            &CONNECTIONS.to_string(),
            "-T",
            &TIME.as_secs().to_string(),
            "-f",
        ])
        .arg(script)
        .arg(url(database)?)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with("tps = ")).context("pgbench tells no tps")?;
    Ok(line.split_whitespace().nth(2).context("a number")?.parse()?)
}

async fn writes() -> anyhow::Result<Vec<Row>> {
    let (mut ours, mut single, mut many, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..ROUNDS {
        single.push(fed_directly(1).await?);
        many.push(fed_directly(1_000).await?);
        setup::empty("bench_rest").await?;
        persons("bench_rest").await?;
        let address = free_address()?;
        let role = Role::start(
            &["serve-api"],
            &[("DATABASE_URL", &*url("bench_rest")?), ("LISTEN_ADDR", &address)],
            &address,
        )?;
        let begin = Instant::now();
        let done = load::run(&address, POSTING, TIME, |n| load::post("/api/locations", &location_json(n))).await?;
        let stored = rows("bench_rest").await?;
        ensure!(stored == done.latencies.len() as f64, "{stored} rows of {} answers", done.latencies.len());
        ours.push(stored / begin.elapsed().as_secs_f64());
        memory = memory.max(role.peak_memory());
    }
    connect("postgres").await?.batch_execute("DROP DATABASE bench_rest WITH (FORCE)").await?;
    let ours = median(ours);
    let beside = |how: &str, direct: f64| Row {
        what: format!("`POST /api/locations`, {POSTING} clients, rows/s, beside the writer given {how} at a time"),
        figure: count(ours),
        baseline: count(direct),
        ratio: format!("{:.2}", ours / direct),
        target: "≥ 0.25",
        met: ours >= 0.25 * direct,
    };
    Ok(vec![
        beside("one", median(single)),
        beside("1,000", median(many)),
        Row {
            what: "`serve-api`'s most memory under that load".to_owned(),
            figure: format!("{memory:.0} MB"),
            baseline: String::new(),
            ratio: String::new(),
            target: "≤ 128 MB",
            met: memory <= 128.0,
        },
    ])
}

/// Rows a second of the writer without HTTP, given `at_once` locations at a time.
async fn fed_directly(at_once: u64) -> anyhow::Result<f64> {
    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        writer: WriterArgs,
        #[command(flatten)]
        database: DatabaseArgs,
    }
    setup::empty("bench_rest").await?;
    persons("bench_rest").await?;
    let settings = Settings::parse_from(["bench", "--ingest-queue", "1000000", "--database-url", &url("bench_rest")?]);
    let store = Store::new(&settings.database, "bench")?;
    let (writer, writers) = BatchWriter::start(&store, &settings.writer);
    let number = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..POSTING {
        let (writer, number) = (writer.clone(), number.clone());
        tasks.spawn(async move {
            while begin.elapsed() < TIME {
                let first = number.fetch_add(at_once, Ordering::Relaxed);
                writer.record(EventId::FIRST, (first..first + at_once).map(location).collect()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    drop(writer);
    writers.drained().await;
    Ok(rows("bench_rest").await? / begin.elapsed().as_secs_f64())
}

async fn persons(database: &str) -> anyhow::Result<()> {
    let sql = format!(
        "INSERT INTO person (first_name, last_name, company_name) SELECT 'A', 'B', 'C' FROM generate_series(1, {PERSONS})"
    );
    Ok(connect(database).await?.batch_execute(&sql).await?)
}

async fn rows(database: &str) -> anyhow::Result<f64> {
    Ok(connect(database).await?.query_one("SELECT count(*) FROM location", &[]).await?.get::<_, i64>(0) as f64)
}

/// The nth location: everybody in turn, a second apart.
fn fields(n: u64) -> (i64, f64, f64, i64) {
    let (person, second) = (n % u64::from(PERSONS), n / u64::from(PERSONS));
    (
        person as i64 + 1,
        35.0 + person as f64 * 1e-5,
        -106.5 + (second % 100) as f64 * 1e-5,
        1_780_000_000 + second as i64,
    )
}

fn location(n: u64) -> NewLocation {
    let (person_id, latitude, longitude, seconds) = fields(n);
    let time = chrono::DateTime::from_timestamp(seconds, 0).expect("a time");
    let input = LocationInput { person_id, latitude, longitude, creation_time: Some(time), accuracy_m: Some(5.0) };
    NewLocation::new(input, time, chrono::TimeDelta::zero()).expect("a valid location")
}

fn location_json(n: u64) -> String {
    let (person, latitude, longitude, seconds) = fields(n);
    let time = chrono::DateTime::from_timestamp(seconds, 0).expect("a time").format("%Y-%m-%dT%H:%M:%SZ");
    format!(
        r#"{{"person_id":{person},"latitude":{latitude},"longitude":{longitude},"creation_time":"{time}","accuracy_m":5}}"#
    )
}
