//! Events by REST, gRPC and on the command line.

use super::{about, channel, cli, create, fields, person};
use crate::support::{Database, Server, eventually};
use prost_types::{FieldMask, Timestamp};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;
use udaconnect::codec::proto::event_service_client::EventServiceClient;
use udaconnect::codec::proto::{
    self, CreateEventRequest, DeleteEventRequest, EncounterRule, GetEventRequest, ListEventsRequest, UpdateEventRequest,
};

fn denver() -> Value {
    json!({"slug": "sandia-2026", "name": " Sandia Days ", "time_zone": "America/Denver", "begins": "2026-06-01", "ends": "2026-06-03",
        "access": "members", "distance_m": "7.5", "within": "PT2M", "gap": 180, "retention_days": 90, "k": 10})
}

#[tokio::test]
async fn an_event_is_created_read_listed_changed_and_deleted() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let response = server.http.post(server.url("/api/events")).json(&denver()).send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/api/events/sandia-2026");
    let created: Value = response.json().await.unwrap();
    let expected = json!({"id": created["id"], "slug": "sandia-2026", "name": "Sandia Days", "time_zone": "America/Denver",
        "begins": "2026-06-01T06:00:00Z", "ends": "2026-06-04T06:00:00Z", "access": "members", "distance_m": 7.5,
        "within": 120.0, "gap": 180.0, "retention_days": 90, "k": 10});
    assert_eq!(created, expected);
    assert_eq!(server.get("/api/events/sandia-2026").await, (200, expected.clone()));

    let (status, problem) = server.post("/api/events", &denver()).await;
    assert_eq!((status, fields(&problem)), (409, vec!["slug"]), "{problem}");
    create(&server, "plain", json!({})).await;
    let (_, plain) = server.get("/api/events/plain").await;
    let defaults = json!({"id": plain["id"], "slug": "plain", "name": "The plain days", "time_zone": "UTC", "begins": null,
        "ends": null, "access": "open", "distance_m": 10.0, "within": 300.0, "gap": 600.0, "retention_days": null, "k": 5});
    assert_eq!(plain, defaults);

    let pages = server.pages("/api/events?limit=2").await;
    let slugs: Vec<&str> = pages.iter().flatten().map(|event| event["slug"].as_str().unwrap()).collect();
    assert_eq!((pages.len(), slugs), (2, vec!["default", "sandia-2026", "plain"]));

    // An answer that is sent back changes nothing; null takes away.
    assert_eq!(server.patch("/api/events/sandia-2026", &expected).await, (200, expected.clone()));
    let change = json!({"name": "Later", "begins": null, "ends": null, "retention_days": null});
    let (status, changed) = server.patch("/api/events/sandia-2026", &change).await;
    assert_eq!(status, 200, "{changed}");
    let mut wanted = expected;
    for (name, value) in change.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    assert_eq!(changed, wanted);
    assert_eq!(server.get("/api/events/sandia-2026").await.1, wanted);

    assert_eq!(server.delete("/api/events/plain").await.0, 204);
    let (status, problem) = server.get("/api/events/plain").await;
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("plain"), "{problem}");
}

