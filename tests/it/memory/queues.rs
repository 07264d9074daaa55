//! What lies in Kafka, and what was set aside of it: little that becomes much when it is unpacked.

use super::{MIB, enforce, last_lines, packed, people, run_within_the_limit, within_the_limit};
use crate::support::{DEADLINE, Database, TOPIC, Worker, eventually, kafka_variables};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Queue {
    database: Database,
    mock: MockCluster<'static, DefaultProducerContext>,
}

impl Queue {
    async fn new() -> Self {
        let database = Database::new().await;
        people(&database, 1).await;
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic(TOPIC, 1, 1).unwrap();
        Self { database, mock }
    }

    /// Runs a worker until it has gone past all these, and a good one behind them is stored.
    async fn consume(&self, what: &str) {
        let good = r#"{"person_id": 1, "latitude": 35, "longitude": -106.5, "creation_time": "2026-06-02T10:00:00Z"}"#;
        self.produce("none", good.as_bytes(), 1).await;
        let variables = kafka_variables(&self.database, &self.mock.bootstrap_servers());
        let worker = Worker::start(&variables).await;
        enforce(worker.program.process().unwrap());
        let mut worker = worker;
        // With what the worker has to say, when it does not get there.
        let waiting = tokio::time::timeout(DEADLINE * 3 / 4, async {
            eventually("the good record", || {
                let stored = self.database.number("SELECT count(*) FROM location");
                let ended = worker.program.has_ended();
                async move { (ended || stored.await == 1).then_some(()) }
            })
            .await;
        });
        let came = waiting.await.is_ok();
        within_the_limit(what, &worker.program);
        assert!(came, "{what}: the worker goes on to the good record\n{}", last_lines(&worker.program.log()));
        let letters = self.database.number("SELECT count(*) FROM dead_letter").await;
        assert!(letters > 0, "{what}: what cannot be stored is set aside");
    }

    /// Writes the same value so many times.
    async fn produce(&self, codec: &str, value: &[u8], times: usize) {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", self.mock.bootstrap_servers())
            .set("message.max.bytes", "1000000000")
            .set("batch.size", "2147483647")
            .set("queue.buffering.max.ms", "50")
            .set("compression.codec", codec)
            .create()
            .unwrap();
        for _ in 0..times {
            let record = FutureRecord::<[u8], [u8]>::to(TOPIC).key(b"1").payload(value);
            producer.send(record, Duration::from_secs(120)).await.unwrap();
        }
    }

    /// Writes a batch as it is; no client of Kafka would make it.
    async fn produce_raw(&self, codec: u16, records: i32, packed: &[u8]) {
        let mut tail = Vec::new();
        tail.extend(codec.to_be_bytes());
        tail.extend((records - 1).to_be_bytes());
        for time in [1_780_000_000_000_i64; 2] {
            tail.extend(time.to_be_bytes());
        }
        tail.extend((-1_i64).to_be_bytes()); // producer
        tail.extend((-1_i16).to_be_bytes()); // its epoch
        tail.extend((-1_i32).to_be_bytes()); // sequence
        tail.extend(records.to_be_bytes());
        tail.extend(packed);
        let mut batch = Vec::new();
        batch.extend(0_i64.to_be_bytes());
        batch.extend((tail.len() as i32 + 9).to_be_bytes());
        batch.extend((-1_i32).to_be_bytes()); // leader epoch
        batch.push(2); // magic
        batch.extend(crc32c(&tail).to_be_bytes());
        batch.extend(tail);

        let mut request = Vec::new();
        request.extend([0, 0, 0, 3, 0, 0, 0, 1, 0, 1, b'x']); // Produce, version 3, correlation 1, client x
        request.extend((-1_i16).to_be_bytes()); // no transaction
        request.extend((-1_i16).to_be_bytes()); // all replicas
        request.extend(30_000_i32.to_be_bytes());
        request.extend(1_i32.to_be_bytes());
        request.extend((TOPIC.len() as i16).to_be_bytes());
        request.extend(TOPIC.as_bytes());
        request.extend(1_i32.to_be_bytes());
        request.extend(0_i32.to_be_bytes());
        request.extend((batch.len() as i32).to_be_bytes());
        request.extend(batch);
        let mut broker = TcpStream::connect(self.mock.bootstrap_servers()).await.unwrap();
        broker.write_all(&(request.len() as i32).to_be_bytes()).await.unwrap();
        broker.write_all(&request).await.unwrap();
        let length = broker.read_i32().await.unwrap();
        let mut answer = vec![0; length as usize];
        broker.read_exact(&mut answer).await.unwrap();
        let error = &answer[4 + 4 + 2 + TOPIC.len() + 4 + 4..][..2];
        assert_eq!(error, [0, 0], "the broker takes it");
    }
}

