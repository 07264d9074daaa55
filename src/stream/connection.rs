//! One connection to one broker: TLS, authentication, and one request after the other.

use super::cluster::{ANSWER, within};
use super::protocol::{self, Api};
use super::security::{Login, Security};
use super::unavailable;
use crate::domain::Result;
use bytes::Bytes;
use rsasl::prelude::{Mechname, SASLClient, SASLConfig};
use std::io::Cursor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The name under which brokers know this program.
pub(super) const CLIENT: &str = "udaconnect";
/// How large an answer without records may be: a topic of ten thousand partitions takes half of it.
const ANSWER_MOST: usize = 4 << 20;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection on which no request is under way. A request takes it and gives it back with the answer; a connection whose request
/// has failed, or is not waited for any more, is closed.
pub(super) struct Connection {
    stream: Box<dyn Duplex>,
    correlation: i32,
}

impl Connection {
    /// Connects to `host:port`, and logs in where that is wanted.
    pub(super) async fn open(address: &str, security: &Security) -> Result<Self> {
        let failed = |error: std::io::Error| unavailable(format!("{address}: {error}"));
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream: Box<dyn Duplex> = match &security.tls {
            None => Box::new(stream),
            Some(tls) => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = host.try_into().map_err(|error| unavailable(format!("{address}: {error}")))?;
                Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(failed)?)
            }
        };
        let this = Self { stream, correlation: 0 }.check_versions(address).await?;
        match &security.login {
            None => Ok(this),
            Some(login) => this.log_in(login).await,
        }
    }

    /// Sends a request; returns how much of its answer is to be read now.
    async fn send(&mut self, api: Api, body: &[u8]) -> Result<usize> {
        let failed = |error: std::io::Error| unavailable(format!("{}: {error}", api.name));
        self.correlation = self.correlation.wrapping_add(1);
        let mut bytes = protocol::request(api, self.correlation, CLIENT, body);
        let length = (bytes.len() as u32).to_be_bytes();
        bytes.splice(0..0, length);
        self.stream.write_all(&bytes).await.map_err(failed)?;
        self.stream.flush().await.map_err(failed)?;
        let length = self.stream.read_i32().await.map_err(failed)?;
        let correlation = self.stream.read_i32().await.map_err(failed)?;
        match usize::try_from(length) {
            Ok(length @ 4..) if correlation == self.correlation => Ok(length - 4),
            _ => Err(unavailable(format!("{}: the answer is not one of Kafka's", api.name))),
        }
    }

    /// Reads so many bytes; how long that may take depends on the line, but nothing may come for [`ANSWER`] at the most.
    async fn read(&mut self, api: Api, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let piece = async {
                let read = self.stream.read(&mut bytes[filled..]).await;
                read.map_err(|error| unavailable(format!("{}: {error}", api.name)))
            };
            match within(ANSWER, piece).await? {
                0 => return Err(unavailable(format!("{}: the broker has closed the connection", api.name))),
                read => filled += read,
            }
        }
        Ok(bytes.into())
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn ask(mut self, api: Api, body: &[u8]) -> Result<(Self, Bytes)> {
        let length = self.send(api, body).await?;
        if length > ANSWER_MOST {
            return Err(unavailable(format!(
                "{}: the answer takes {length} bytes, at most {ANSWER_MOST} are read",
                api.name
            )));
        }
        let answer = self.read(api, length).await?;
        Ok((self, answer))
    }

    /// Sends a request. How much of the answer is read is decided when its length is known.
    pub(super) async fn ask_for(mut self, api: Api, body: &[u8]) -> Result<Pending> {
        let length = self.send(api, body).await?;
        Ok(Pending { connection: self, api, length })
    }

    async fn check_versions(self, address: &str) -> Result<Self> {
        let (this, answer) = self.ask(protocol::API_VERSIONS, &[]).await?;
        let (error, versions) = protocol::api_versions(answer).map_err(|_| malformed(protocol::API_VERSIONS))?;
        if error != 0 {
            return Err(unavailable(format!("{address}: {}", protocol::error_name(error))));
        }
        for api in [protocol::FETCH, protocol::LIST_OFFSETS, protocol::METADATA] {
            let spoken = versions.iter().find(|(key, ..)| *key == api.key);
            if !spoken.is_some_and(|(_, oldest, newest)| (*oldest..=*newest).contains(&api.version)) {
                return Err(unavailable(format!(
                    "{address} does not speak version {} of {}; Kafka 2.1 or newer is needed",
                    api.version, api.name
                )));
            }
        }
        Ok(this)
    }

    async fn log_in(self, login: &Login) -> Result<Self> {
        let name = login.mechanism.name();
        let (mut this, answer) = self.ask(protocol::SASL_HANDSHAKE, &protocol::sasl_handshake_request(name)).await?;
        let (error, offered) = protocol::sasl_handshake(answer).map_err(|_| malformed(protocol::SASL_HANDSHAKE))?;
        if error != 0 {
            return Err(unavailable(format!(
                "authentication: {}; {name} was asked for, there is {}",
                protocol::error_name(error),
                offered.join(", ")
            )));
        }
        // Never with what was said: that may hold the password.
        let failed = || unavailable(format!("authentication with {name} failed"));
        let config = SASLConfig::with_credentials(None, login.username.clone(), login.password.clone());
        let client = SASLClient::new(config.map_err(|_| failed())?);
        let name = Mechname::parse(name.as_bytes()).map_err(|_| failed())?;
        let mut session = client.start_suggested(&[name]).map_err(|_| failed())?;
        let mut heard: Option<Bytes> = None;
        loop {
            let mut said = Cursor::new(Vec::new());
            let state = session.step(heard.as_deref(), &mut said).map_err(|_| failed())?;
            if state.has_sent_message() {
                let body = protocol::sasl_authenticate_request(said.get_ref());
                let (connection, answer) = this.ask(protocol::SASL_AUTHENTICATE, &body).await?;
                this = connection;
                let (error, message, answer) =
                    protocol::sasl_authenticate(answer).map_err(|_| malformed(protocol::SASL_AUTHENTICATE))?;
                if error != 0 {
                    let why = message.unwrap_or_else(|| protocol::error_name(error));
                    return Err(unavailable(format!("authentication: {why}")));
                }
                heard = Some(answer);
            }
            if state.is_finished() {
                return Ok(this);
            }
        }
    }
}

/// A connection on which an answer is on its way.
pub(super) struct Pending {
    connection: Connection,
    api: Api,
    length: usize,
}

impl Pending {
    /// How long the answer is, in bytes.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Reads all of it.
    pub(super) async fn whole(mut self) -> Result<(Connection, Bytes)> {
        let answer = self.connection.read(self.api, self.length).await?;
        Ok((self.connection, answer))
    }

    /// Reads so many bytes of it, and closes the connection.
    pub(super) async fn beginning(mut self, length: usize) -> Result<Bytes> {
        self.connection.read(self.api, length.min(self.length)).await
    }
}

/// For an answer that is none.
pub(super) fn malformed(api: Api) -> crate::domain::Error {
    unavailable(format!("{}: the answer is not one of Kafka's", api.name))
}
