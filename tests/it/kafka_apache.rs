//! Through a real Apache Kafka. `make test` starts one and runs these; each has a topic of its own.

use crate::support::{
    DEADLINE, Database, Phone, Produced, Worker, eventually, kafka_variables, location, produce, produce_packed,
    serve_grpc, skipped,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rskafka::chrono::DateTime;
use rskafka::client::partition::Compression;
use rskafka::record::Record;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use udaconnect::stream::partition_of;

struct Cluster {
    bootstrap: String,
    topic: String,
    database: Database,
}

impl Cluster {
    async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let bootstrap = std::env::var("UDACONNECT_TEST_KAFKA").expect("UDACONNECT_TEST_KAFKA names no Kafka");
        let topic = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Database::new().await;
        let people = "INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, 100)";
        database.client().await.batch_execute(people).await.unwrap();
        Self { bootstrap, topic, database }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = kafka_variables(&self.database, &self.bootstrap);
        variables.push(("KAFKA_TOPIC", self.topic.clone()));
        variables.push(("KAFKA_PARTITIONS", "4".to_owned()));
        variables
    }

    async fn stored(&self, count: i64) {
        eventually(&format!("{count} stored locations"), || async {
            (self.database.number("SELECT count(*) FROM location").await == count).then_some(())
        })
        .await;
    }

    fn client(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap).set("partitioner", "murmur2_random");
        settings.iter().for_each(|(name, value)| {
            client.set(*name, *value);
        });
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client(&[]).create().unwrap()
    }
}

fn json_record(person: i64, second: i64) -> Produced {
    let value = serde_json::json!({"person_id": person, "latitude": 35.5, "longitude": "-106.5", "creation_time": format!("2026-06-02T10:{:02}:{:02}Z", second / 60, second % 60)});
    Produced {
        key: Some(person.to_string().into_bytes()),
        value: Some(value.to_string().into_bytes()),
        content_type: Some("application/json"),
    }
}