#[tokio::test]
async fn everything_that_is_wrong_with_an_event_is_named() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let bad = [
        (
            "slug",
            vec![
                json!(""),
                json!("Sandia"),
                json!("a b"),
                json!("ä"),
                json!("x".repeat(65)),
                json!("a/b"),
                json!(7),
                json!(null),
            ],
        ),
        (
            "name",
            vec![
                json!(""),
                json!(" "),
                json!("x".repeat(201)),
                json!("a\u{202e}b"),
                json!("a\nb"),
                json!(7),
                json!(null),
            ],
        ),
        (
            "time_zone",
            vec![json!(""), json!("Mars/Olympus"), json!("MST7MDT8"), json!("+02:00"), json!(1), json!(null)],
        ),
        ("begins", vec![json!("soon"), json!("2026-02-30"), json!(1_780_000_000), json!("0000-01-01"), json!([])]),
        ("ends", vec![json!("2026-05-31"), json!("later"), json!("10000-01-01"), json!(true), json!(null)]),
        ("access", vec![json!("secret"), json!("OPEN"), json!(""), json!(0), json!(null)]),
        ("distance_m", vec![json!(0), json!(-1), json!(1000.1), json!("far"), json!("NaN"), json!(1e300), json!(null)]),
        (
            "within",
            vec![json!(-1), json!(86_401), json!("PT25H"), json!("P1M"), json!("0.0000001"), json!({}), json!(null)],
        ),
        ("gap", vec![json!(119), json!("PT1M"), json!(86_401), json!("gap"), json!(null)]),
        ("retention_days", vec![json!(0), json!(-1), json!(36_501), json!(1.5), json!("never"), json!(1e30)]),
        ("k", vec![json!(0), json!(-5), json!(1001), json!("five"), json!(null), json!(9_223_372_036_854_775_807_i64)]),
    ];
    assert_eq!(server.post("/api/events", &denver()).await.0, 201);
    for (field, values) in &bad {
        for value in values {
            let mut wrong = denver();
            // A gap that no other field can make too small.
            wrong["gap"] = json!("PT24H");
            wrong[*field] = value.clone();
            let (status, problem) = server.post("/api/events", &wrong).await;
            assert_eq!((status, fields(&problem)), (400, vec![*field]), "{field} {value}: {problem}");
            let change =
                if *field == "gap" { json!({ *field: value }) } else { json!({ *field: value, "gap": "PT24H" }) };
            let (status, problem) = server.patch("/api/events/sandia-2026", &change).await;
            assert_eq!((status, fields(&problem)), (400, vec![*field]), "{field} {value}: {problem}");
        }
    }
    let all: Value = bad
        .iter()
        .map(|(field, values)| ((*field).to_owned(), values[0].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let (status, problem) = server.post("/api/events", &all).await;
    let mut named = fields(&problem);
    named.sort_unstable();
    let mut wanted: Vec<&str> =
        bad.iter().map(|(field, _)| *field).filter(|field| !["ends", "gap"].contains(field)).collect();
    wanted.sort_unstable();
    assert_eq!(status, 400);
    assert!(wanted.iter().all(|field| named.contains(field)), "{named:?}");
    let derived = json!({"slug": "a", "name": "b", "within": "soon", "gap": 180, "begins": [], "ends": "2026-06-01"});
    let (_, problem) = server.post("/api/events", &derived).await;
    assert_eq!(fields(&problem), ["begins", "within"], "what follows from the others is not told");
    let (status, problem) = server.post("/api/events", &json!({})).await;
    assert_eq!((status, fields(&problem)), (400, vec!["slug", "name"]));
    let (status, problem) = server.post("/api/events", &json!({"slug": "a", "name": "b", "timezone": "UTC"})).await;
    assert_eq!((status, fields(&problem)), (400, vec!["timezone"]));
    assert_eq!(server.post("/api/events", &json!([denver()])).await.0, 400);
    assert_eq!(server.post_raw("/api/events", "text/plain", "x").await.0, 415);
    let (status, problem) = server.patch("/api/events/sandia-2026", &json!({"slug": "other"})).await;
    assert_eq!((status, fields(&problem)), (400, vec!["slug"]));
    for parameters in ["limit=0", "limit=1001", "cursor=x"] {
        assert_eq!(server.get(&format!("/api/events?{parameters}")).await.0, 400, "{parameters}");
    }
    assert_eq!(database.number("SELECT count(*) FROM event").await, 2);
}

#[tokio::test]
async fn an_event_with_something_in_it_is_deleted_by_force_only() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let id = create(&server, "full", json!({})).await;
    create(&server, "other", json!({})).await;
    let stays = person(&server, "/api/events/other").await;
    for _ in 0..250 {
        person(&server, "/api/events/full").await;
    }
    let sql = "INSERT INTO location (event_id, person_id, creation_time, cell, coordinate)
         SELECT p.event_id, p.id, '2026-06-01'::timestamptz + n * interval '1 minute', 1, 'POINT(101 1)'
         FROM person AS p, generate_series(1, 60) AS n";
    database.client().await.batch_execute(sql).await.unwrap();
    for (path, status) in [("", 409), ("?force=false", 409), ("?force=maybe", 400)] {
        let (got, problem) = server.delete(&format!("/api/events/full{path}")).await;
        assert_eq!(got, status, "{problem}");
        if status == 409 {
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("250 persons") && detail.contains("15000 locations"), "{detail}");
        }
    }
    assert_eq!(server.delete("/api/events/full?force=true").await.0, 204);
    for table in ["person", "location"] {
        assert_eq!(database.number(&format!("SELECT count(*) FROM {table} WHERE event_id = {id}")).await, 0);
    }
    assert_eq!(
        server.get(&format!("/api/events/other/persons/{stays}/locations")).await.1.as_array().unwrap().len(),
        60
    );
    assert_eq!(
        server
            .post("/api/events/full/persons", &json!({"first_name": "A", "last_name": "B", "company_name": "C"}))
            .await
            .0,
        404
    );
    // Where addresses without an event belong.
    let (status, problem) = server.delete("/api/events/default?force=true").await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("default"), "{problem}");
}

