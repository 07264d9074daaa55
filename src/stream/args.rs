//! The settings of Kafka on the command line.

use super::KafkaSecurityArgs;
use crate::domain::Result;
use std::time::Duration;

/// Where Kafka is and what its topic is like.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaArgs {
    /// Brokers to begin with, e.g. kafka-0:9092,kafka-1:9092
    #[arg(long, env, value_name = "HOST:PORT,…")]
    pub kafka_bootstrap: Option<Bootstrap>,
    /// Topic of the recorded locations
    #[arg(long, env, value_name = "NAME", default_value = "udaconnect.locations.v1")]
    pub kafka_topic: String,
    /// Create the topic when it does not exist
    #[arg(long, env, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub kafka_create_topic: bool,
    /// Partitions of a topic that is created
    #[arg(long, env, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub kafka_partitions: i32,
    /// Replicas of a topic that is created (3 where there are three brokers)
    #[arg(long, env, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i16).range(1..=100))]
    pub kafka_replication: i16,
    #[command(flatten)]
    pub security: KafkaSecurityArgs,
}

impl KafkaArgs {
    /// Whether these can be used, as far as that shows without a broker.
    pub fn check(&self) -> Result<()> {
        self.security.read().map(|_| ())
    }
}

/// How records are sent.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct ProducerArgs {
    /// Locations that may wait for Kafka in this process; when there are more, callers are asked to slow down
    #[arg(long, env, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(10_000..=10_000_000))]
    pub kafka_buffer: u32,
    /// Records in one batch, at most
    #[arg(long, env, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub kafka_batch: u32,
    /// How long a record waits for company, in milliseconds
    #[arg(long, env, value_name = "MS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub kafka_linger: u64,
    /// How long a location waits for Kafka's acknowledgement, in seconds, before it is given up and whoever sent it is told
    #[arg(long, env, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub kafka_delivery_timeout: u64,
    /// Compression of batches
    #[arg(long, env, value_name = "CODEC", default_value = "lz4")]
    pub kafka_compression: Compression,
}

impl ProducerArgs {
    pub(super) fn linger(&self) -> Duration {
        Duration::from_millis(self.kafka_linger)
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        Duration::from_secs(self.kafka_delivery_timeout)
    }
}

/// A compression that every Kafka client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Compression> for rskafka::client::partition::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::NoCompression,
            Compression::Gzip => Self::Gzip,
            Compression::Snappy => Self::Snappy,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// One or more brokers as `host:port`, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap(Vec<String>);

impl Bootstrap {
    pub(super) fn brokers(&self) -> Vec<String> {
        self.0.clone()
    }
}

impl std::str::FromStr for Bootstrap {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        text.split(',')
            .map(|broker| {
                let broker = broker.trim();
                match broker.rsplit_once(':') {
                    Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                        Ok(broker.to_owned())
                    }
                    _ => Err(format!("must be host:port, several separated by commas; got {broker:?}")),
                }
            })
            .collect::<std::result::Result<_, _>>()
            .map(Self)
    }
}

impl std::fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_host_and_port() {
        assert_eq!("a:9092, [::1]:9093".parse::<Bootstrap>().unwrap().brokers(), ["a:9092", "[::1]:9093"]);
        for wrong in ["", "a", "a:", ":9092", "a:0", "a:70000", "a:9092,,b:9092"] {
            assert!(wrong.parse::<Bootstrap>().is_err(), "{wrong:?}");
        }
    }
}
