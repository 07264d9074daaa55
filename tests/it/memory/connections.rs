//! Connections that say nothing, and streams that promise much.

use super::{enforce, people, within_the_limit};
use crate::support::{Database, Program, Server, TOPIC, Worker, kafka_variables};
use bytes::Bytes;
use futures_util::StreamExt;
use rdkafka::mocking::MockCluster;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Nobody is let in for so long: there are as many as the server takes.
const REFUSED: Duration = Duration::from_secs(5);

/// Connections to each address, as far as this process may have them.
fn many() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // Safe: asks for this process's own limit, and raises it as far as is allowed.
    let allowed = unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        limit.rlim_max
    };
    // Other tests run beside this one.
    (allowed as usize / 10).min(5_000)
}

/// Opens them and keeps them; a server may refuse some, or not answer.
async fn silent(address: &str, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let opening = (0..count).map(|_| async {
        // What the server does not take stays in the system's queues.
        let mut connection = TcpStream::connect(address).await.ok()?;
        connection.write_all(first).await.ok()?;
        Some(connection)
    });
    let mut opening = futures_util::stream::iter(opening).buffer_unordered(200);
    let mut open = Vec::new();
    while let Ok(Some(opened)) = tokio::time::timeout(REFUSED, opening.next()).await {
        open.extend(opened);
    }
    open
}

/// So much is said on each, and then nothing more.
async fn on_all_ports(what: &str, each: usize, first: &[u8]) {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    enforce(server.program.process().unwrap());
    let messages = ["serving the web app", "the web app is not in this program; the page says how to build it"];
    let page = server.program.logged_one_of(messages, "address").await;
    let addresses = [&server.api["http://".len()..], &server.grpc["http://".len()..], &page];
    let mut open = Vec::new();
    for address in addresses {
        open.push(silent(address, each, first).await);
    }
    let count: usize = open.iter().map(Vec::len).sum();
    within_the_limit(&format!("{count} connections, {what}"), &server.program);
    drop(open);
    crate::support::eventually("somebody to be served again", || async {
        let answer = server.http.get(server.url("/livez")).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn silent_connections() {
    on_all_ports("silent", many(), b"").await;
}

#[tokio::test]
async fn connections_that_begin_a_request() {
    let large = format!(
        "POST /api/locations/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\nX: {}",
        "x".repeat(8_000)
    );
    on_all_ports("headers without end", many() / 5, large.as_bytes()).await;
}

#[tokio::test]
async fn connections_that_begin_a_body() {
    let large = format!(
        "POST /api/locations/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n[{}",
        " ".repeat(30_000)
    );
    on_all_ports("bodies without end", many() / 5, large.as_bytes()).await;
}

#[tokio::test]
async fn connections_that_say_the_preface_of_http_2() {
    on_all_ports("h2", many() / 5, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
}

#[tokio::test]
async fn silent_connections_to_a_worker() {
    let database = Database::new().await;
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    let worker = Worker::start(&kafka_variables(&database, &mock.bootstrap_servers())).await;
    enforce(worker.program.process().unwrap());
    let open = silent(worker.address(), many(), b"GET /livez HTTP/1.1\r\n").await;
    within_the_limit(&format!("{} connections to a worker", open.len()), &worker.program);
}

/// What keeps a stream open.
type Open = (h2::client::ResponseFuture, h2::SendStream<Bytes>);

/// A connection of so many streams, as far as the server takes them.
async fn open_streams(address: &str, path: &str, streams: usize, message: &Bytes) -> Vec<Open> {
    let Ok(stream) = TcpStream::connect(address).await else { return Vec::new() };
    let Ok((mut client, connection)) = h2::client::Builder::new().handshake::<_, Bytes>(stream).await else {
        return Vec::new();
    };
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let mut open = Vec::new();
    while open.len() < streams {
        let Ok(Ok(ready)) = tokio::time::timeout(REFUSED / 10, client.ready()).await else { break };
        client = ready;
        let request = http::Request::post(format!("http://a{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let Ok((answer, mut body)) = client.send_request(request, false) else { break };
        // Not packed, and as long as a message may be. What the windows do not take stays here; the stream stays open.
        let mut head = vec![0];
        head.extend((message.len() as u32).to_be_bytes());
        let _ = body.send_data(head.into(), false);
        let _ = body.send_data(message.slice(1..), false);
        open.push((answer, body));
    }
    open
}

/// So many connections of so many streams, each of which claims a message of this size and sends as much of it as is taken.
async fn promise(what: &str, path: &'static str, connections: usize, streams: usize, size: usize) {
    let database = Database::new().await;
    people(&database, 1).await;
    let server = Program::start(&["serve-grpc"], &[("DATABASE_URL", &database.url()), ("LISTEN_ADDR", "127.0.0.1:0")]);
    let address = server.logged("serving gRPC", "address").await;
    enforce(server.process().unwrap());
    let message = Bytes::from(vec![0; size]);
    let opening = (0..connections).map(|_| open_streams(&address, path, streams, &message));
    let mut opening = futures_util::stream::iter(opening).buffer_unordered(20);
    let mut open = Vec::new();
    while let Ok(Some(opened)) = tokio::time::timeout(REFUSED, opening.next()).await {
        open.extend(opened);
    }
    // What was sent arrives when the server has answered something that was asked later.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    crate::support::eventually("somebody to be served", || async {
        http.get(format!("http://{address}/livez")).send().await.ok().map(|_| ())
    })
    .await;
    within_the_limit(&format!("{what}: {} streams", open.len()), &server);
}

#[tokio::test]
async fn streams_that_claim_four_megabytes() {
    promise("streams", "/udaconnect.v1.LocationService/StreamLocations", 100, 256, 4 * 1024 * 1024 - 5).await;
}

#[tokio::test]
async fn calls_that_claim_four_megabytes() {
    promise("calls", "/udaconnect.v1.PersonService/CreatePerson", 20, 256, 4 * 1024 * 1024 - 5).await;
}