/// Runs a program that a machine may lack; `None`, and a loud word, when it does.
async fn run_if_there(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            skipped(&format!("what {program} reads and writes"), &format!("{program} is not there: {error}"));
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("the program ends").unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
#[ignore = "needs Apache Kafka (UDACONNECT_TEST_KAFKA); make test starts it"]
async fn kcat_writes_what_we_store_and_reads_what_we_write() {
    let cluster = Cluster::new().await;
    let worker = Worker::start(&cluster.variables()).await;
    worker.owns(4).await;
    let lines: String = (1..=50)
        .map(|person| {
            let record = json_record(person, person);
            format!("{person}\t{}\n", String::from_utf8(record.value.unwrap()).unwrap())
        })
        .collect();
    let arguments = ["-P", "-q", "-b", &cluster.bootstrap, "-t", &cluster.topic, "-K", "\t"];
    let with_type =
        [&arguments[..], &["-H", "content-type=application/json", "-X", "partitioner=murmur2_random"]].concat();
    if run_if_there("kcat", &with_type, &lines).await.is_none() {
        return;
    }
    cluster.stored(50).await;

    let (_program, url) = serve_grpc(&cluster.variables()).await;
    let mut phone = Phone::connect(&url).await.unwrap();
    assert!(phone.send((51..=100).map(|person| location(person, person)).collect()).await);
    phone.acknowledged(50).await.unwrap();
    cluster.stored(100).await;
    // A partition, a key, the headers and the value's length a line.
    let read = ["-C", "-q", "-e", "-b", &cluster.bootstrap, "-t", &cluster.topic, "-f", "%p %k %h %S\n"];
    let text = run_if_there("kcat", &read, "").await.unwrap();
    let mut ours = 0;
    for line in text.lines() {
        let [partition, key, headers, size] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(partition.parse(), Ok(partition_of(key.as_bytes(), 4)), "{line}");
        if key.parse::<i64>().unwrap() > 50 {
            // Beside it the id of the request that brought the location, by which logs tell its way.
            let headers: Vec<&str> = headers.split(',').collect();
            assert!(headers.contains(&"content-type=application/x-protobuf"), "{line}");
            assert!(headers.iter().any(|header| header.starts_with("x-request-id=")), "{line}");
            assert!((20..60).contains(&size.parse::<i32>().unwrap()), "{line}");
            ours += 1;
        }
    }
    assert_eq!((ours, text.lines().count()), (50, 100));
}

#[tokio::test]
#[ignore = "needs Apache Kafka (UDACONNECT_TEST_KAFKA); make test starts it"]
async fn the_java_producer_of_kafka_puts_the_same_keys_in_the_same_partitions() {
    let cluster = Cluster::new().await;
    let worker = Worker::start(&cluster.variables()).await;
    worker.owns(4).await;
    let root = env!("CARGO_MANIFEST_DIR");
    if !std::path::Path::new(root).join(".dev/kafka/libs/.pom").exists() {
        skipped("what Apache Kafka's own programs read", "they are not there; scripts/kafka.sh fetches them");
        return;
    }
    let lines: String = (1..=200)
        .map(|number| {
            let person = 1 + number % 100;
            let record = json_record(person, number);
            format!("{person}\t{}\n", String::from_utf8(record.value.unwrap()).unwrap())
        })
        .collect();
    let nowhere = std::env::temp_dir().join("udaconnect-no-broker");
    let (script, nowhere) = (format!("{root}/scripts/kafka.sh"), nowhere.to_str().unwrap().to_owned());
    let arguments = [
        "tool",
        &nowhere,
        "org.apache.kafka.tools.ConsoleProducer",
        "--bootstrap-server",
        &cluster.bootstrap,
        "--topic",
        &cluster.topic,
        "--reader-property",
        "parse.key=true",
    ];
    run_if_there(&script, &arguments, &lines).await;
    // Without a content type: what begins with { is JSON.
    cluster.stored(200).await;
    let dead = cluster.database.number("SELECT count(*) FROM dead_letter").await;
    assert_eq!(dead, 0);
    let read = ["-C", "-q", "-e", "-b", &cluster.bootstrap, "-t", &cluster.topic, "-f", "%p %k\n"];
    let Some(text) = run_if_there("kcat", &read, "").await else { return };
    assert_eq!(text.lines().count(), 200);
    for line in text.lines() {
        let (partition, key) = line.split_once(' ').unwrap();
        assert_eq!(partition.parse(), Ok(partition_of(key.as_bytes(), 4)), "{line}");
    }
}

#[tokio::test]
#[ignore = "needs Apache Kafka (UDACONNECT_TEST_KAFKA); make test starts it"]
async fn kafka_records_that_retention_took_are_noted_by_policy() {
    let cluster = Cluster::new().await;
    let mut variables = cluster.variables();
    let first = Worker::start(&variables).await;
    first.owns(4).await;
    drop(first);
    // All in one partition, and half of them removed before anybody reads them.
    let records: Vec<_> = (0..100).map(|second| json_record(7, second)).collect();
    let places = produce(&cluster.bootstrap, &cluster.topic, &records).await;
    let partition = places[0].0;
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&cluster.topic, partition, Offset::Offset(50)).unwrap();
    cluster.admin().delete_records(&before, &AdminOptions::new()).await.unwrap();

    variables.push(("OFFSET_RESET", "stop".to_owned()));
    let stopped = Worker::start(&variables).await;
    let why = eventually("the partition to stop", || async {
        let (status, said) = stopped.ready().await;
        let why = said["checks"]["kafka"].as_str().unwrap().to_owned();
        (status == 503 && why.contains("--offset-reset")).then_some(why)
    })
    .await;
    assert!(why.contains("offset 0 is not in Kafka (it has 50 to 100)"), "{why}");
    assert_eq!(cluster.database.number("SELECT count(*) FROM location").await, 0);
    drop(stopped);

    variables.pop();
    let worker = Worker::start(&variables).await;
    cluster.stored(50).await;
    let row = cluster
        .database
        .client()
        .await
        .query_one("SELECT first_offset, last_offset, reason FROM dead_letter", &[])
        .await;
    let row = row.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 49));
    assert!(row.get::<_, String>(2).contains("retention"));
    assert_eq!(worker.ready().await.0, 200);
}

