//! The way through Kafka: draining a topic beside one COPY, one phone's stream beside the broker's own load generator, the time
//! from a phone to the database, and memory with a backlog.

use super::report::{Row, Section, count, median};
use super::seed::{COLUMNS, copy_in, copy_out};
use super::setup::{ROUNDS, Role, connect, empty, free_address, runtime, standard_event, url};
use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use futures_util::StreamExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use udaconnect::codec::Origin;
use udaconnect::codec::proto;
use udaconnect::codec::proto::location_service_client::LocationServiceClient;
use udaconnect::codec::to_timestamp;
use udaconnect::domain::{LocationInput, NewLocation};
use udaconnect::stream::{KafkaArgs, Producer, ProducerArgs};

/// 810,000 locations.
const PERSONS: u32 = 500;
const PARTITIONS: &str = "4";
/// What waits in the topic when memory is looked at.
const BACKLOG: i64 = 5_000_000;
/// Locations of one phone's stream, in messages of so many.
const STREAMED: i64 = 1_000_000;
const MESSAGE: i64 = 100;

pub fn run() -> anyhow::Result<Section> {
    runtime().block_on(async {
        let mut rows = vec![drain().await?];
        rows.extend(stream().await?);
        rows.push(latency().await?);
        rows.push(backlog().await?);
        Ok(Section {
            title: "Through Kafka",
            about: format!(
                "One Apache Kafka and one PostgreSQL on the same machine, {PARTITIONS} partitions. Draining: one `consume` stores the {} \
                 locations of the standard event with {PERSONS} persons that wait in the topic, in the order of their time; baseline: \
                 one `COPY` (binary, over the network) of the same rows in the same order into the same partitioned and indexed table. \
                 Streaming: one phone sends {} locations on one stream, {MESSAGE} a message, to the last acknowledgement; baseline: \
                 Kafka's own `ProducerPerformance` with records of the same size, `acks=all` and the same compression. Latency: from \
                 a phone's send to the row's being visible, at 5,000 locations/s. Memory: the peak of a `consume` that works on a \
                 backlog of {} records.",
                count(f64::from(PERSONS) * 3.0 * 540.0),
                count(STREAMED as f64),
                count(BACKLOG as f64),
            ),
            rows,
        })
    })
}

fn bootstrap() -> anyhow::Result<String> {
    std::env::var("UDACONNECT_BENCH_KAFKA")
        .context("UDACONNECT_BENCH_KAFKA names no Kafka; run `make bench` or scripts/bench.sh")
}

/// A topic of this name and this run.
fn topic(name: &str) -> String {
    format!("bench-{name}-{}", std::process::id())
}

fn variables<'a>(database: &'a str, bootstrap: &'a str, topic: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("DATABASE_URL", database),
        ("KAFKA_BOOTSTRAP", bootstrap),
        ("KAFKA_TOPIC", topic),
        ("KAFKA_PARTITIONS", PARTITIONS),
    ]
}

fn start(role: &str, database: &str, topic: &str) -> anyhow::Result<(Role, String)> {
    let (database, bootstrap, address) = (url(database)?, bootstrap()?, free_address()?);
    let mut all = variables(&database, &bootstrap, topic);
    all.push(("LISTEN_ADDR", &address));
    Ok((Role::start(&[role], &all, &address)?, address))
}

#[derive(Parser)]
struct Kafka {
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    producer: ProducerArgs,
}

/// Writes locations to a topic, as serve-grpc does.
async fn fill(topic: &str, locations: impl Iterator<Item = NewLocation>) -> anyhow::Result<()> {
    let bootstrap = bootstrap()?;
    let arguments =
        ["bench", "--kafka-bootstrap", &bootstrap, "--kafka-topic", topic, "--kafka-partitions", PARTITIONS];
    let args = Kafka::parse_from(arguments);
    let producer = Producer::start(&args.kafka, &args.producer)?;
    let mut locations = locations.peekable();
    let mut deliveries = std::collections::VecDeque::new();
    while locations.peek().is_some() {
        let batch: Vec<NewLocation> = locations.by_ref().take(5_000).collect();
        deliveries.push_back(producer.send(&Origin::default(), batch).await?);
        if deliveries.len() > 30
            && let Some(first) = deliveries.pop_front()
        {
            first.offsets().await?;
        }
    }
    for delivery in deliveries {
        delivery.offsets().await?;
    }
    producer.finish(Duration::from_secs(60)).await;
    Ok(())
}