#[tokio::test]
async fn grpc_makes_and_changes_events() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut events = EventServiceClient::new(channel(&server).await);
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let new = proto::Event {
        slug: "sandia".into(),
        name: "Sandia Days".into(),
        time_zone: "America/Denver".into(),
        begins: time(1_780_293_600),
        ends: time(1_780_552_800),
        rule: Some(EncounterRule { distance_m: Some(7.5), ..EncounterRule::default() }),
        ..proto::Event::default()
    };
    let created =
        events.create_event(CreateEventRequest { event: Some(new.clone()) }).await.unwrap().into_inner().event.unwrap();
    assert!(created.id > 1 && created.k == 5 && created.retention_days.is_none(), "{created:?}");
    assert_eq!(created.rule.unwrap().within.unwrap().seconds, 300);
    assert_eq!(server.get("/api/events/sandia").await.1["begins"], "2026-06-01T06:00:00Z");
    let read = events.get_event(GetEventRequest { slug: "sandia".into() }).await.unwrap().into_inner().event;
    assert_eq!(read, Some(created.clone()));
    let status = events.create_event(CreateEventRequest { event: Some(new.clone()) }).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");

    let list = |page_token: String| ListEventsRequest { page_size: 1, page_token };
    let first = events.list_events(list(String::new())).await.unwrap().into_inner();
    let second = events.list_events(list(first.next_page_token)).await.unwrap().into_inner();
    assert_eq!(
        (first.events[0].slug.as_str(), &second.events[..], second.next_page_token.as_str()),
        ("default", &[created.clone()][..], "")
    );

    let update = |event: proto::Event, paths: &[&str]| UpdateEventRequest {
        event: Some(event),
        update_mask: Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
    };
    let bare = proto::Event { slug: "sandia".into(), k: 7, ..proto::Event::default() };
    let changed = events.update_event(update(bare.clone(), &["k", "begins", "ends", "rule.distance_m"])).await.unwrap();
    let changed = changed.into_inner().event.unwrap();
    let mut rule = created.rule.unwrap();
    rule.distance_m = Some(10.0);
    assert_eq!(changed, proto::Event { k: 7, begins: None, ends: None, rule: Some(rule), ..created });

    let violations = |status: &tonic::Status| -> Vec<String> {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        details.bad_request().unwrap().field_violations.iter().map(|violation| violation.field.clone()).collect()
    };
    for paths in [&[][..], &["slug"], &["id"], &["*"]] {
        assert_eq!(
            violations(&events.update_event(update(bare.clone(), paths)).await.unwrap_err()),
            ["update_mask"],
            "{paths:?}"
        );
    }
    assert_eq!(violations(&events.update_event(update(bare, &["name"])).await.unwrap_err()), ["event.name"]);
    let wrong = proto::Event {
        slug: "No".into(),
        name: String::new(),
        time_zone: "Mars".into(),
        begins: Some(Timestamp { seconds: i64::MAX, nanos: -1 }),
        ends: None,
        access: 9,
        rule: Some(EncounterRule {
            distance_m: Some(f64::NAN),
            within: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            gap: Some(prost_types::Duration { seconds: i64::MAX, nanos: 0 }),
        }),
        retention_days: Some(0),
        k: -1,
        id: 0,
    };
    let mut named = violations(&events.create_event(CreateEventRequest { event: Some(wrong) }).await.unwrap_err());
    named.sort_unstable();
    let wanted = [
        "access",
        "begins",
        "k",
        "name",
        "retention_days",
        "rule.distance_m",
        "rule.gap",
        "rule.within",
        "slug",
        "time_zone",
    ];
    assert_eq!(named, wanted.map(|field| format!("event.{field}")));
    let status = events.create_event(CreateEventRequest::default()).await.unwrap_err();
    assert_eq!(violations(&status), ["event.slug", "event.name"]);

    person(&server, "/api/events/sandia").await;
    let delete = |slug: &str, force| DeleteEventRequest { slug: slug.into(), force };
    let status = events.delete_event(delete("sandia", false)).await.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("1 persons"), "{status:?}");
    assert_eq!(events.delete_event(delete("default", true)).await.unwrap_err().code(), Code::FailedPrecondition);
    events.delete_event(delete("sandia", true)).await.unwrap();
    for slug in ["sandia", "No!", ""] {
        assert_eq!(
            events.get_event(GetEventRequest { slug: slug.into() }).await.unwrap_err().code(),
            Code::NotFound,
            "{slug}"
        );
    }
    let status = events.list_events(about("nowhere", list(String::new()))).await;
    assert!(status.is_ok(), "events are above events");
}

