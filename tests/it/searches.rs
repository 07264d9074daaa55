//! Searches: what they may take from others, what they may cost, and what becomes of them when nobody waits any more.

use crate::support::{DEADLINE, Database, Program, Proxy, Server, eventually};
use serde_json::{Value, json};
use udaconnect::codec::proto::ListConnectionsRequest;
use udaconnect::codec::proto::connection_service_client::ConnectionServiceClient;

/// A month of its own that nobody can read for now: searches in it wait, everything else goes on.
const OLD: &str = "start_date=2026-01-01&end_date=2026-01-31";

struct Held {
    database: Database,
    person: i64,
    lock: tokio_postgres::Client,
}

impl Held {
    async fn new() -> Self {
        let database = Database::new().await;
        let client = database.client().await;
        let person: i64 = client
            .query_one(
                "INSERT INTO person (first_name, last_name, company_name) VALUES ('a', 'b', 'c') RETURNING id",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        let lock = database.client().await;
        client
            .batch_execute("SELECT location_make_partition('2026-01-01'); SELECT location_make_partition('2026-06-01')")
            .await
            .unwrap();
        lock.batch_execute("BEGIN; LOCK TABLE location_2026_01").await.unwrap();
        Self { database, person, lock }
    }

    fn slow(&self) -> String {
        format!("/api/persons/{}/connections?{OLD}", self.person)
    }

    /// How many wait for the lock, or do anything else there.
    async fn active(&self) -> i64 {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        self.database.number(sql).await
    }

    async fn active_is(&self, count: i64) {
        eventually(&format!("{count} searches at work"), || async { (self.active().await == count).then_some(()) })
            .await;
    }

    fn location(&self, second: i64) -> Value {
        json!({"person_id": self.person, "latitude": 35.0, "longitude": -106.5,
            "creation_time": format!("2026-06-02T10:00:{second:02}Z")})
    }
}

async fn metrics(server: &Server) -> String {
    server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap()
}

/// The value of a metric, with its labels as they are written; 0 while it is not there.
async fn metric(server: &Server, name: &str) -> f64 {
    let text = metrics(server).await;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn slow_searches_do_not_hold_up_what_is_quick() {
    let held = Held::new().await;
    let url = held.database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_STATEMENT_TIMEOUT", "600"),
        ("DATABASE_POOL_SIZE", "8"),
        ("DATABASE_SEARCH_POOL_SIZE", "8"),
    ];
    let server = Server::with(&variables).await;
    let asked: Vec<_> = (0..24).map(|_| tokio::spawn(server.http.get(server.url(&held.slow())).send())).collect();
    held.active_is(8).await;
    for second in 0..20 {
        assert_eq!(server.post("/api/locations", &held.location(second)).await.0, 201);
        assert_eq!(server.get(&format!("/api/persons/{}", held.person)).await.0, 200);
    }
    assert_eq!(server.get_any("/readyz").await, 200);
    eventually("the others to wait", || async {
        (metric(&server, "udaconnect_searches_waiting").await == 16.0).then_some(())
    })
    .await;
    assert_eq!(metric(&server, "udaconnect_searches_under_way").await, 8.0);
    held.lock.batch_execute("ROLLBACK").await.unwrap();
    for asked in asked {
        assert_eq!(asked.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(metric(&server, "udaconnect_searches_under_way").await, 0.0);
}

#[tokio::test]
async fn a_query_that_is_too_much_for_its_time_is_told_how_much_was_not() {
    let database = Database::new().await;
    let client = database.client().await;
    client.batch_execute("SELECT location_make_partition('2026-06-01')").await.unwrap();
    let person = "INSERT INTO person (first_name, last_name, company_name) VALUES ('a', 'b', 'c') RETURNING id";
    let mut ids = Vec::new();
    // Two who stand at one place: one tells of it every second, the other a hundred times a second.
    for (times, every) in [(10_000, "1 s"), (1_000_000, "10 ms")] {
        let id: i64 = client.query_one(person, &[]).await.unwrap().get(0);
        let coordinate = "ST_SetSRID(ST_MakePoint(-106.5, 35), 4326)::geography";
        let cell = udaconnect::geo::cell_of(udaconnect::geo::Coordinate::new(35.0, -106.5).unwrap()).get();
        let sql = format!(
            "INSERT INTO location (event_id, person_id, creation_time, coordinate, cell)
             SELECT 1, {id}, timestamptz '2026-06-02 10:00Z' + i * interval '{every}', {coordinate}, {cell}
             FROM generate_series(1, {times}) AS i"
        );
        client.batch_execute(&sql).await.unwrap();
        ids.push(id);
    }
    client.batch_execute("VACUUM ANALYZE location").await.unwrap();
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("DATABASE_STATEMENT_TIMEOUT", "1")]).await;
    let (status, problem) = server.get(&format!("/api/persons/{}/connections?distance=10", ids[0])).await;
    assert_eq!(status, 400, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("shorter range"), "{detail}");
    // What is less is answered, be the machine ever so busy at times.
    let less = "start_date=2026-06-02T10:00:00Z&end_date=2026-06-02T10:00:09Z&distance=10";
    eventually("an answer", || async {
        (server.get_any(&format!("/api/persons/{}/connections?{less}", ids[0])).await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_search_that_cannot_begin_in_time_is_told_so() {
    let held = Held::new().await;
    let url = held.database.url();
    let variables =
        [("DATABASE_URL", url.as_str()), ("DATABASE_STATEMENT_TIMEOUT", "4"), ("DATABASE_SEARCH_POOL_SIZE", "1")];
    let server = Server::with(&variables).await;
    let first = tokio::spawn(server.http.get(server.url(&held.slow())).send());
    held.active_is(1).await;
    let second = server.http.get(server.url(&held.slow())).send().await.unwrap();
    assert_eq!(second.status(), 503);
    assert!(second.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(first.await.unwrap().unwrap().status(), 503);
    assert!(metric(&server, "udaconnect_searches_refused_total").await >= 1.0);
    held.lock.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(server.get(&held.slow()).await.0, 200);
}

#[tokio::test]
async fn what_is_refused_costs_no_connection() {
    let held = Held::new().await;
    held.lock.batch_execute("ROLLBACK").await.unwrap();
    let server = Server::start(&held.database).await;
    let person = held.person;
    let made = async || metric(&server, "udaconnect_database_connections_made_total").await;
    let refused = [
        "/api/persons/999/connections".to_owned(),
        format!("/api/persons/{person}/connections/999"),
        format!("/api/persons/999/connection?{OLD}"),
        "/api/persons/999/days".to_owned(),
        "/api/persons/999/locations".to_owned(),
    ];
    for path in &refused {
        assert_eq!(server.get(path).await.0, 404);
    }
    let before = made().await;
    for path in refused.iter().cycle().take(50) {
        assert_eq!(server.get(path).await.0, 404);
    }
    assert!(before > 0.0);
    // One at a time: what is given back serves the next. The probe of readiness may have made one of its own.
    assert!(made().await <= before + 2.0, "{before} connections before, {} now", made().await);
}

#[tokio::test]
async fn what_nobody_waits_for_is_ended() {
    let held = Held::new().await;
    let url = held.database.url();
    // Nothing else would end them.
    let server = Server::with(&[("DATABASE_URL", url.as_str()), ("DATABASE_STATEMENT_TIMEOUT", "3600")]).await;
    let mut asked = Vec::new();
    for i in 0..300 {
        let path = match i % 3 {
            0 => held.slow(),
            1 => format!("/api/persons/{}/connection?{OLD}", held.person),
            _ => format!("/api/persons/{}/locations?{OLD}", held.person),
        };
        // A connection of its own, which ends with its client.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = server.url(&path);
        asked.push(tokio::spawn(async move { client.get(url).send().await.map(|answer| answer.status()) }));
    }
    let mut grpc = ConnectionServiceClient::connect(server.grpc.clone()).await.unwrap();
    let request = ListConnectionsRequest {
        person_id: held.person,
        to: Some(prost_types::Timestamp { seconds: 1_769_000_000, nanos: 0 }),
        ..Default::default()
    };
    asked.push(tokio::spawn(async move {
        grpc.list_connections(request).await.map(|_| reqwest::StatusCode::OK).map_err(|_| unreachable!())
    }));
    held.active_is(8).await;
    eventually("the others to wait", || async {
        (metric(&server, "udaconnect_searches_waiting").await >= 250.0).then_some(())
    })
    .await;
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    // The lock is still held.
    held.active_is(0).await;
    eventually("an empty line", || async {
        let line = metric(&server, "udaconnect_searches_waiting").await;
        (line == 0.0 && metric(&server, "udaconnect_searches_under_way").await == 0.0).then_some(())
    })
    .await;
    // It waits in the same line, and needs no locked table.
    let (status, answer) = server.get("/api/persons").await;
    assert_eq!(status, 200, "{answer}\n{}", server.program.log());
}

#[tokio::test]
async fn what_nobody_waits_for_counts_until_the_server_knows() {
    let held = Held::new().await;
    let network = Proxy::to(held.database.port()).await;
    let url = held.database.url_at(network.port);
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_CONNECT_TIMEOUT", "600"),
        ("DATABASE_STATEMENT_TIMEOUT", "3600"),
        ("DATABASE_SEARCH_POOL_SIZE", "2"),
    ];
    let server = Server::with(&variables).await;
    let asked: Vec<_> = (0..2)
        .map(|_| {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let url = server.url(&held.slow());
            tokio::spawn(async move { client.get(url).send().await.map(|answer| answer.status()) })
        })
        .collect();
    held.active_is(2).await;
    network.freeze();
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("both to be given up", || async {
        (metric(&server, "udaconnect_database_statements_cancelled_total").await >= 2.0).then_some(())
    })
    .await;
    // The server still works on them: others would be more than it is to have.
    assert_eq!(held.active().await, 2);
    assert_eq!(metric(&server, "udaconnect_searches_under_way").await, 2.0);
    // It cannot be told for ever.
    network.cut();
    eventually("an end", || async { (metric(&server, "udaconnect_searches_under_way").await == 0.0).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_counted_logged_and_named() {
    let held = Held::new().await;
    let url = held.database.url();
    let server = Server::with(&[("DATABASE_URL", url.as_str()), ("REQUEST_TIMEOUT", "1")]).await;
    let response = server
        .http
        .get(server.url(&held.slow()))
        .header("x-request-id", "too-slow-7")
        .header("origin", "https://app.example.org")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["x-request-id"], "too-slow-7");
    assert!(response.headers().contains_key("access-control-allow-origin"), "a page must be able to read it");
    let counted =
        "udaconnect_http_requests_total{method=\"GET\",route=\"/api/persons/{id}/connections\",status=\"503\"}";
    assert_eq!(metric(&server, counted).await, 1.0);
    let logged = |id: &str| {
        let log = server.program.log();
        log.lines().filter(|line| line.contains("not done in time") && line.contains(id)).count()
    };
    eventually("a log line", || async { (logged("too-slow-7") > 0).then_some(()) }).await;
    assert_eq!(logged("too-slow-7"), 1);

    // The caller's own deadline, in gRPC.
    let mut client = ConnectionServiceClient::connect(server.grpc.clone()).await.unwrap();
    let mut request = tonic::Request::new(ListConnectionsRequest {
        person_id: held.person,
        to: Some(prost_types::Timestamp { seconds: 1_769_000_000, nanos: 0 }),
        ..Default::default()
    });
    request.metadata_mut().insert("grpc-timeout", "900m".parse().unwrap());
    request.metadata_mut().insert("x-request-id", "too-slow-8".parse().unwrap());
    let status = tokio::time::timeout(DEADLINE, client.list_connections(request)).await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "too-slow-8");
    let counted = "udaconnect_grpc_calls_total{method=\"/udaconnect.v1.ConnectionService/ListConnections\",code=\"4\"}";
    assert_eq!(metric(&server, counted).await, 1.0);
    eventually("a log line", || async { (logged("too-slow-8") > 0).then_some(()) }).await;
}

/// The most memory that a program has had, MB.
fn most_memory(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1_024
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_costs_bounded_memory() {
    let held = Held::new().await;
    held.lock.batch_execute("ROLLBACK").await.unwrap();
    let client = held.database.client().await;
    // Somebody in 60,000 places all over the world; two who stand beside each other for a week, a fix a second, and a crowd with them.
    client
        .batch_execute(
            "INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, 60)",
        )
        .await
        .unwrap();
    let server = Server::start(&held.database).await;
    let wanderer = held.person;
    let (early, stander) = (wanderer + 1, wanderer + 2);
    // Through the API, so that cells are right.
    let post = async |locations: Vec<Value>| {
        for batch in locations.chunks(5_000) {
            let (status, answer) = server.post("/api/locations/batch", &json!(batch)).await;
            assert_eq!((status, &answer["refused"]), (200, &json!(0)), "{}", answer["detail"]);
        }
    };
    let time = |second: i64| {
        chrono::DateTime::from_timestamp(1_780_300_000 + second, 0)
            .unwrap()
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let places = (0..60_000_i64).map(|i| {
        json!({"person_id": wanderer, "latitude": (i % 340) as f64 * 0.5 - 85.0, "longitude": (i / 340) as f64 * 1.9 - 170.0,
            "creation_time": time(i * 20)})
    });
    post(places.collect()).await;
    for who in -1..3_i64 {
        let fixes = (0..if who < 0 { 10 } else { 60_000 }).map(|i: i64| {
            json!({"person_id": stander + who, "latitude": 35.0 + ((i * 7 + who + 1) % 11) as f64 * 2e-6, "longitude": -106.5,
                "creation_time": time(i)})
        });
        post(fixes.collect()).await;
    }
    client.batch_execute("VACUUM (ANALYZE) location").await.unwrap();
    let api = Program::start(
        &["serve-api"],
        &[("DATABASE_URL", held.database.url().as_str()), ("LISTEN_ADDR", "127.0.0.1:0")],
    );
    let address = format!("http://{}", api.logged("serving the API", "address").await);
    let ask = async |path: String| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("{address}{path}")).send().await.unwrap();
        let (status, length) = (response.status().as_u16(), response.bytes().await.map(|body| body.len()));
        (path, status, length.unwrap_or(0))
    };
    let questions = [
        format!("/api/persons/{wanderer}/connections?distance=1000"),
        format!("/api/persons/{wanderer}/connection?distance=1000&start_date=2026-01-01&end_date=2026-12-31"),
        format!("/api/persons/{wanderer}/connection?distance=1000&within=60&start_date=2026-01-01&end_date=2026-12-31"),
        format!("/api/persons/{stander}/connections?within=0&gap=0"),
        format!("/api/persons/{}/connections?within=0&gap=0&include=encounters", stander + 1),
        format!("/api/persons/{stander}/connections/{}?within=0&gap=0", stander + 1),
        format!("/api/persons/{stander}/connections?distance=1000&within=86400"),
        format!("/api/persons/{stander}/connection?distance=1000&start_date=2026-01-01&end_date=2026-12-31"),
    ];
    for (path, status, length) in futures_util::future::join_all(questions.iter().cloned().map(ask)).await {
        eprintln!("{path}: {status}, {length} bytes");
        assert!(matches!(status, 200 | 400 | 503), "{path}: {status}");
    }
    for (path, status, _) in futures_util::future::join_all(questions.iter().cycle().take(16).cloned().map(ask)).await {
        assert!(matches!(status, 200 | 400 | 503), "{path}: {status}");
    }
    // More encounters than are kept one by one, and all of them counted; those of the first page are listed.
    let met = async |more: &str| -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{address}/api/persons/{stander}/connections?within=0&gap=0{more}");
        let response = client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    };
    let (status, all) = met("").await;
    assert_eq!(status, 200, "{all}");
    let counts: Vec<_> =
        all.as_array().unwrap().iter().map(|met| (met["person"]["id"].as_i64(), met["encounters"].as_i64())).collect();
    let expected = [(early, 10), (stander + 1, 60_000), (stander + 2, 60_000)];
    assert_eq!(counts, expected.map(|(person, count)| (Some(person), Some(count))));
    let (status, page) = met("&include=encounters").await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(page.as_array().unwrap().len(), 1);
    assert_eq!(page[0]["met"].as_array().unwrap().len(), 10);
    let most = most_memory(&api);
    eprintln!("{most} MB");
    assert!(most <= 128, "{most} MB");
}
