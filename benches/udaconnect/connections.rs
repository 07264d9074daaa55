//! Whom did I meet: questions over HTTP, beside the proof of concept's algorithm and the best single SQL with GiST.

use super::load::{self, Connection};
use super::report::{Row, Section, count, median};
use super::setup::{ROUNDS, Role, connect, free_address, runtime, standard_event, udaconnect, url};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// Small enough for the proof of concept's algorithm, and the standard event.
const PERSONS: [u32; 2] = [200, 2_000];
/// The standard event again, ten times as long: as large a table as 20,000 persons make, and the same answers.
const LONG_DAYS: u32 = 30;
const DAY: &str = "start_date=2026-06-01&end_date=2026-06-01";
const ASKERS: usize = 16;
/// How long they ask.
const ASKING: Duration = Duration::from_secs(20);
/// As many of a person's own locations, evenly spread, are asked about in the proof of concept's way.
const OWN_ASKED: usize = 20;

/// Contacts of one person's day with each other person: less than an answer, which needs the encounters, too.
fn single_sql(table: &str, distance: u32) -> String {
    format!(
        "SELECT q.person_id, count(*), min(p.creation_time), max(q.creation_time), min(ST_Distance(p.coordinate, q.coordinate))
         FROM (SELECT * FROM location WHERE person_id = $1 AND creation_time >= '2026-06-01' AND creation_time < '2026-06-02') p
         JOIN {table} q ON q.person_id <> $1 AND ST_DWithin(q.coordinate, p.coordinate, {distance})
          AND q.creation_time BETWEEN p.creation_time - interval '5 min' AND p.creation_time + interval '5 min'
          AND q.creation_time >= '2026-06-01' AND q.creation_time < '2026-06-02'
         GROUP BY q.person_id"
    )
}

pub fn run() -> anyhow::Result<Section> {
    runtime().block_on(async {
        let mut rows = Vec::new();
        let mut standard = f64::NAN;
        for persons in PERSONS {
            let database = standard_event(persons).await?;
            let client = connect(&database).await?;
            baselines(&client).await?;
            let server = Server::start(&database)?;
            let size = size(&client).await?;
            if persons == PERSONS[0] {
                rows.extend(against_loop(&server, &client, &size).await?);
            }
            for distance in [5, 10] {
                let (gist, ours) = against_sql(&server, &client, "by_place_time", distance).await?;
                rows.push(row(&format!("D = {distance} m, {size}, GiST(place, time)"), ours, gist, "≥ 4", 4.0));
                if persons == PERSONS[1] && distance == 5 {
                    standard = ours;
                }
            }
            let (gist, ours) = against_sql(&server, &client, "by_place", 5).await?;
            rows.push(row(&format!("D = 5 m, {size}, GiST(place)"), ours, gist, "≥ 4", 4.0));
            if persons == PERSONS[1] {
                rows.extend(under_load(&server).await?);
                rows.extend(broad(&server).await?);
            }
        }
        if std::env::var_os("UDACONNECT_BENCH_LARGE").is_some() {
            rows.push(ten_times(standard).await?);
        }
        Ok(Section {
            title: "Whom did I meet",
            about: format!(
                "`/connections` of one person's day (540 own locations), W = 5 min, over HTTP, persons in turn; beside one SQL statement that \
                 finds the contacts by person (not yet the encounters) with a GiST index on place and time or on place alone, and beside the \
                 proof of concept's algorithm, one query for each own location on a table without a usable index ({OWN_ASKED} of the 540, \
                 times 27); it has no time window, so `/connection`, which answers the same, stands beside it, too. {ASKERS} askers ask again a second after each answer while \
                 2,000 locations a second come in, or at once. Client, server and PostgreSQL share the processors. \
                 `UDACONNECT_BENCH_LARGE=1` adds the row with {LONG_DAYS} days (32.4 million locations, some 10 GB)."
            ),
            rows,
        })
    })
}

struct Server {
    address: String,
    role: Role,
}

impl Server {
    fn start(database: &str) -> anyhow::Result<Self> {
        let address = free_address()?;
        let variables = [("DATABASE_URL", &*url(database)?), ("LISTEN_ADDR", &address)];
        let role = Role::start(&["serve-api"], &variables, &address)?;
        Ok(Self { address, role })
    }

    /// Seconds for an answer, the median of as many rounds; the first, which warms up, not counted.
    async fn ask(&self, rounds: usize, path: impl Fn(usize) -> String) -> anyhow::Result<f64> {
        let mut connection = Connection::open(&self.address).await?;
        connection.ask(&load::get(&path(0))).await?;
        let mut times = Vec::new();
        for round in 0..rounds {
            let begin = Instant::now();
            connection.ask(&load::get(&path(round))).await?;
            times.push(begin.elapsed().as_secs_f64());
        }
        Ok(median(times))
    }
}

