//! A database and a running program for a test; both end with it.

mod database;
mod divided;
mod kafka;
mod own_server;
mod phone;
mod process;
mod proxy;
pub mod recorder;
mod standby;

pub use database::Database;
pub use divided::{Geography, TABLES, divide, touched};
pub use kafka::{Produced, TOPIC, Worker, kafka_variables, produce, produce_packed, serve_api, serve_grpc};
pub use own_server::OwnServer;
pub use phone::{Phone, location, positions};
pub use process::{Program, Server, command, next_page, run};
pub use proxy::{Balancer, Proxy};
pub use standby::Pair;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it: long, since machines are shared.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Tells of what cannot be tested on this machine; scripts/test.sh counts it.
pub fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what} ({why})");
    if let Ok(file) = std::env::var("UDACONNECT_TEST_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        // One write a line, since tests run beside each other.
        std::io::Write::write_all(&mut file, format!("{what}\t{why}\n").as_bytes()).unwrap();
    }
}

/// Asks again and again until there is an answer; panics, naming what was waited for, when the deadline has passed.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await; // polls
    }
}
