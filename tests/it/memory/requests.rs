//! Bodies: packed ones, and those that hold far more things than bytes.

use super::{enforce, packed, within_the_limit};
use crate::support::{Database, Server};
use futures_util::future::join_all;

const BATCH: &str = "/api/locations/batch";
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
/// The largest body that is taken.
const LARGE: usize = 8 * 1024 * 1024;
/// Callers who send the same at once.
const CALLERS: usize = 10;

async fn start() -> (Database, Server) {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    enforce(server.program.process().unwrap());
    (database, server)
}

/// Several callers send the same; none is told that the server is at fault, and somebody else is served afterwards.
async fn send(what: &str, server: &Server, path: &str, kind: &str, encoding: Option<&str>, body: &[u8]) {
    let callers = (0..CALLERS).map(|_| async {
        let mut request = server.http.post(server.url(path)).header("content-type", kind).body(body.to_vec());
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        // An answer may come before all has been read, and cut the sending short.
        let Ok(answer) = request.send().await else { return };
        let status = answer.status();
        let _ = answer.bytes().await;
        assert!(status.as_u16() < 500, "{what}: {status}");
    });
    join_all(callers).await;
    within_the_limit(what, &server.program);
    assert_eq!(server.get_any("/livez").await, 200, "{what}");
}

#[tokio::test]
async fn bodies_packed_with_gzip() {
    let (_database, server) = start().await;
    for (what, path, kind, head) in [
        ("gzip of blanks", BATCH, JSON, "["),
        ("gzip of one line", BATCH, LINES, "{"),
        ("gzip for one location", "/api/locations", JSON, "{"),
        ("gzip for a person", "/api/persons", JSON, "{\"first_name\": \""),
        ("gzip for a phone", "/api/owntracks", JSON, "{\"_type\": \""),
    ] {
        send(what, &server, path, kind, Some("gzip"), &packed::gzip(head.as_bytes(), 512)).await;
    }
}

#[tokio::test]
async fn bodies_packed_with_brotli() {
    let (_database, server) = start().await;
    for path in [BATCH, "/api/locations", "/api/persons", "/api/owntracks"] {
        send(&format!("brotli for {path}"), &server, path, JSON, Some("br"), &packed::brotli()).await;
    }
}

#[tokio::test]
async fn bodies_packed_with_zstd_or_otherwise() {
    let (_database, server) = start().await;
    for encoding in ["zstd", "zstd, zstd", "gzip, gzip", "what"] {
        send(encoding, &server, BATCH, JSON, Some(encoding), &packed::zstd(b"[", 1_000)).await;
    }
}

/// Repeats a part until the body is as large as it may be.
fn filled(begin: &str, part: &str, end: &str) -> Vec<u8> {
    let times = (LARGE - begin.len() - end.len()) / part.len();
    [begin, &part.repeat(times), end].concat().into_bytes()
}

async fn json(what: &str, kind: &str, body: &[u8]) {
    let (_database, server) = start().await;
    for path in [BATCH, "/api/locations", "/api/persons", "/api/owntracks"] {
        if kind == JSON || path == BATCH {
            send(&format!("{what} for {path}"), &server, path, kind, None, body).await;
        }
    }
}

#[tokio::test]
async fn millions_of_lines() {
    json("lines", LINES, &filled("", "x\n", "")).await;
}

#[tokio::test]
async fn millions_of_lines_of_one_number() {
    json("numbers", LINES, &filled("", "1\n", "")).await;
}

#[tokio::test]
async fn millions_of_empty_lines() {
    json("empty lines", LINES, &filled("", "\n", "")).await;
}

#[tokio::test]
async fn a_list_of_millions_of_numbers() {
    json("numbers", JSON, &filled("[0", ",0", "]")).await;
}

#[tokio::test]
async fn a_list_of_millions_of_lists() {
    json("lists", JSON, &filled("[[]", ",[]", "]")).await;
}

#[tokio::test]
async fn lists_in_lists() {
    json("nested lists", JSON, &filled("[[[[0]]]", ",[[[[0]]],[[[0]]]]", "]")).await;
}

#[tokio::test]
async fn lists_as_deep_as_can_be() {
    json("deep lists", JSON, &filled("", "[", "")).await;
    json("deep objects", JSON, &filled("", "{\"a\":", "")).await;
}

#[tokio::test]
async fn a_location_that_is_a_list_of_millions() {
    json("a list for a number", JSON, &filled("{\"person_id\": 1, \"latitude\": [0", ",0", "]}")).await;
    json("lists for a number", JSON, &filled("{\"person_id\": 1, \"latitude\": [[]", ",[]", "]}")).await;
}

#[tokio::test]
async fn a_line_that_is_a_list_of_millions() {
    json("a list in a line", LINES, &filled("{\"person_id\": 1, \"latitude\": [0", ",0", "]}\n")).await;
}

#[tokio::test]
async fn objects_of_unknown_keys() {
    let keys: String = (0..LARGE / 14 - 10).map(|number| format!("\"k{number:07}\":0,")).collect();
    let one = format!("{{{keys}\"person_id\": 1}}");
    json("unknown keys", JSON, one.as_bytes()).await;
    let many = filled("[{\"latitud\":0}", ",{\"latitud\":0}", "]");
    json("objects with an unknown key", JSON, &many).await;
}

#[tokio::test]
async fn one_string() {
    json("a string", JSON, &filled("{\"first_name\": \"", "a", "\"}")).await;
    json("an escaped string", JSON, &filled("{\"first_name\": \"", "\\u0041", "\"}")).await;
    json("a key", JSON, &filled("{\"", "a", "\": 1}")).await;
}

#[tokio::test]
async fn ten_thousand_large_locations() {
    // As many as one request may hold, each as large as that allows, and wrong, so that each is named.
    let part = format!(",{{\"person_id\": \"{}\"}}", "9".repeat(800));
    let body = format!("[{}]", &part.repeat(9_900)[1..]);
    json("large locations", JSON, body.as_bytes()).await;
}