fn connections(person: usize, distance: u32) -> String {
    format!("/api/persons/{person}/connections?{DAY}&distance={distance}")
}

/// Copies of the rows, each with one index of its own, so that no plan can take another; kept with the database.
async fn baselines(client: &Client) -> anyhow::Result<()> {
    for (table, index) in
        [("by_place", "coordinate"), ("by_place_time", "coordinate, creation_time"), ("by_nothing", "")]
    {
        if client.query_one("SELECT to_regclass($1) IS NULL", &[&format!("bench.{table}")]).await?.get(0) {
            eprintln!("making the baseline's table {table}");
            client
                .batch_execute(&format!(
                    "CREATE EXTENSION IF NOT EXISTS btree_gist; CREATE SCHEMA IF NOT EXISTS bench; BEGIN;
                     CREATE TABLE bench.{table} AS SELECT id, person_id, creation_time, coordinate FROM location ORDER BY id"
                ))
                .await?;
            if !index.is_empty() {
                client.batch_execute(&format!("CREATE INDEX ON bench.{table} USING gist ({index})")).await?;
            }
            client.batch_execute("COMMIT").await?;
            // By itself: statements that are sent together are one transaction, in which it may not run.
            client.batch_execute(&format!("VACUUM (ANALYZE) bench.{table}")).await?;
        }
    }
    Ok(client.batch_execute("SET jit = off").await?)
}

async fn size(client: &Client) -> anyhow::Result<String> {
    let rows: i64 = client
        .query_one(
            "SELECT count(*) FROM location WHERE creation_time >= '2026-06-01' AND creation_time < '2026-07-01'",
            &[],
        )
        .await?
        .get(0);
    Ok(format!("{} locations", count(rows as f64)))
}

/// Seconds of the single SQL and of ours, in turn.
async fn against_sql(server: &Server, client: &Client, table: &str, distance: u32) -> anyhow::Result<(f64, f64)> {
    let statement = client.prepare(&single_sql(&format!("bench.{table}"), distance)).await?;
    client.query(&statement, &[&1_i64]).await?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let person = 1 + round * 7;
        let begin = Instant::now();
        client.query(&statement, &[&(person as i64)]).await?;
        theirs.push(begin.elapsed().as_secs_f64());
        ours.push(server.ask(3, |_| connections(person, distance)).await?);
    }
    Ok((median(theirs), median(ours)))
}

/// The proof of concept's way: for each own location, whoever is near in all of the range.
async fn against_loop(server: &Server, client: &Client, size: &str) -> anyhow::Result<Vec<Row>> {
    let own = client
        .query(
            "SELECT ST_X(coordinate::geometry), ST_Y(coordinate::geometry) FROM location
             WHERE person_id = 1 AND creation_time >= '2026-06-01' AND creation_time < '2026-06-02' ORDER BY creation_time",
            &[],
        )
        .await?;
    let one = client
        .prepare(
            "SELECT person_id, id, ST_X(coordinate::geometry), ST_Y(coordinate::geometry), creation_time FROM bench.by_nothing
             WHERE ST_DWithin(coordinate, ST_SetSRID(ST_MakePoint($1, $2), 4326)::geography, 5) AND person_id <> 1
             AND creation_time >= '2026-06-01' AND creation_time < '2026-06-02'",
        )
        .await?;
    let (mut theirs, mut ours, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let step = own.len() / OWN_ASKED;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for row in own.iter().step_by(step) {
            client.query(&one, &[&row.get::<_, f64>(0), &row.get::<_, f64>(1)]).await?;
        }
        theirs.push(begin.elapsed().as_secs_f64() * step as f64);
        ours.push(server.ask(3, |_| connections(1, 5)).await?);
        whole.push(server.ask(3, |_| format!("/api/persons/1/connection?{DAY}&distance=5")).await?);
    }
    let theirs = median(theirs);
    let old = row(
        &format!("`/connection` itself, every location of others, {size}, proof of concept"),
        median(whole),
        theirs,
        "",
        0.0,
    );
    Ok(vec![row(&format!("D = 5 m, {size}, proof of concept"), median(ours), theirs, "≥ 1,000", 1_000.0), old])
}

