//! A load over HTTP/1.1 that costs little itself, since it shares the machine with what it measures.

use anyhow::{Context, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What a load has done.
pub struct Done {
    pub per_second: f64,
    /// Of each request, seconds, sorted.
    pub latencies: Vec<f64>,
}

/// Keeps `clients` connections busy for a time; `request` writes the bytes of the nth request. Every answer must be a 2xx.
pub async fn run(
    address: &str,
    clients: usize,
    time: Duration,
    request: impl Fn(u64) -> String + Send + Sync + 'static,
) -> anyhow::Result<Done> {
    let (request, number) = (Arc::new(request), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (address, request, number) = (address.to_owned(), request.clone(), number.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut latencies = Vec::new();
            while begin.elapsed() < time {
                let asked = Instant::now();
                connection.ask(&request(number.fetch_add(1, Ordering::Relaxed))).await?;
                latencies.push(asked.elapsed().as_secs_f64());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    let per_second = latencies.len() as f64 / begin.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    Ok(Done { per_second, latencies })
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

pub fn post(path: &str, json: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    )
}

/// One connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request and reads its answer, with a Content-Length or chunked; the body's length comes back.
    pub async fn ask(&mut self, request: &str) -> anyhow::Result<usize> {
        self.stream.write_all(request.as_bytes()).await?;
        let head = self.until(b"\r\n\r\n").await?;
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        ensure!(text.starts_with("http/1.1 2"), "{text}{}", String::from_utf8_lossy(&self.buffer[head..]));
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        self.buffer.drain(..head);
        if let Some(length) = length {
            while self.buffer.len() < length {
                self.read().await?;
            }
            self.buffer.drain(..length);
            return Ok(length);
        }
        let mut sum = 0;
        loop {
            let line = self.until(b"\r\n").await?;
            let size = std::str::from_utf8(&self.buffer[..line - 2])?;
            let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
            self.buffer.drain(..line);
            while self.buffer.len() < size + 2 {
                self.read().await?;
            }
            self.buffer.drain(..size + 2);
            sum += size;
            if size == 0 {
                return Ok(sum);
            }
        }
    }

    /// Reads until the mark is there; returns where it ends.
    async fn until(&mut self, mark: &[u8]) -> anyhow::Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return Ok(at + mark.len());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
        Ok(())
    }
}