const PACKINGS: [Compression; 5] =
    [Compression::NoCompression, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// The same for another client.
fn packed(record: Produced) -> Record {
    Record { key: record.key, value: record.value, headers: BTreeMap::new(), timestamp: DateTime::UNIX_EPOCH }
}

const IGNORED_HEADER: Header<'_, &[u8]> = Header { key: "flag", value: None };

#[tokio::test]
#[ignore = "needs Apache Kafka (UDACONNECT_TEST_KAFKA); make test starts it"]
async fn whatever_is_legal_in_kafka_is_read() {
    let cluster = Cluster::new().await;
    let worker = Worker::start(&cluster.variables()).await;
    worker.owns(4).await;
    let producer: FutureProducer = cluster.client(&[]).create().unwrap();
    let mut sent = 0;
    let mut send = async |key: Option<&[u8]>, timestamp: Option<i64>| {
        sent += 1;
        let value = json_record(7, sent).value.unwrap();
        // A header without a value, a name that is there twice, a name that is empty.
        let headers = OwnedHeaders::new()
            .insert(IGNORED_HEADER)
            .insert(Header { key: "content-type", value: Some("text/plain") })
            .insert(Header { key: "", value: Some("") })
            .insert(Header { key: "content-type", value: Some("application/json") });
        let mut record = FutureRecord::<[u8], [u8]>::to(&cluster.topic).payload(&value).headers(headers);
        record.key = key;
        record.timestamp = timestamp;
        producer.send(record, DEADLINE).await.unwrap();
    };
    for key in [None, Some(&b""[..]), Some(b"7"), Some(b"\xff\0")] {
        for time in [None, Some(1), Some(1_780_500_000_000)] {
            send(key, time).await;
        }
    }
    // In every packing; in those of librdkafka's own, too.
    for (number, packing) in (0_i64..).zip(PACKINGS) {
        let records = (0..200).map(|second| packed(json_record(8 + number, second))).collect();
        produce_packed(&cluster.bootstrap, &cluster.topic, number as i32 % 4, packing, records).await;
    }
    for (number, packing) in (13..).zip(["snappy", "lz4"]) {
        let producer: FutureProducer =
            cluster.client(&[("compression.type", packing), ("linger.ms", "50")]).create().unwrap();
        let values: Vec<_> = (0..200).map(|second| json_record(number, second).value.unwrap()).collect();
        let send = |value: &Vec<u8>| {
            producer.send_result(FutureRecord::<[u8], [u8]>::to(&cluster.topic).payload(value)).unwrap()
        };
        for delivery in values.iter().map(send).collect::<Vec<_>>() {
            delivery.await.unwrap().unwrap();
        }
    }
    cluster.stored(12 + 7 * 200).await;
    assert_eq!(cluster.database.number("SELECT count(*) FROM dead_letter").await, 0);
    assert_eq!(worker.ready().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka (UDACONNECT_TEST_KAFKA); make test starts it"]
async fn of_kafka_transactions_only_what_is_committed_counts() {
    let cluster = Cluster::new().await;
    let worker = Worker::start(&cluster.variables()).await;
    worker.owns(4).await;
    let (client, topic) = (cluster.client(&[("transactional.id", &cluster.topic)]), cluster.topic.clone());
    // librdkafka waits in these.
    let (begin, begun) = tokio::sync::oneshot::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = client.create().unwrap();
        producer.init_transactions(DEADLINE).unwrap();
        let write = |first: i64| {
            producer.begin_transaction().unwrap();
            for second in first..first + 100 {
                let record = json_record(1 + second % 100, second);
                let (key, value) = (record.key.unwrap(), record.value.unwrap());
                producer.send(BaseRecord::to(&topic).key(&key).payload(&value)).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(DEADLINE).unwrap();
        };
        write(0);
        producer.commit_transaction(DEADLINE).unwrap();
        for round in 1..4 {
            write(100 * round);
            producer.abort_transaction(DEADLINE).unwrap();
        }
        write(400);
        begin.send(()).unwrap();
        ended.blocking_recv().unwrap();
        producer.commit_transaction(DEADLINE).unwrap();
    });
    begun.await.unwrap();
    // What is not settled is not stored, and not waited for either.
    let settled = async |count: i64| {
        cluster.stored(count).await;
        eventually("no lag", || async {
            let mut lag = 0.0;
            for partition in 0..4 {
                lag += worker.metric(&format!("udaconnect_kafka_lag_records{{partition=\"{partition}\"}}")).await;
            }
            (lag == 0.0).then_some(())
        })
        .await;
    };
    settled(100).await;
    assert_eq!(worker.ready().await.0, 200);
    end.send(()).unwrap();
    writing.await.unwrap();
    settled(200).await;
    assert_eq!(cluster.database.number("SELECT count(*) FROM dead_letter").await, 0);
    let times = "SELECT count(*) FROM location WHERE creation_time >= '2026-06-02T10:01:40Z' AND creation_time < '2026-06-02T10:06:40Z'";
    assert_eq!(cluster.database.number(times).await, 0, "of what was aborted");
    // Behind everything, Kafka's own records included.
    let watermarks: BaseConsumer = cluster.client(&[]).create().unwrap();
    for partition in 0..4 {
        let (_, end) = watermarks.fetch_watermarks(&cluster.topic, partition, DEADLINE).unwrap();
        let next = format!(
            "SELECT next_offset FROM kafka_partition WHERE topic = '{}' AND partition = {partition}",
            cluster.topic
        );
        eventually("the last offset", || async { (cluster.database.number(&next).await == end).then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka (UDACONNECT_TEST_KAFKA); make test starts it"]
async fn what_kafka_unpacks_to_gigabytes_becomes_a_dead_letter_and_takes_no_memory() {
    let cluster = Cluster::new().await;
    let worker = Worker::start(&cluster.variables()).await;
    worker.owns(4).await;
    // Each becomes more than a role may have. Snappy packs worse, and Kafka takes a megabyte.
    for (number, packing) in
        (0_i64..).zip([Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd])
    {
        let size = if matches!(packing, Compression::Snappy) { 10 << 20 } else { 150 << 20 };
        for partition in 0..4 {
            let write = async |records| {
                produce_packed(&cluster.bootstrap, &cluster.topic, partition, packing, records).await;
            };
            let good = |second| packed(json_record(i64::from(partition) + 1, 2 * number + second));
            write(vec![good(0), Record { value: Some(vec![0; size]), ..good(0) }]).await;
            write(vec![good(1)]).await;
        }
    }
    cluster.stored(32).await;
    let letters = "SELECT count(*) FROM dead_letter WHERE reason LIKE '%at most 1048576 are read%' \
         AND first_offset = last_offset AND key IS NOT NULL AND value IS NULL";
    eventually("the dead letters", || async { (cluster.database.number(letters).await == 16).then_some(()) }).await;
    assert_eq!(cluster.database.number("SELECT count(*) FROM dead_letter").await, 16);
    if let Some(peak) = worker.program.peak_memory() {
        assert!(peak < 128 << 20, "{} MB", peak >> 20);
    }
    assert_eq!(worker.ready().await.0, 200);
}

#[tokio::test]
#[ignore = "needs Apache Kafka (UDACONNECT_TEST_KAFKA); make test starts it"]
async fn a_kafka_topic_is_not_created_when_that_is_not_allowed() {
    let cluster = Cluster::new().await;
    let mut variables = cluster.variables();
    variables.push(("KAFKA_CREATE_TOPIC", "false".to_owned()));
    let worker = Worker::start(&variables).await;
    eventually("word of the missing topic", || async {
        let (status, said) = worker.ready().await;
        (status == 503 && said["checks"]["kafka"].as_str().unwrap().contains("does not exist")).then_some(())
    })
    .await;
    // Somebody else makes it.
    let other = Worker::start(&cluster.variables()).await;
    eventually("readiness", || async { (worker.ready().await.0 == 200).then_some(()) }).await;
    drop(other);
    worker.owns(4).await;
}