#[tokio::test]
async fn an_operator_makes_and_changes_events_on_the_command_line() {
    let database = Database::new().await;
    let create = [
        "event",
        "create",
        "sandia",
        "--name",
        "Sandia Days",
        "--time-zone",
        "America/Denver",
        "--begins",
        "2026-06-01",
        "--ends",
        "2026-06-03",
    ];
    let (status, text) = cli(&database, &create).await;
    assert!(status == Some(0) && text.contains("2026-06-01T06:00:00Z to before 2026-06-04T06:00:00Z"), "{text}");
    let (status, text) = cli(&database, &create).await;
    assert!(status == Some(1) && text.contains("sandia already"), "{text}");
    let (_, text) = cli(&database, &["event", "list"]).await;
    assert!(text.lines().count() == 3 && text.contains("Sandia Days") && text.contains("default"), "{text}");

    let server = Server::start(&database).await;
    let person = person(&server, "/api/events/sandia").await;
    let old = json!({"person_id": person, "latitude": 1, "longitude": 101, "creation_time": "2026-01-01T00:00:00Z"});
    assert_eq!(server.post("/api/events/sandia/locations", &old).await.0, 400);
    let (status, text) = cli(&database, &["event", "change", "sandia", "--no-dates", "--k", "9"]).await;
    assert!(status == Some(0) && text.contains("dates         none"), "{text}");
    // What a server knows of an event is a few seconds old at most.
    eventually("the server to know of the change", || async {
        (server.post("/api/events/sandia/locations", &old).await.0 == 201).then_some(())
    })
    .await;
    let (_, text) = cli(&database, &["event", "show", "sandia"]).await;
    assert!(text.contains("1 persons, 1 locations and 0 dead letters") && text.contains("k             9"), "{text}");

    let (status, text) = cli(&database, &["event", "delete", "sandia"]).await;
    assert!(status == Some(1) && text.contains("1 persons, 1 locations"), "{text}");
    assert_eq!(cli(&database, &["event", "delete", "default", "--force"]).await.0, Some(1));
    let (status, text) = cli(&database, &["event", "delete", "sandia", "--force", "--default-event", "sandia"]).await;
    assert!(status == Some(1) && text.contains("cannot be deleted"), "{text}");
    assert_eq!(cli(&database, &["event", "delete", "sandia", "--force"]).await.0, Some(0));
    let (status, text) = cli(&database, &["event", "show", "sandia"]).await;
    assert!(status == Some(1) && text.contains("no event sandia"), "{text}");
    for (arguments, named) in [
        (&["event", "create", "Sandia", "--name", "x"][..], "slug"),
        (&["event", "create", "a", "--name", "x", "--time-zone", "Mars"], "time_zone"),
        (&["event", "create", "a"], "name"),
        (&["event", "change", "default", "--begins", "2026-06-01"], "ends"),
    ] {
        let (status, text) = cli(&database, arguments).await;
        assert!(status == Some(1) && text.contains(named), "{arguments:?}: {text}");
    }
    assert_eq!(cli(&database, &["event", "show", "No such"]).await.0, Some(2));
}

/// A server that still knows an event which is gone says that it is gone.
#[tokio::test]
async fn an_event_that_was_deleted_elsewhere_is_unknown_at_once_to_whoever_writes() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    create(&server, "gone", json!({})).await;
    assert_eq!(server.get("/api/events/gone/persons").await.0, 200);
    database.client().await.batch_execute("DELETE FROM event WHERE slug = 'gone'").await.unwrap();
    let ada = json!({"first_name": "Ada", "last_name": "Lovelace", "company_name": "Engines"});
    let (status, problem) = server.post("/api/events/gone/persons", &ada).await;
    assert_eq!((status, fields(&problem)), (404, vec!["event"]), "{problem}");
}
