//! gRPC from clients that do not keep to it: raw frames over HTTP/2.

use crate::support::{DEADLINE, Database, Phone, Program, Server, eventually, location};
use bytes::Bytes;
use h2::client::SendRequest;
use prost::Message;
use std::io::Write;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

const RECORD: &str = "/udaconnect.v1.LocationService/RecordLocation";
const STREAM: &str = "/udaconnect.v1.LocationService/StreamLocations";

fn address(server: &Server) -> &str {
    server.grpc.strip_prefix("http://").unwrap()
}

async fn connect(server: &Server) -> SendRequest<Bytes> {
    let io = TcpStream::connect(address(server)).await.unwrap();
    let (client, connection) = h2::client::handshake(io).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A message with the flag and the length before it.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn request(path: &str, encoding: Option<&str>) -> http::Request<()> {
    let request = http::Request::post(format!("http://x{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    match encoding {
        Some(encoding) => request.header("grpc-encoding", encoding).body(()).unwrap(),
        None => request.body(()).unwrap(),
    }
}

/// Sends a body as it is, and tells status and text of the answer.
async fn call(client: &SendRequest<Bytes>, path: &str, encoding: Option<&str>, body: &[u8]) -> (Code, String) {
    let mut client = client.clone().ready().await.unwrap();
    let (answer, mut send) = client.send_request(request(path, encoding), false).unwrap();
    let mut body = Bytes::copy_from_slice(body);
    let sent = async {
        while !body.is_empty() {
            send.reserve_capacity(body.len());
            match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
                Some(Ok(room)) => {
                    let part = body.split_to(room.min(body.len()));
                    if send.send_data(part, false).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
        let _ = send.send_data(Bytes::new(), true);
    };
    let (_, answer) = tokio::time::timeout(DEADLINE, async { tokio::join!(sent, answer) }).await.unwrap();
    let (head, mut body) = answer.unwrap().into_parts();
    let headers = if head.headers.contains_key("grpc-status") {
        head.headers
    } else {
        while let Some(part) = body.data().await {
            let _ = body.flow_control().release_capacity(part.unwrap().len());
        }
        body.trailers().await.unwrap().unwrap()
    };
    let status = tonic::Status::from_header_map(&headers).unwrap();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn what_cannot_be_read_is_the_callers_error() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let client = connect(&server).await;
    let good = udaconnect::codec::proto::RecordLocationRequest { location: Some(location(person, 1)) };
    let good = good.encode_to_vec();
    for path in
        [RECORD, STREAM, "/udaconnect.v1.PersonService/GetPerson", "/udaconnect.v1.ConnectionService/ListConnections"]
    {
        for (what, encoding, body, expected) in [
            ("no protobuf", None, framed(0, b"\xff\xff\xff"), Code::InvalidArgument),
            ("cut short", None, framed(0, &[0x0a, 200, 1, 1]), Code::InvalidArgument),
            ("a group", None, framed(0, &[0x0b, 0x0b, 0x0b]), Code::InvalidArgument),
            ("half a message", None, framed(0, &good)[..7].to_vec(), Code::InvalidArgument),
            ("half a head", None, vec![0, 0], Code::InvalidArgument),
            ("a flag that is none", None, framed(7, &good), Code::InvalidArgument),
            ("packed without a word", None, framed(1, &gzip(&good)), Code::InvalidArgument),
            ("no gzip", Some("gzip"), framed(1, b"nonsense"), Code::InvalidArgument),
            ("unknown packing", Some("snappy"), framed(1, &good), Code::Unimplemented),
            ("too large", None, framed(0, &vec![0; (1 << 20) + 1]), Code::ResourceExhausted),
            ("a bomb", Some("gzip"), framed(1, &gzip(&vec![0; 100 << 20])), Code::ResourceExhausted),
        ] {
            let (code, message) = call(&client, path, encoding, &body).await;
            assert_eq!(code, expected, "{path}: {what}: {message}");
        }
    }
    assert_eq!(call(&client, RECORD, None, &framed(0, &good)).await.0, Code::Ok);
    let larger =
        udaconnect::codec::proto::RecordLocationRequest { location: Some(location(person, 2)) }.encode_to_vec();
    assert_eq!(call(&client, RECORD, Some("gzip"), &framed(1, &gzip(&larger))).await, (Code::Ok, String::new()));
    assert_eq!(call(&client, RECORD, Some("gzip"), &framed(0, &good)).await.0, Code::Ok, "it need not be packed");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 2);
    let empty = framed(0, &[0x0a, 0].repeat(10_001));
    let (code, message) = call(&client, STREAM, None, &empty).await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("at most 10000"), "{message}");
    assert!(!server.program.log().contains("ERROR"), "{}", server.program.log());
}

#[tokio::test]
async fn a_packed_stream_is_read_message_by_message() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let client = connect(&server).await;
    let mut body = Vec::new();
    for message in 0..20 {
        let locations = (0..100).map(|i| location(person, message * 100 + i)).collect();
        let message_bytes = udaconnect::codec::proto::StreamLocationsRequest { locations }.encode_to_vec();
        body.extend(if message % 3 == 0 { framed(0, &message_bytes) } else { framed(1, &gzip(&message_bytes)) });
    }
    assert_eq!(call(&client, STREAM, Some("gzip"), &body).await, (Code::Ok, String::new()));
    assert_eq!(database.number("SELECT count(*) FROM location").await, 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_messages_may_all_come_before_a_call_has_begun() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let mut calls = Vec::new();
    for i in 0..64 {
        let client = connect(&server).await;
        for j in 0..4 {
            let locations = (0..1_000).map(|k| location(person, (i * 4 + j) * 1_000 + k)).collect();
            let message = udaconnect::codec::proto::StreamLocationsRequest { locations }.encode_to_vec();
            let client = client.clone();
            calls.push(tokio::spawn(async move { call(&client, STREAM, None, &framed(0, &message)).await }));
        }
    }
    for answer in futures_util::future::join_all(calls).await {
        let (code, message) = answer.expect("a connection that is not cut");
        assert!(matches!(code, Code::Ok | Code::ResourceExhausted), "{code:?}: {message}");
    }
}

#[tokio::test]
async fn many_bombs_in_one_piece_are_unpacked_one_after_the_other() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = connect(&server).await;
    // Each a location whose person is zero and which is followed by a megabyte that nobody knows.
    let unknown = [&[0x0a, 0, 0x7a][..], &[0x80, 0x80, 0x3f], &vec![0; 0x3f << 14]].concat();
    let bombs = framed(1, &gzip(&unknown)).repeat(200);
    let before = server.program.memory();
    let calls = (0..20).map(|_| call(&client, STREAM, Some("gzip"), &bombs));
    let mut most = 0;
    let answers = tokio::select! {
        answers = futures_util::future::join_all(calls) => answers,
        () = async {
            loop {
                most = most.max(server.program.memory().saturating_sub(before));
                tokio::time::sleep(Duration::from_millis(5)).await; // polls
            }
        } => unreachable!("it goes on for ever"),
    };
    for (code, message) in answers {
        assert!(matches!(code, Code::Ok | Code::ResourceExhausted), "{code:?}: {message}");
    }
    assert!(most < 64 << 20, "{most} bytes more than before");
}

#[tokio::test]
async fn many_large_messages_at_once_take_what_few_take() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let before = server.program.memory();
    let almost = [&framed(0, &vec![0; 1 << 20])[..5], &vec![0; 200 << 10]].concat();
    let mut open = Vec::new();
    for _ in 0..12 {
        let client = connect(&server).await;
        for _ in 0..100 {
            let mut client = client.clone().ready().await.unwrap();
            let (answer, mut send) = client.send_request(request(STREAM, None), false).unwrap();
            send.reserve_capacity(almost.len());
            let _ = send.send_data(Bytes::copy_from_slice(&almost), false);
            open.push((answer, send, client));
        }
    }
    let mut most = 0;
    for _ in 0..100 {
        most = most.max(server.program.memory().saturating_sub(before));
        tokio::time::sleep(Duration::from_millis(20)).await; // polls
    }
    assert!(most < 96 << 20, "{most}");
    // Somebody else's small ones go through.
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    assert!(phone.send(vec![location(person, 1)]).await);
    phone.acknowledged(1).await.unwrap();
}