fn location(person_id: i64, latitude: f64, longitude: f64, time: DateTime<Utc>) -> NewLocation {
    let input = LocationInput { person_id, latitude, longitude, creation_time: Some(time), accuracy_m: Some(4.5) };
    NewLocation::new(input, Utc::now(), TimeDelta::days(3_650)).expect("it is valid")
}

/// The locations of the standard event in the order of their time.
async fn event(source: &str) -> anyhow::Result<Vec<NewLocation>> {
    let client = connect(source).await?;
    let sql = "SELECT person_id, ST_Y(coordinate::geometry), ST_X(coordinate::geometry), creation_time, accuracy_m FROM location \
         ORDER BY creation_time, id";
    let mut rows = Box::pin(client.query_raw(sql, Vec::<i32>::new()).await?);
    let mut locations = Vec::new();
    while let Some(row) = rows.next().await {
        let row = row?;
        let input = LocationInput {
            person_id: row.get(0),
            latitude: row.get(1),
            longitude: row.get(2),
            creation_time: Some(row.get(3)),
            accuracy_m: row.get(4),
        };
        locations.push(NewLocation::new(input, Utc::now(), TimeDelta::days(3_650))?);
    }
    Ok(locations)
}

async fn drain() -> anyhow::Result<Row> {
    let source = standard_event(PERSONS).await?;
    let locations = event(&source).await?;
    let rows = locations.len() as f64;
    let topic = topic("drain");
    fill(&topic, locations.into_iter()).await?;
    let (persons, file) = (tempfile::tempfile()?, tempfile::tempfile()?);
    copy_out(&source, "SELECT id, first_name, last_name, company_name, external_key FROM person", &persons).await?;
    copy_out(&source, &format!("SELECT {COLUMNS} FROM location ORDER BY creation_time, id"), &file).await?;
    let people = "person (id, first_name, last_name, company_name, external_key)";
    let (mut ours, mut copy) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        empty("bench_copy").await?;
        let client = connect("bench_copy").await?;
        client.batch_execute("SELECT location_make_partition('2026-06-01'); CHECKPOINT").await?;
        copy_in("bench_copy", people, &persons).await?;
        let begin = Instant::now();
        copy_in("bench_copy", &format!("location ({COLUMNS})"), &file).await?;
        copy.push(rows / begin.elapsed().as_secs_f64());

        empty("bench_drain").await?;
        copy_in("bench_drain", people, &persons).await?;
        let client = connect("bench_drain").await?;
        client.batch_execute("SELECT location_make_partition('2026-06-01'); CHECKPOINT").await?;
        let begin = Instant::now();
        let (role, _) = start("consume", "bench_drain", &topic)?;
        wait_for(&client, rows as i64).await?;
        ours.push(rows / begin.elapsed().as_secs_f64());
        drop(role);
        let stored: i64 = client.query_one("SELECT count(*) FROM location", &[]).await?.get(0);
        ensure!(stored == rows as i64, "{stored} of {rows} are stored");
        eprintln!("round {round}: COPY {:.0}, consume {:.0} rows/s", copy[round - 1], ours[round - 1]);
    }
    let (ours, copy) = (median(ours), median(copy));
    Ok(Row {
        what: "`consume` draining a topic, from its start, rows/s".to_owned(),
        figure: count(ours),
        baseline: count(copy),
        ratio: format!("{:.2}", ours / copy),
        target: "≥ 1.0",
        met: ours >= copy,
    })
}

