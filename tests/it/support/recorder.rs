//! What programs ask of PostgreSQL, read on the way: every statement with its parameters.
//!
//! One [`Recorder`] is a test's own. Where `UDACONNECT_TEST_STATEMENTS` names a directory, [`suite_port`] leads through another that
//! is there for all tests of the process, and what it reads is in that directory, for the test that looks at all of it.

use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The same statement with so many different sets of parameters is enough.
pub const SETS: usize = 5;
/// Larger messages pass unread, bytes.
const MOST: usize = 1 << 20;
/// The first message of a connection that wants to be encrypted, by TLS or GSSAPI, and of one that cancels another's statement.
const ENCRYPTED: [u32; 2] = [80_877_103, 80_877_104];
const CANCEL: u32 = 80_877_102;

/// A statement as it went to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// What the program calls itself.
    pub application: String,
    pub sql: String,
    /// The types of the parameters.
    pub types: Vec<u32>,
    /// In binary form; `None` is NULL.
    pub values: Vec<Option<Vec<u8>>>,
}

impl Asked {
    fn line(&self) -> Value {
        let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let values: Vec<Option<String>> = self.values.iter().map(|value| value.as_ref().map(hex)).collect();
        json!({"application": self.application, "sql": self.sql, "types": self.types, "values": values})
    }

    fn of_line(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap();
        let bytes = |hex: &str| -> Vec<u8> {
            let digits = hex.as_bytes().chunks(2);
            digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
        };
        let types = line["types"].as_array().unwrap().iter().map(|oid| oid.as_u64().unwrap() as u32).collect();
        let values = line["values"].as_array().unwrap().iter().map(|value| value.as_str().map(bytes)).collect();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        Self { application: text("application"), sql: text("sql"), types, values }
    }
}

/// What was asked, each once and of each statement a few.
struct Noted {
    asked: Vec<Asked>,
    /// The parameters of each statement that were seen, as numbers that stand for them.
    seen: HashMap<String, HashSet<u64>>,
    hasher: RandomState,
    /// Where it is written as it comes; else it is kept.
    file: Option<File>,
}

impl Noted {
    fn new(file: Option<File>) -> Self {
        Self { asked: Vec::new(), seen: HashMap::new(), hasher: RandomState::new(), file }
    }

    /// `parameters` are as they came.
    fn note(&mut self, application: &str, sql: &str, parameters: &[u8], asked: impl FnOnce() -> Asked) {
        if !self.seen.contains_key(sql) {
            self.seen.insert(sql.to_owned(), HashSet::new());
        }
        let Some(seen) = self.seen.get_mut(sql).filter(|seen| seen.len() < SETS) else { return };
        if !seen.insert(self.hasher.hash_one(parameters)) {
            return;
        }
        let asked = Asked { application: application.to_owned(), ..asked() };
        match &mut self.file {
            // One write a line: whatever ends the process, there is no half of one but the last.
            Some(file) => file.write_all(format!("{}\n", asked.line()).as_bytes()).unwrap(),
            None => self.asked.push(asked),
        }
    }
}

/// A way to a server on which everything that is asked is noted. Its connections are not encrypted.
pub struct Recorder {
    pub port: u16,
    noted: Arc<Mutex<Noted>>,
}

impl Recorder {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder =
            Self { port: listener.local_addr().unwrap().port(), noted: Arc::new(Mutex::new(Noted::new(None))) };
        tokio::spawn(record(listener, port, recorder.noted.clone()));
        recorder
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.noted.lock().unwrap().asked.clone()
    }
}

/// A port that leads to this server through a recorder which lives as long as the process, if what the suite asks is wanted.
pub fn suite_port(server: u16) -> Option<u16> {
    static PORT: OnceLock<Option<u16>> = OnceLock::new();
    *PORT.get_or_init(|| {
        let directory = std::env::var_os("UDACONNECT_TEST_STATEMENTS").filter(|name| !name.is_empty())?;
        std::fs::create_dir_all(&directory).unwrap();
        let path = Path::new(&directory).join(format!("{}.statements", std::process::id()));
        let file = File::options().create(true).append(true).open(path).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        // A test's own runtime ends with the test.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                record(listener, server, Arc::new(Mutex::new(Noted::new(Some(file))))).await;
            });
        });
        Some(port)
    })
}

/// What the suite has asked, by every process that noted it in this directory.
pub fn asked_by_the_suite(directory: &Path) -> Vec<Asked> {
    let Ok(files) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut asked = Vec::new();
    for file in
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "statements"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        // A process that was ended may have left half a line.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        asked.extend(whole.lines().map(Asked::of_line));
    }
    asked
}