#[tokio::test]
async fn silent_connections_are_closed_and_busy_ones_are_not() {
    let database = Database::new().await;
    let server =
        Server::with(&[("DATABASE_URL", &database.url()), ("GRPC_IDLE_TIMEOUT", "2"), ("GRPC_MAX_CONNECTIONS", "8")])
            .await;
    let person = server.person().await;
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    assert!(phone.send(vec![location(person, 1)]).await);
    phone.acknowledged(1).await.unwrap();
    // More than there may be: some wait until others are closed, and all are.
    let silent = (0..20).map(|i| {
        let server = &server;
        async move {
            let mut io = TcpStream::connect(address(server)).await.unwrap();
            if i % 2 == 0 {
                let _ = io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
            }
            let mut rest = Vec::new();
            let _ =
                tokio::time::timeout(DEADLINE, io.read_to_end(&mut rest)).await.expect("the connection to be closed");
        }
    });
    futures_util::future::join_all(silent).await;
    assert!(phone.send(vec![location(person, 2)]).await, "a stream is not silence");
    phone.acknowledged(2).await.unwrap();
}

#[tokio::test]
async fn calls_beyond_the_limit_are_turned_away_and_probes_are_not() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("GRPC_MAX_CALLS", "2")]).await;
    let person = server.person().await;
    let mut first = Phone::connect(&server.grpc).await.unwrap();
    let second = Phone::connect(&server.grpc).await.unwrap();
    let status = Phone::connect(&server.grpc).await.err().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(server.http.get(format!("{}/readyz", server.grpc)).send().await.unwrap().status(), 200);
    drop(second);
    eventually("room for another", || async { Phone::connect(&server.grpc).await.ok() }).await;
    assert!(first.send(vec![location(person, 1)]).await);
    first.acknowledged(1).await.unwrap();
}

/// How many descriptors the program may have open from now on.
fn limit_descriptors(program: &Program, most: u64) -> u64 {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // Safe: both point to a structure that lives as long as the call.
    unsafe {
        assert_eq!(libc::prlimit(program.pid(), libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut before), 0);
        let limit = libc::rlimit { rlim_cur: most, rlim_max: before.rlim_max };
        assert_eq!(libc::prlimit(program.pid(), libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()), 0);
    }
    before.rlim_cur
}

#[tokio::test]
async fn without_descriptors_it_waits_and_says_so_once() {
    const MESSAGE: &str = "no connection can be accepted; trying again until one can";
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let before = limit_descriptors(&server.program, 8);
    let waiting: Vec<_> = {
        let connects = (0..5).map(|_| TcpStream::connect(address(&server)));
        futures_util::future::join_all(connects).await.into_iter().map(Result::unwrap).collect()
    };
    server.program.logged(MESSAGE, "error").await;
    limit_descriptors(&server.program, before);
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    assert!(phone.send(vec![location(person, 1)]).await);
    phone.acknowledged(1).await.unwrap();
    assert_eq!(server.program.log().matches(MESSAGE).count(), 1);
    drop(waiting);
}