fn row(what: &str, ours: f64, baseline: f64, target: &'static str, least: f64) -> Row {
    Row {
        what: what.to_owned(),
        figure: milliseconds(ours),
        baseline: milliseconds(baseline),
        ratio: format!("{} ×", count_or_tenths(baseline / ours)),
        target,
        met: baseline / ours >= least,
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{} ms", count_or_tenths(seconds * 1e3))
}

fn count_or_tenths(number: f64) -> String {
    if number < 100.0 { format!("{number:.1}") } else { count(number) }
}

/// The 99th percentile with many askers and writers, beside one asker alone.
async fn under_load(server: &Server) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let paced = ("a second after each answer", Duration::from_secs(1));
    for (distance, (how, pause)) in [(5, paced), (10, paced), (10, ("at once", Duration::ZERO))] {
        let idle = server.ask(31, |round| connections(1 + round * 13, distance)).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write(server.address.clone(), stop.clone()));
        let latencies = askers(&server.address, distance, pause).await;
        stop.store(true, Ordering::Relaxed);
        let written = writer.await??;
        let latencies = latencies?;
        let p99 = latencies[(latencies.len() * 99).div_ceil(100) - 1];
        rows.push(Row {
            what: format!(
                "D = {distance} m, {ASKERS} askers, again {how}, {:.0} answers/s, {} locations/s written: p99",
                latencies.len() as f64 / ASKING.as_secs_f64(),
                count(written)
            ),
            figure: milliseconds(p99),
            baseline: format!("{} alone, median", milliseconds(idle)),
            ratio: format!("{:.1}", p99 / idle),
            target: "≤ 3",
            met: p99 <= 3.0 * idle,
        });
    }
    Ok(rows)
}

async fn askers(address: &str, distance: u32, pause: Duration) -> anyhow::Result<Vec<f64>> {
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for asker in 0..ASKERS {
        let address = address.to_owned();
        tasks.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut latencies = Vec::new();
            // Not all at one moment.
            tokio::time::sleep(pause * asker as u32 / ASKERS as u32).await;
            for turn in 0.. {
                let asked = Instant::now();
                connection.ask(&load::get(&connections(1 + asker * 100 + turn % 100, distance))).await?;
                latencies.push(asked.elapsed().as_secs_f64());
                tokio::time::sleep(pause).await;
                if begin.elapsed() > ASKING {
                    break;
                }
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

/// Writes 2,000 locations a second until told to stop; returns how many a second it were. They are of the year before, so
/// that the event stays what it was.
async fn write(address: String, stop: Arc<AtomicBool>) -> anyhow::Result<f64> {
    const BATCH: usize = 200;
    let mut connection = Connection::open(&address).await?;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let (begin, mut sent) = (Instant::now(), 0);
    let base = chrono::Utc::now().timestamp_micros() - 400 * 86_400_000_000;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let items: Vec<String> = (sent..sent + BATCH)
            .map(|n| {
                let time = chrono::DateTime::from_timestamp_micros(base + n as i64 * 500).unwrap_or_default();
                format!(
                    r#"{{"person_id":{},"latitude":{},"longitude":-106.647,"creation_time":"{}"}}"#,
                    1 + n % 2_000,
                    35.0872 + (n % 150) as f64 * 9e-6,
                    time.to_rfc3339()
                )
            })
            .collect();
        connection.ask(&load::post("/api/locations/batch", &format!("[{}]", items.join(",")))).await?;
        sent += BATCH;
    }
    Ok(sent as f64 / begin.elapsed().as_secs_f64())
}

/// The broadest questions there are: they end, and in little memory.
async fn broad(server: &Server) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, path) in [
        ("D = 1,000 m, W = 24 h, one day", format!("/api/persons/1/connections?{DAY}&distance=1000&within=PT24H")),
        ("`/connection`, D = 5 m, all of it", format!("/api/persons/1/connection?{DAY}&distance=5")),
    ] {
        let seconds = server.ask(1, |_| path.clone()).await?;
        rows.push(Row {
            what: what.to_owned(),
            figure: milliseconds(seconds),
            baseline: String::new(),
            ratio: String::new(),
            target: "≤ 20 s",
            met: seconds <= 20.0,
        });
    }
    let memory = server.role.peak_memory();
    rows.push(Row {
        what: "`serve-api`'s most memory under all of this".to_owned(),
        figure: format!("{memory:.0} MB"),
        baseline: String::new(),
        ratio: String::new(),
        target: "≤ 256 MB",
        met: memory <= 256.0,
    });
    Ok(rows)
}

/// The same question on ten times the table.
async fn ten_times(standard: f64) -> anyhow::Result<Row> {
    let database = "event_long";
    let there = connect("postgres")
        .await?
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&database])
        .await?
        .is_some();
    if !there {
        super::setup::empty(database).await?;
    }
    // Loads what is missing.
    eprintln!("loading {LONG_DAYS} days");
    udaconnect(&["seed", "--persons", &PERSONS[1].to_string(), "--days", &LONG_DAYS.to_string()], database)?;
    let server = Server::start(database)?;
    let size = size(&connect(database).await?).await?;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        times.push(server.ask(3, |_| connections(1 + round * 7, 5)).await?);
    }
    let ours = median(times);
    Ok(Row {
        what: format!("D = 5 m, {size}, beside the standard event"),
        figure: milliseconds(ours),
        baseline: milliseconds(standard),
        ratio: format!("{:.2}", ours / standard),
        target: "≤ 1.5",
        met: ours <= 1.5 * standard,
    })
}