/// CRC-32C, bit by bit: batches are small.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

#[test]
fn the_checksum_is_the_one_of_kafka() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

/// What stands before a value of so many bytes: its record's length, then its key and the value's length.
fn record_head(value: u64, headers: u64) -> Vec<u8> {
    let varint = |number: u64| {
        let (mut rest, mut bytes) = (number << 1, Vec::new());
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    };
    let mut body = vec![0, 0, 0, 2, b'1'];
    body.extend(varint(value));
    let mut head = varint(body.len() as u64 + value + headers);
    head.extend(body);
    head
}

#[tokio::test]
async fn a_batch_of_zstd() {
    let queue = Queue::new().await;
    for mib in [64, 1_000] {
        // The last of the blanks says how many headers there are, and whatever that is, it is no record in the end.
        queue.produce_raw(4, 1, &packed::zstd(&record_head(mib as u64 * MIB - 1, 1), mib)).await;
    }
    queue.consume("zstd").await;
}

#[tokio::test]
async fn a_batch_of_zstd_without_end() {
    let queue = Queue::new().await;
    for _ in 0..3 {
        queue.produce_raw(4, 1_000_000, &packed::zstd(&record_head(MIB, 1), 2_000)).await;
    }
    queue.consume("zstd of many").await;
}

#[tokio::test]
async fn a_batch_of_gzip() {
    let queue = Queue::new().await;
    for mib in [64, 512] {
        queue.produce_raw(1, 1, &packed::gzip(&record_head(mib as u64 * MIB - 1, 1), mib)).await;
    }
    queue.consume("gzip").await;
}

#[tokio::test]
async fn values_packed_with_lz4() {
    let queue = Queue::new().await;
    queue.produce("lz4", &vec![b' '; 200 << 20], 2).await;
    queue.consume("lz4").await;
}

#[tokio::test]
async fn values_packed_with_snappy() {
    let queue = Queue::new().await;
    queue.produce("snappy", &vec![b' '; 100 << 20], 3).await;
    queue.consume("snappy").await;
}

#[tokio::test]
async fn values_as_large_as_they_are() {
    let queue = Queue::new().await;
    queue.produce("none", &vec![b' '; 20 << 20], 10).await;
    queue.produce("none", &vec![b'['; 900_000], 50).await;
    queue.consume("large values").await;
}

#[tokio::test]
async fn values_that_hold_far_more_things_than_bytes() {
    let queue = Queue::new().await;
    for value in [format!("[{}0]", "0,".repeat(450_000)), format!("{{\"a\": [{}[]]}}", "[],".repeat(300_000))] {
        queue.produce("lz4", value.as_bytes(), 50).await;
    }
    queue.consume("lists").await;
}

/// Letters of a megabyte each, of what was not understood and of what may be stored now.
async fn letters(count: i32) -> Database {
    let database = Database::new().await;
    people(&database, 1).await;
    let sql = format!(
        "INSERT INTO dead_letter (topic, partition, first_offset, last_offset, reason, record_time, content_type, key, value)
         SELECT 't', 0, n, n, repeat('r', 1000), now(), 'application/json', '1',
                convert_to('{{\"person_id\": 1, \"latitude\": 35.5, \"longitude\": -106.5, \"creation_time\": \"2026-06-02T10:00:00Z\", \"more\": \"'
                           || repeat('x', 1000000) || CASE n % 2 WHEN 0 THEN '\"}}' ELSE '' END, 'UTF8')
         FROM generate_series(1, {count}) AS n"
    );
    database.client().await.batch_execute(&sql).await.unwrap();
    database
}

#[tokio::test]
async fn letters_that_are_listed() {
    let database = letters(400).await;
    let status = run_within_the_limit("list", &["dead-letters", "list", "--limit", "1000"], &database).await;
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn letters_that_are_replayed() {
    let database = letters(400).await;
    let status = run_within_the_limit("replay", &["dead-letters", "replay", "--all"], &database).await;
    assert_eq!(status, Some(1), "some cannot be stored");
}

#[tokio::test]
async fn a_letter_that_is_shown() {
    let database = Database::new().await;
    let sql = "INSERT INTO dead_letter (topic, partition, first_offset, last_offset, reason, value)
               VALUES ('t', 0, 1, 1, 'r', convert_to(repeat('x', 200000000), 'UTF8'))";
    database.client().await.batch_execute(sql).await.unwrap();
    let id = database.number("SELECT max(id) FROM dead_letter").await.to_string();
    for arguments in [["dead-letters", "show", &id], ["dead-letters", "replay", &id]] {
        run_within_the_limit(&arguments.join(" "), &arguments, &database).await;
    }
}
