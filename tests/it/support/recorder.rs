//! What a program asks of PostgreSQL, read on the way: every statement with its parameters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A statement as it went to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    pub sql: String,
    /// The types of the parameters.
    pub types: Vec<u32>,
    /// In binary form; `None` is NULL.
    pub values: Vec<Option<Vec<u8>>>,
}

/// A way to a server on which everything that is asked is noted. Connections must not be encrypted.
pub struct Recorder {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Recorder {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Self { port: listener.local_addr().unwrap().port(), asked: Arc::default() };
        let asked = recorder.asked.clone();
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let asked = asked.clone();
                tokio::spawn(async move {
                    let there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let (mut from_client, mut to_client) = here.into_split();
                    let (mut from_server, mut to_server) = there.into_split();
                    tokio::spawn(async move {
                        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                        let _ = to_client.shutdown().await;
                    });
                    // Ends with the connection.
                    let _ = note_all(&mut from_client, &mut to_server, &asked).await;
                    let _ = to_server.shutdown().await;
                });
            }
        });
        recorder
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn note_all(
    client: &mut (impl AsyncReadExt + Unpin),
    server: &mut (impl AsyncWriteExt + Unpin),
    asked: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    // The first message has no type: a start, or a wish to cancel something.
    let length = client.read_u32().await?;
    let mut body = vec![0; length as usize - 4];
    client.read_exact(&mut body).await?;
    server.write_u32(length).await?;
    server.write_all(&body).await?;
    let mut prepared: HashMap<Vec<u8>, (String, Vec<u32>)> = HashMap::new();
    loop {
        let kind = client.read_u8().await?;
        let length = client.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        client.read_exact(&mut body).await?;
        let mut message = Message(&body);
        match kind {
            b'Q' => {
                let sql = text(message.text());
                asked.lock().unwrap().push(Asked { sql, ..Asked::default() });
            }
            b'P' => {
                let (name, sql) = (message.text().to_vec(), text(message.text()));
                let count = message.u16();
                prepared.insert(name, (sql, (0..count).map(|_| message.u32()).collect()));
            }
            b'B' => {
                message.text();
                let (sql, types) = prepared[message.text()].clone();
                let formats = message.u16();
                assert!((0..formats).all(|_| message.u16() == 1), "parameters are binary");
                let count = message.u16();
                let values = (0..count).map(|_| message.value()).collect();
                asked.lock().unwrap().push(Asked { sql, types, values });
            }
            _ => {}
        }
        server.write_u8(kind).await?;
        server.write_u32(length).await?;
        server.write_all(&body).await?;
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
    String::from_utf8(bytes.to_vec()).unwrap()
}
