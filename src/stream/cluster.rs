//! The brokers of the cluster and the partitions of the topic: which there are, and which broker leads which partition.

use super::connection::{CLIENT, Connection, malformed};
use super::protocol::{self, Metadata};
use super::security::Security;
use super::{KafkaArgs, unavailable};
use crate::domain::{Error, Result};
use futures_util::stream::{FuturesUnordered, StreamExt};
use rskafka::BackoffConfig;
use rskafka::client::error::{Error as Kafka, ProtocolError};
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a broker may take to answer beyond what it was told to wait, and how long connecting to it may take. Below the lease
/// of a worker; many times what a broker takes that is well.
pub(super) const ANSWER: Duration = Duration::from_secs(4);
/// How long the broker that has answered before may take until others are asked as well.
const KEPT: Duration = Duration::from_secs(2);
/// How long a query to the cluster through rskafka may take, which itself would wait for ever on a broker that has gone
/// silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a broker may send rskafka at once.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The brokers and the topic. Whatever fails, the next attempt begins anew.
pub struct Cluster {
    args: KafkaArgs,
    bootstrap: Vec<String>,
    security: Security,
    known: Mutex<Known>,
    client: Mutex<Option<Arc<Client>>>,
}

/// What was found out about the cluster.
#[derive(Default)]
struct Known {
    /// To whoever was asked last, and where that is.
    broker: Option<(Connection, String)>,
    /// Where brokers are said to be.
    brokers: BTreeSet<String>,
    /// When was asked last, and what came of it.
    last: Option<(Instant, Result<Arc<Metadata>>)>,
}

impl Cluster {
    /// Connects to nothing yet. [`Error::Invalid`] when no brokers are given, or when a file of certificates or a password that
    /// is named cannot be read.
    pub fn new(args: &KafkaArgs) -> Result<Self> {
        let bootstrap =
            args.kafka_bootstrap.as_ref().ok_or_else(|| Error::invalid("KAFKA_BOOTSTRAP", "must be given"))?.brokers();
        Ok(Self {
            args: args.clone(),
            bootstrap,
            security: args.security.read()?,
            known: Mutex::default(),
            client: Mutex::default(),
        })
    }

    pub fn topic(&self) -> &str {
        &self.args.kafka_topic
    }

    /// How many partitions the topic has; creates it when it is absent and that is allowed.
    pub async fn partitions(&self) -> Result<i32> {
        if let Some(partitions) = self.find().await? {
            return Ok(partitions);
        }
        if !self.args.kafka_create_topic {
            return Err(unavailable(format!(
                "topic {} does not exist and is not to be created; create it or give --kafka-create-topic true",
                self.topic()
            )));
        }
        self.attempt(async |client| {
            let controller = client.controller_client().map_err(unavailable)?;
            let created = controller
                .create_topic(self.topic(), self.args.kafka_partitions, self.args.kafka_replication, 5_000)
                .await;
            match created {
                Ok(()) => tracing::info!(
                    topic = self.topic(),
                    partitions = self.args.kafka_partitions,
                    replication = self.args.kafka_replication,
                    "topic created"
                ),
                // Somebody else was faster.
                Err(Kafka::ServerError { protocol_error: ProtocolError::TopicAlreadyExists, .. }) => {}
                Err(error) => return Err(unavailable(format!("topic {} cannot be created: {error}", self.topic()))),
            }
            Ok(())
        })
        .await?;
        self.find().await?.ok_or_else(|| unavailable("the new topic is not known to all brokers yet"))
    }

    async fn find(&self) -> Result<Option<i32>> {
        let metadata = self.metadata(Instant::now()).await?;
        match metadata.error {
            0 => Ok(Some(metadata.partitions.len() as i32).filter(|partitions| *partitions > 0)),
            protocol::UNKNOWN_TOPIC_OR_PARTITION => Ok(None),
            error => Err(unavailable(format!("topic {}: {}", self.topic(), protocol::error_name(error)))),
        }
    }

    /// A connection to the partition's leader, for reading. Metadata from before `since` is not used.
    pub(super) async fn leader(&self, partition: i32, since: Option<Instant>) -> Result<Connection> {
        let metadata = self.metadata(since.unwrap_or_else(recently)).await?;
        let failed = |why: String| unavailable(format!("partition {partition}: {why}"));
        let found = metadata.partitions.iter().find(|found| found.id == partition);
        let found = found.ok_or_else(|| failed(protocol::error_name(protocol::UNKNOWN_TOPIC_OR_PARTITION)))?;
        match metadata.brokers.iter().find(|(id, ..)| *id == found.leader) {
            Some((_, host, port)) => self.connect(&address(host, *port)).await,
            None if found.error != 0 => Err(failed(protocol::error_name(found.error))),
            None => Err(failed("it has no leader".to_owned())),
        }
    }

    async fn connect(&self, address: &str) -> Result<Connection> {
        match tokio::time::timeout(ANSWER, Connection::open(address, &self.security)).await {
            Ok(connected) => connected,
            Err(_) => Err(unavailable(format!("{address}: no connection within {ANSWER:?}"))),
        }
    }

