//! Bodies that are small when they are sent and large when they are unpacked or understood.

use crate::support::{DEADLINE, Database, Server};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

/// What all that is thrown at it in a test may cost the server, bytes.
const COST: usize = 64 << 20;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn brotli(text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    brotli::CompressorWriter::new(&mut packed, 4096, 1, 22).write_all(text).unwrap();
    packed
}

/// The largest amount of memory beyond what there was while this is done.
async fn cost<T>(server: &Server, work: impl Future<Output = T>) -> (usize, T) {
    let before = server.program.memory();
    let mut most = before;
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return (most - before, done),
            () = tokio::time::sleep(Duration::from_millis(5)) => most = most.max(server.program.memory()), // polls
        }
    }
}

async fn post(server: &Server, path: &str, kind: &str, coding: &str, body: Vec<u8>) -> (u16, Value) {
    let request = server.http.post(server.url(path)).header("content-type", kind).header("content-encoding", coding);
    let answer = tokio::time::timeout(DEADLINE, request.body(body).send()).await.unwrap().unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn packed_bodies_are_unpacked_within_bounds_however_they_are_packed() {
    // Before there are connections, which would be idle for too long meanwhile.
    let zeros = vec![b' '; 200 << 20];
    let packed = gzip(&zeros);
    let bombs =
        [("gzip", packed.clone()), ("deflate", zlib(&zeros)), ("br", brotli(&zeros)), ("gzip, gzip", gzip(&packed))];
    drop(zeros);
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let location = json!({"person_id": person, "latitude": 35, "longitude": -106.5}).to_string();
    let location = location.as_bytes();
    for (coding, body) in [
        ("gzip", gzip(location)),
        ("X-GZIP", gzip(location)),
        ("deflate", zlib(location)),
        ("br", brotli(location)),
        ("identity", location.to_vec()),
        ("gzip, br", brotli(&gzip(location))),
        ("deflate, identity, gzip", gzip(&zlib(location))),
    ] {
        let (status, answer) = post(&server, "/api/locations", "application/json", coding, body).await;
        assert_eq!(status, 201, "{coding}: {answer}");
    }
    for coding in ["zstd", "compress", "gzip, nonsense", "gzip, gzip, gzip, gzip"] {
        let (status, problem) = post(&server, "/api/locations", "application/json", coding, location.to_vec()).await;
        assert_eq!((status, problem["errors"][0]["field"].as_str()), (415, Some("Content-Encoding")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("gzip, deflate, br"), "{problem}");
    }
    for coding in ["gzip", "deflate", "br"] {
        let (status, _) = post(&server, "/api/locations", "application/json", coding, b"nonsense".to_vec()).await;
        assert_eq!(status, 400, "{coding}");
    }

    let paths = ["/api/locations", "/api/locations/batch", "/api/persons", "/api/locations/owntracks"];
    let all = bombs.iter().flat_map(|bomb| paths.map(|path| (path, bomb))).cycle().take(64);
    let (cost, answers) = cost(
        &server,
        futures_util::future::join_all(all.map(|(path, (coding, body))| {
            let server = &server;
            async move { (path, coding, post(server, path, "application/json", coding, body.clone()).await) }
        })),
    )
    .await;
    for (path, coding, (status, problem)) in answers {
        // Or there was no room for it within the time that a body may take, on a slow machine.
        assert!(status == 413 || status == 429, "{path} {coding}: {problem}");
    }
    assert!(cost < COST, "{cost}");
}

#[tokio::test]
async fn a_batch_is_counted_before_it_is_built() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    const SIZE: usize = 8 << 20;
    let filled = |begin: &str, item: &str, end: &str| {
        format!("{begin}{}{end}", item.repeat((SIZE - begin.len() - end.len()) / item.len())).into_bytes()
    };
    let bodies = [
        ("application/x-ndjson", filled("", "x\n", ""), 413),
        ("application/x-ndjson", filled("", "[]\n", ""), 413),
        ("application/json", filled("[0", ",0", "]"), 413),
        ("application/json", filled("[[]", ",[]", "]"), 413),
        ("application/json", filled("[[0", ",0", "]]"), 200),
        ("application/json", filled("[{\"latitude\":[0", ",0", "]}]"), 200),
        ("application/json", filled("[{\"a\":0", ",\"latitud\":0", "}]"), 200),
        ("application/json", filled("[{\"a", "é", "\":0}]"), 200),
        ("application/json", filled("", "[", ""), 400),
        ("application/json", filled("{\"a\":0", ",\"a\":0", "}"), 400),
        ("application/json", format!("[{}{}]", "[".repeat(SIZE / 2 - 1), "]".repeat(SIZE / 2 - 1)).into_bytes(), 200),
    ];
    for (i, (kind, body, expected)) in bodies.iter().enumerate() {
        let (cost, (status, answer)) =
            cost(&server, post(&server, "/api/locations/batch", kind, "identity", body.clone())).await;
        let answer = answer.to_string();
        assert_eq!(status, *expected, "{i}: {}", answer.chars().take(1_000).collect::<String>());
        assert!(answer.len() < 4_000, "{i}: {}", answer.len());
        assert!(cost < COST / 2, "{i}: {cost}");
    }
    // All at once.
    let all = bodies.iter().cycle().take(33).map(|(kind, body, _)| {
        let server = &server;
        async move { post(server, "/api/locations/batch", kind, "identity", body.clone()).await.0 }
    });
    let (cost, statuses) = cost(&server, futures_util::future::join_all(all)).await;
    for (status, (_, _, expected)) in statuses.into_iter().zip(bodies.iter().cycle()) {
        assert!(status == *expected || status == 429, "{status} and not {expected}");
    }
    assert!(cost < COST, "{cost}");
}

#[tokio::test]
async fn ten_thousand_refusals_are_told_in_few_words() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let item = json!({"person_id": "x".repeat(100), "latitude": true, "longitude": "y".repeat(100), "creation_time": "z".repeat(100),
        "personid": 1, "latitud": 2, "longitud": 3, "creationtime": 4, "accuracym": 5, "accuracy": 6});
    let (status, answer) = server.post("/api/locations/batch", &json!(vec![item; 10_000])).await;
    assert_eq!((status, &answer["refused"]), (200, &json!(10_000)));
    let items = answer["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["status"] == "refused" && !item["errors"].as_array().unwrap().is_empty()));
    assert!(items[0]["errors"].as_array().unwrap().iter().any(|error| error["field"] == "latitude"), "{}", items[0]);
    assert!(answer.to_string().len() < 4 << 20, "{}", answer.to_string().len());
}