async fn record(listener: TcpListener, server: u16, noted: Arc<Mutex<Noted>>) {
    while let Ok((client, _)) = listener.accept().await {
        let noted = noted.clone();
        tokio::spawn(async move {
            // Ends with the connection, of which either side may learn only by its end.
            let _ = pass(client, server, noted).await;
        });
    }
}

async fn pass(mut client: TcpStream, server: u16, noted: Arc<Mutex<Noted>>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    // The first message has no type. As a server that is not encrypted says no to whoever asks for that, so is it here.
    let start = loop {
        let length = client.read_u32().await?;
        let mut body = vec![0; (length as usize).saturating_sub(4).min(MOST)];
        client.read_exact(&mut body).await?;
        match u32::from_be_bytes(body[..4].try_into().unwrap()) {
            code if ENCRYPTED.contains(&code) => client.write_all(b"N").await?,
            _ => break body,
        }
    };
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    server.set_nodelay(true)?;
    server.write_all(&[&(start.len() as u32 + 4).to_be_bytes()[..], &start].concat()).await?;
    if start[..4] == CANCEL.to_be_bytes() {
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let mut messages = Messages::new(application(&start), noted);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut bytes = vec![0; 64 << 10];
    tokio::select! {
        ended = async {
            loop {
                match from_client.read(&mut bytes).await? {
                    0 => return to_server.shutdown().await,
                    count => {
                        to_server.write_all(&bytes[..count]).await?;
                        messages.read(&bytes[..count]);
                    }
                }
            }
        } => {
            ended?;
            // What the server still has to say goes to nobody; it closes when it has noticed.
            tokio::io::copy(&mut from_server, &mut tokio::io::sink()).await?;
        }
        ended = tokio::io::copy(&mut from_server, &mut to_client) => {
            ended?;
        }
    }
    Ok(())
}

/// Of the names and values that a connection starts with.
fn application(start: &[u8]) -> String {
    let mut fields = start[4..].split(|byte| *byte == 0);
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        if name == b"application_name" {
            return text(value);
        }
    }
    String::new()
}

/// The messages of one connection's client.
struct Messages {
    application: String,
    noted: Arc<Mutex<Noted>>,
    /// One that is not complete yet.
    held: Vec<u8>,
    /// How much of one that is too large is still to come.
    skip: usize,
    /// By their names.
    prepared: HashMap<Vec<u8>, (Arc<str>, Vec<u32>)>,
}

impl Messages {
    fn new(application: String, noted: Arc<Mutex<Noted>>) -> Self {
        Self { application, noted, held: Vec::new(), skip: 0, prepared: HashMap::new() }
    }

    fn read(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let mut held = std::mem::take(&mut self.held);
        let mut bytes = &bytes[skipped..];
        if !held.is_empty() {
            held.extend_from_slice(bytes);
            bytes = &held;
        }
        while let Some(header) = bytes.get(..5) {
            let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize + 1;
            if length > MOST {
                self.skip = length.saturating_sub(bytes.len());
                bytes = &bytes[length.min(bytes.len())..];
                continue;
            }
            let Some(message) = bytes.get(..length) else { break };
            self.message(message[0], &message[5..]);
            bytes = &bytes[length..];
        }
        self.held = bytes.to_vec();
    }

    fn message(&mut self, kind: u8, body: &[u8]) {
        let mut message = Message(body);
        match kind {
            b'Q' => {
                let sql = text(message.text());
                self.noted
                    .lock()
                    .unwrap()
                    .note(&self.application, &sql, &[], || Asked { sql: sql.clone(), ..Asked::default() });
            }
            b'P' => {
                let (name, sql) = (message.text().to_vec(), text(message.text()));
                let count = message.u16();
                self.prepared.insert(name, (sql.into(), (0..count).map(|_| message.u32()).collect()));
            }
            b'B' => {
                message.text();
                // Prepared by a message that was too large.
                let Some((sql, types)) = self.prepared.get(message.text()) else { return };
                self.noted.lock().unwrap().note(&self.application, sql, message.0, || {
                    let formats = message.u16();
                    assert!((0..formats).all(|_| message.u16() == 1), "parameters are binary");
                    let count = message.u16();
                    let values = (0..count).map(|_| message.value()).collect();
                    Asked { sql: sql.to_string(), types: types.clone(), values, ..Asked::default() }
                });
            }
            _ => {}
        }
    }
}

struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// Up to the NUL that ends it.
    fn text(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let text = self.take(end);
        self.take(1);
        text
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let length = self.u32();
        (length != u32::MAX).then(|| self.take(length as usize).to_vec())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