    /// What the cluster says of the topic, asked after `since`: whoever waits here for somebody else's query takes its
    /// answer, be it an error.
    async fn metadata(&self, since: Instant) -> Result<Arc<Metadata>> {
        let mut known = self.known.lock().await;
        if let Some((asked, answer)) = &known.last
            && *asked >= since
        {
            return answer.clone();
        }
        let began = Instant::now();
        let answer = self.ask(&mut known).await.map(Arc::new);
        known.last = Some((began, answer.clone()));
        answer
    }

    async fn ask(&self, known: &mut Known) -> Result<Metadata> {
        // Whoever answered last; if it does not soon, whoever answers first.
        let mut answer = None;
        if let Some((connection, address)) = known.broker.take() {
            let asked = within(KEPT, self.fetch_metadata(connection)).await;
            answer = asked.ok().map(|(connection, metadata)| (connection, address, metadata));
        }
        let (connection, address, metadata) = match answer {
            Some(answer) => answer,
            None => self.race(known.brokers.iter().chain(&self.bootstrap).cloned().collect()).await?,
        };
        known.broker = Some((connection, address));
        known.brokers = metadata.brokers.iter().map(|(_, host, port)| self::address(host, *port)).collect();
        Ok(metadata)
    }

    /// Asks all brokers at once; who is down or silent costs no time while another one answers.
    async fn race(&self, addresses: BTreeSet<String>) -> Result<(Connection, String, Metadata)> {
        let ask = |address: String| async move {
            let connection = self.connect(&address).await?;
            let (connection, metadata) = within(ANSWER, self.fetch_metadata(connection)).await?;
            Ok((connection, address, metadata))
        };
        let mut answers: FuturesUnordered<_> = addresses.into_iter().map(ask).collect();
        let mut failed = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| unavailable("there is no broker to be asked")))
    }

    async fn fetch_metadata(&self, connection: Connection) -> Result<(Connection, Metadata)> {
        let body = protocol::metadata_request(self.topic());
        let (connection, answer) = connection.ask(protocol::METADATA, &body).await?;
        let metadata = protocol::metadata(answer, self.topic()).map_err(|_| malformed(protocol::METADATA))?;
        Ok((connection, metadata))
    }

    /// A connection to the partition's leader, for writing; it follows the leader when that moves.
    pub(super) async fn partition(&self, partition: i32) -> Result<PartitionClient> {
        self.attempt(async |client| {
            client
                .partition_client(self.topic(), partition, UnknownTopicHandling::Error)
                .await
                .map_err(|error| unavailable(format!("partition {partition}: {error}")))
        })
        .await
    }

    /// Runs a query through rskafka; whatever fails, the next one begins with a new client: the cluster that rskafka
    /// remembers may be gone as a whole, and it never looks back.
    async fn attempt<T>(&self, query: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        let mut used = None;
        let answer = within(PATIENCE, async {
            let client = self.client().await?;
            used = Some(client.clone());
            query(&client).await
        })
        .await;
        if answer.is_err() {
            let mut current = self.client.lock().await;
            if let (Some(now), Some(then)) = (&*current, &used)
                && Arc::ptr_eq(now, then)
            {
                *current = None;
            }
        }
        answer
    }

    /// Makes the next query begin at the bootstrap brokers, as one that has failed does; for whoever has given one up.
    pub(super) async fn forget(&self) {
        // Whoever has the lock is making a new client.
        if let Ok(mut current) = self.client.try_lock() {
            *current = None;
        }
    }

    async fn client(&self) -> Result<Arc<Client>> {
        let mut current = self.client.lock().await;
        if let Some(client) = &*current {
            return Ok(client.clone());
        }
        // rskafka tries one broker after the other, without a limit for any: it gets one that has just answered.
        self.metadata(recently()).await?;
        let known = self.known.lock().await.broker.as_ref().map(|(_, address)| address.clone());
        let client = self
            .security
            .apply(ClientBuilder::new(known.map_or_else(|| self.bootstrap.clone(), |address| vec![address])))
            .client_id(CLIENT)
            .max_message_size(MAX_MESSAGE)
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_millis(500),
                base: 2.0,
                deadline: Some(Duration::from_secs(1)),
            })
            .build()
            .await
            .map_err(unavailable)?;
        Ok(current.insert(Arc::new(client)).clone())
    }
}

/// How old an answer of the cluster may be where nothing has failed.
const RECENT: Duration = Duration::from_secs(1);

fn recently() -> Instant {
    let now = Instant::now();
    now.checked_sub(RECENT).unwrap_or(now)
}

fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The future's result, or `Unavailable` when it takes longer.
pub(super) async fn within<T>(patience: Duration, future: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(patience, future).await {
        Ok(result) => result,
        Err(_) => Err(unavailable(format!("no answer within {patience:?}"))),
    }
}
