//! Connections that say nothing, and streams that promise much.

use super::{enforce, people, within_the_limit};
use crate::support::{Database, Program, Server, TOPIC, Worker, kafka_variables};
use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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

/// Opens them and keeps them; a server may refuse some.
async fn silent(address: &str, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let connecting = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address));
        let Ok(Ok(mut connection)) = connecting.await else { continue };
        let _ = connection.write_all(first).await;
        open.push(connection);
    }
    open
}

/// So much is said on each, and then nothing more.
async fn on_all_ports(what: &str, first: &[u8]) {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    enforce(server.program.pid().unwrap());
    let page = server.program.logged("serving the web app", "address").await;
    let addresses = [&server.api["http://".len()..], &server.grpc["http://".len()..], &page];
    let mut open = Vec::new();
    for address in addresses {
        open.push(silent(address, many(), first).await);
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
    on_all_ports("silent", b"").await;
}

#[tokio::test]
async fn connections_that_begin_a_request() {
    let large = format!(
        "POST /api/locations/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\nX: {}",
        "x".repeat(8_000)
    );
    on_all_ports("headers without end", large.as_bytes()).await;
}

#[tokio::test]
async fn connections_that_begin_a_body() {
    let large = format!(
        "POST /api/locations/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n[{}",
        " ".repeat(30_000)
    );
    on_all_ports("bodies without end", large.as_bytes()).await;
}

#[tokio::test]
async fn connections_that_say_the_preface_of_http_2() {
    on_all_ports("h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
}

#[tokio::test]
async fn silent_connections_to_a_worker() {
    let database = Database::new().await;
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    let worker = Worker::start(&kafka_variables(&database, &mock.bootstrap_servers())).await;
    enforce(worker.program.pid().unwrap());
    let open = silent(worker.address(), many(), b"GET /livez HTTP/1.1\r\n").await;
    within_the_limit(&format!("{} connections to a worker", open.len()), &worker.program);
}

/// So many connections of so many streams, each of which claims a message of this size and sends as much of it as is taken.
async fn promise(what: &str, path: &'static str, connections: usize, streams: usize, size: usize) {
    let database = Database::new().await;
    people(&database, 1).await;
    let server = Program::start(&["serve-grpc"], &[("DATABASE_URL", &database.url()), ("LISTEN_ADDR", "127.0.0.1:0")]);
    let address = server.logged("serving gRPC", "address").await;
    enforce(server.pid().unwrap());
    let message = Bytes::from(vec![0; size]);
    let mut open = Vec::new();
    for _ in 0..connections {
        let connecting = async {
            let stream = TcpStream::connect(&address).await.ok()?;
            h2::client::Builder::new().handshake::<_, Bytes>(stream).await.ok()
        };
        let Ok(Some((client, connection))) = tokio::time::timeout(Duration::from_secs(5), connecting).await else {
            continue;
        };
        let driving = tokio::spawn(async move {
            let _ = connection.await;
        });
        for _ in 0..streams {
            let ready = tokio::time::timeout(Duration::from_secs(2), client.clone().ready()).await;
            let Ok(Ok(mut client)) = ready else { break };
            let request = http::Request::post(format!("http://a{path}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())
                .unwrap();
            let Ok((answer, mut body)) = client.send_request(request, false) else { break };
            // Not packed, and as long as a message may be. What the windows do not take stays here; the stream stays open.
            let mut head = vec![0];
            head.extend((size as u32).to_be_bytes());
            let _ = body.send_data(head.into(), false);
            let _ = body.send_data(message.slice(1..), false);
            open.push((answer, body));
        }
        drop(driving);
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
