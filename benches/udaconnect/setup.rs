//! Databases with the standard event, and the program running on them.

use anyhow::{Context, ensure};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Config, NoTls};

/// How often everything is measured.
pub const ROUNDS: usize = 5;

/// A runtime for a part.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made")
}

/// The address of a database of the benchmark's cluster.
pub fn url(database: &str) -> anyhow::Result<String> {
    let server = std::env::var("UDACONNECT_BENCH_DATABASE_URL")
        .context("UDACONNECT_BENCH_DATABASE_URL names no PostgreSQL; run `make bench` or scripts/bench.sh")?;
    let (before, _) = server.rsplit_once('/').context("the URL names no database")?;
    Ok(format!("{before}/{database}"))
}

pub async fn connect(database: &str) -> anyhow::Result<Client> {
    let config: Config = url(database)?.parse()?;
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A database made anew, with the schema and nothing in it.
pub async fn empty(database: &str) -> anyhow::Result<()> {
    let server = connect("postgres").await?;
    server.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
    server.batch_execute(&format!("CREATE DATABASE {database}")).await?;
    udaconnect(&["migrate"], database)
}

/// The standard event in a database of its own, made if it is not there yet. Its name comes back.
pub async fn standard_event(persons: u32) -> anyhow::Result<String> {
    let database = format!("event_{persons}");
    let there = connect("postgres")
        .await?
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&database])
        .await?
        .is_some();
    if !there {
        empty(&database).await?;
    }
    // Not "if empty": a load that was interrupted is finished.
    udaconnect(&["migrate"], &database)?;
    let wanted = i64::from(persons) * 3 * 540;
    let found: i64 = connect(&database)
        .await?
        .query_one(
            "SELECT count(*) FROM location WHERE creation_time >= '2026-06-01' AND creation_time < '2026-06-05'",
            &[],
        )
        .await?
        .get(0);
    if found < wanted {
        eprintln!("loading the standard event with {persons} persons");
        udaconnect(&["seed", "--persons", &persons.to_string(), "--days", "3"], &database)?;
    }
    Ok(database)
}

/// Runs the program to its end.
pub fn udaconnect(arguments: &[&str], database: &str) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO_BIN_EXE_udaconnect"))
        .args(arguments)
        .env("DATABASE_URL", url(database)?)
        .env("DATABASE_STATEMENT_TIMEOUT", "3600")
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "udaconnect {arguments:?}: {status}");
    Ok(())
}

/// A role that runs, killed at the end.
pub struct Role {
    child: Child,
    /// From start to ready, seconds.
    pub ready_after: f64,
}

impl Role {
    /// Starts a role that answers `/readyz` at `address`.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)], address: &str) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_udaconnect"))
            .args(arguments)
            .envs(variables.iter().copied())
            .env("RUST_LOG", "warn")
            .spawn()?;
        let mut role = Self { child, ready_after: 0.0 };
        while !ready(address) {
            ensure!(role.child.try_wait()?.is_none(), "udaconnect {arguments:?} ended");
            ensure!(begin.elapsed() < Duration::from_secs(60), "udaconnect {arguments:?} is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        role.ready_after = begin.elapsed().as_secs_f64();
        Ok(role)
    }

    /// The most memory it has used so far, MB.
    pub fn peak_memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ready(address: &str) -> bool {
    use std::io::{Read, Write};
    let ask = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(address)?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// A port that is free now.
pub fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