/// Waits until the workers have come this far.
async fn wait_for(client: &tokio_postgres::Client, offsets: i64) -> anyhow::Result<()> {
    let begin = Instant::now();
    let sql = "SELECT coalesce(sum(next_offset), 0)::bigint FROM kafka_partition";
    while client.query_one(sql, &[]).await?.get::<_, i64>(0) < offsets {
        ensure!(begin.elapsed() < Duration::from_secs(600), "the workers do not come to the end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn message(person_id: i64, number: i64) -> proto::NewLocation {
    proto::NewLocation {
        person_id,
        latitude: Some(35.0585 + (number % 9_973) as f64 * 1e-7),
        longitude: Some(-106.5819 - (number % 7_919) as f64 * 1e-7),
        creation_time: Some(to_timestamp(Utc::now())),
        accuracy_m: Some(4.5),
    }
}

/// One phone's stream, beside the broker's own tool; and how soon the role was ready, and its memory.
async fn stream() -> anyhow::Result<Vec<Row>> {
    empty("bench_stream").await?;
    let topic = topic("stream");
    let (role, address) = start("serve-grpc", "bench_stream", &topic)?;
    let size = udaconnect::codec::encode(&location(12_345, 35.058_512_3, -106.581_945_6, Utc::now())).len();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        theirs.push(perf_tool(size)?);
        ours.push(STREAMED as f64 / stream_once(&address).await?);
        eprintln!(
            "round {round}: ProducerPerformance {:.0}, one stream {:.0} locations/s",
            theirs[round - 1],
            ours[round - 1]
        );
    }
    let (ours, theirs) = (median(ours), median(theirs));
    Ok(vec![
        Row {
            what: "one phone's stream, to the durable acknowledgement, locations/s".to_owned(),
            figure: count(ours),
            baseline: count(theirs),
            ratio: format!("{:.2}", ours / theirs),
            target: "≥ 50,000/s or ≥ 0.5",
            met: ours >= 50_000.0 || ours >= 0.5 * theirs,
        },
        Row {
            what: "`serve-grpc`, memory under this".to_owned(),
            figure: format!("{:.0} MB", role.peak_memory()),
            baseline: String::new(),
            ratio: String::new(),
            target: "≤ 256 MB",
            met: role.peak_memory() <= 256.0,
        },
        Row {
            what: "`serve-grpc` from start to ready".to_owned(),
            figure: format!("{:.0} ms", role.ready_after * 1e3),
            baseline: String::new(),
            ratio: String::new(),
            target: "≤ 1 s",
            met: role.ready_after <= 1.0,
        },
    ])
}

/// How long it takes, seconds.
async fn stream_once(address: &str) -> anyhow::Result<f64> {
    let mut client = LocationServiceClient::connect(format!("http://{address}")).await?;
    let (send, messages) = mpsc::channel(64);
    let begin = Instant::now();
    let sending = tokio::spawn(async move {
        let mut number = 0;
        while number < STREAMED {
            let locations = (number..number + MESSAGE).map(|number| message(1 + number % 1_000, number)).collect();
            if send.send(proto::StreamLocationsRequest { locations }).await.is_err() {
                break;
            }
            number += MESSAGE;
        }
    });
    let mut answers = client.stream_locations(ReceiverStream::new(messages)).await?.into_inner();
    let mut acknowledged = 0;
    while acknowledged < STREAMED as u64 {
        let answer = answers.message().await?.context("the stream ended early")?;
        ensure!(answer.refused.is_empty(), "{:?}", answer.refused);
        acknowledged = answer.acknowledged_through;
    }
    let seconds = begin.elapsed().as_secs_f64();
    sending.await?;
    Ok(seconds)
}

/// Records per second of the broker's own load generator.
fn perf_tool(size: usize) -> anyhow::Result<f64> {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh"))
        .args(["tool", concat!(env!("CARGO_MANIFEST_DIR"), "/.dev/bench-kafka")])
        .args(["org.apache.kafka.tools.ProducerPerformance", "--topic", &topic("stream"), "--throughput", "-1"])
        .args(["--num-records", &STREAMED.to_string(), "--record-size", &size.to_string(), "--producer-props"])
        .arg(format!("bootstrap.servers={}", bootstrap()?))
        .args(["acks=all", "compression.type=lz4", "linger.ms=5"])
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().rfind(|line| line.contains("records/sec")).context("the tool says nothing")?;
    let before = last.split(" records/sec").next().unwrap_or_default();
    let number = before.rsplit([' ', ',']).next().unwrap_or_default();
    number.parse().with_context(|| format!("no number in {last:?}"))
}

/// From a phone's send to the row, at 5,000 locations/s.
async fn latency() -> anyhow::Result<Row> {
    const PER_SECOND: u64 = 5_000;
    const TIME: Duration = Duration::from_secs(30);
    empty("bench_latency").await?;
    let database = connect("bench_latency").await?;
    let people =
        "INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, 1001)";
    database.batch_execute(people).await?;
    let topic = topic("latency");
    let (_serve, address) = start("serve-grpc", "bench_latency", &topic)?;
    let (_consume, _) = start("consume", "bench_latency", &topic)?;
    let mut client = LocationServiceClient::connect(format!("http://{address}")).await?;
    let (send, messages) = mpsc::channel::<proto::StreamLocationsRequest>(64);
    let load = send.clone();
    let begin = Instant::now();
    let loading = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let mut number = 0;
        while begin.elapsed() < TIME {
            tick.tick().await;
            let due = (begin.elapsed().as_secs_f64() * PER_SECOND as f64) as i64;
            let locations = (number..due).map(|number| message(1 + number % 1_000, number)).collect();
            number = due;
            if load.send(proto::StreamLocationsRequest { locations }).await.is_err() {
                break;
            }
        }
    });
    let mut answers = client.stream_locations(ReceiverStream::new(messages)).await?.into_inner();
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = answers.message().await {} });
    // Every now and then one location whose row is waited for.
    let (marker, mut seconds, mut number) = (1_001_i64, Vec::new(), 0);
    let sql = "SELECT count(*) FROM location WHERE person_id = $1";
    while begin.elapsed() < TIME {
        number += 1;
        let sent = Instant::now();
        send.send(proto::StreamLocationsRequest { locations: vec![message(marker, number)] }).await?;
        while database.query_one(sql, &[&marker]).await?.get::<_, i64>(0) < number {
            ensure!(sent.elapsed() < Duration::from_secs(60), "a location is not stored");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        seconds.push(sent.elapsed().as_secs_f64());
    }
    loading.await?;
    drop(send);
    reading.await?;
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share) as usize] * 1e3;
    Ok(Row {
        what: format!("phone to row at 5,000/s, p99 of {} (p50 {:.0} ms)", seconds.len(), at(0.5)),
        figure: format!("{:.0} ms", at(0.99)),
        baseline: String::new(),
        ratio: String::new(),
        target: "≤ 1 s",
        met: at(0.99) <= 1e3,
    })
}

/// The memory of a worker that has much to do.
async fn backlog() -> anyhow::Result<Row> {
    empty("bench_backlog").await?;
    let database = connect("bench_backlog").await?;
    let people =
        "INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, 1000)";
    database.batch_execute(people).await?;
    let topic = topic("backlog");
    let first = DateTime::parse_from_rfc3339("2026-06-01T00:00:00Z")?.to_utc();
    let records = (0..BACKLOG).map(|number| {
        let time = first + TimeDelta::milliseconds(number / 1_000 * 500);
        location(1 + number % 1_000, 35.0585 + (number % 9_973) as f64 * 1e-7, -106.5819, time)
    });
    fill(&topic, records).await?;
    let (role, _) = start("consume", "bench_backlog", &topic)?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let sql = "SELECT coalesce(sum(next_offset), 0)::bigint FROM kafka_partition";
    let done: i64 = database.query_one(sql, &[]).await?.get(0);
    let memory = role.peak_memory();
    Ok(Row {
        what: format!("`consume`, memory with a backlog, after {} records", count(done as f64)),
        figure: format!("{memory:.0} MB"),
        baseline: String::new(),
        ratio: String::new(),
        target: "≤ 256 MB",
        met: memory <= 256.0,
    })
}
