//! What is no fix at all, by every door: refused with the field named where one is told at once, skipped and counted else.

use crate::support::{Database, Server, run};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;
use udaconnect::codec::proto::location_service_client::LocationServiceClient;
use udaconnect::codec::proto::{NewLocation, RecordLocationRequest};

/// Latitude, longitude, Unix time, accuracy; and the field that says that it is none.
const NONE: &[(f64, f64, i64, Option<f64>, &str)] = &[
    (0.0, 0.0, 1_780_000_000, None, "latitude"),
    (-0.0, 0.0, 1_780_000_000, Some(5.0), "latitude"),
    (35.5, -106.5, 1_780_000_000, Some(-1.0), "accuracy_m"),
    (35.5, -106.5, 1_780_000_000, Some(-0.001), "accuracy_m"),
    (35.5, -106.5, 0, None, "creation_time"),
    (35.5, -106.5, 315_964_800, None, "creation_time"),
    (35.5, -106.5, 946_684_799, None, "creation_time"),
    (35.5, -106.5, -1, None, "creation_time"),
];
/// What is near to that and is one.
const FIXES: &[(f64, f64, i64, Option<f64>)] = &[
    (0.0, 0.000_001, 1_780_000_000, None),
    (0.000_001, 0.0, 1_780_000_000, None),
    (35.5, -106.5, 1_780_000_000, Some(0.0)),
    (35.5, -106.5, 946_684_800, None),
];

fn body(latitude: f64, longitude: f64, seconds: i64, accuracy_m: Option<f64>) -> Value {
    let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339();
    json!({"person_id": 1, "latitude": latitude, "longitude": longitude, "creation_time": time, "accuracy_m": accuracy_m})
}

#[tokio::test]
async fn rest_and_grpc_refuse_it_and_name_the_field() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    assert_eq!(server.person().await, 1);
    let mut client = LocationServiceClient::connect(server.grpc.clone()).await.unwrap();
    for &(latitude, longitude, seconds, accuracy_m, field) in NONE {
        let location = body(latitude, longitude, seconds, accuracy_m);
        let (status, problem) = server.post("/api/locations", &location).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!(field)), "{problem}");
        let good = body(35.5, -106.5, 1_780_000_001, None);
        let (_, outcome) = server.post("/api/locations/batch", &json!([good, location])).await;
        assert!(outcome.to_string().contains(field), "{outcome}");
        let location = NewLocation {
            person_id: 1,
            latitude: Some(latitude),
            longitude: Some(longitude),
            creation_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            accuracy_m,
        };
        let request = RecordLocationRequest { location: Some(location) };
        let status = client.record_location(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, format!("location.{field}"));
    }
    assert_eq!(
        database.number("SELECT count(*) FROM location WHERE creation_time <> to_timestamp(1780000001)").await,
        0
    );
    for &(latitude, longitude, seconds, accuracy_m) in FIXES {
        let (status, problem) = server.post("/api/locations", &body(latitude, longitude, seconds, accuracy_m)).await;
        assert_eq!(status, 201, "{problem}");
    }
}

#[tokio::test]
async fn a_phone_is_told_that_all_is_well_and_nothing_is_stored() {
    let database = Database::new().await;
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_USERS", "ada/phone=1")]).await;
    server.person().await;
    for &(lat, lon, tst, acc, _) in NONE {
        let message = json!({"_type": "location", "lat": lat, "lon": lon, "tst": tst, "acc": acc, "topic": "owntracks/ada/phone"});
        assert_eq!(server.post("/api/locations/owntracks", &message).await, (200, json!([])), "{message}");
    }
    assert_eq!(database.number("SELECT count(*) FROM location").await, 0);
    for &(lat, lon, tst, acc) in FIXES {
        // As bridges write them.
        let message = json!({"_type": "location", "lat": lat.to_string(), "lon": lon.to_string(), "tst": tst.to_string(), "acc": acc,
            "topic": "owntracks/ada/phone"});
        assert_eq!(server.post("/api/locations/owntracks", &message).await, (200, json!([])), "{message}");
    }
    assert_eq!(database.number("SELECT count(*) FROM location").await, FIXES.len() as i64);
}

#[tokio::test]
async fn files_are_read_without_it_and_the_summary_says_how_much() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    server.person().await;
    let directory = tempfile::tempdir().unwrap();
    let all = || {
        let none =
            NONE.iter().map(|&(latitude, longitude, seconds, accuracy, _)| (latitude, longitude, seconds, accuracy));
        none.chain(FIXES.iter().copied())
    };
    let time = |seconds: i64| chrono::DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339();
    let number = |accuracy: Option<f64>| accuracy.map(|metres| metres.to_string()).unwrap_or_default();
    let csv: String = all().map(|(a, b, seconds, m)| format!("{a},{b},{seconds},{}\n", number(m))).collect();
    let gpx: String = all()
        .map(|(a, b, seconds, m)| {
            let accuracy = m.map(|m| format!("<accuracy>{m}</accuracy>")).unwrap_or_default();
            format!("<trkpt lat=\"{a}\" lon=\"{b}\"><time>{}</time>{accuracy}</trkpt>\n", time(seconds))
        })
        .collect();
    let features: Vec<Value> = all()
        .map(|(a, b, seconds, m)| {
            json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [b, a]},
                "properties": {"timestamp": time(seconds), "horizontal_accuracy": m}})
        })
        .collect();
    let owntracks: String = all()
        .map(|(a, b, seconds, m)| {
            format!("{}\n", json!({"_type": "location", "lat": a, "lon": b, "tst": seconds, "acc": m}))
        })
        .collect();
    let google: Vec<Value> = all()
        .map(|(a, b, seconds, m)| {
            json!({"latitudeE7": (a * 1e7) as i64, "longitudeE7": (b * 1e7) as i64, "timestamp": time(seconds), "accuracy": m})
        })
        .collect();
    for (name, content) in [
        ("a.csv", format!("lat,lon,time,accuracy\n{csv}")),
        ("a.gpx", format!("<gpx><trk><trkseg>{gpx}</trkseg></trk></gpx>")),
        ("a.geojson", json!({"type": "FeatureCollection", "features": features}).to_string()),
        ("a.ndjson", owntracks),
        ("Records.json", json!({"locations": google}).to_string()),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, content).unwrap();
        let arguments = ["import", file.to_str().unwrap(), "--person", name, "--person-by", "key"];
        let output = run(&arguments, &[("DATABASE_URL", &database.url())]).await;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{name}: {said}");
        for text in [
            "4 locations stored",
            "8 skipped, 0 refused",
            "2 at 0,0, which is no fix",
            "2 with a negative accuracy",
            "4 from before 2000",
            "from 2000-01-01T00:00:00Z to 2026-05-28T20:26:40Z",
        ] {
            assert!(said.contains(text), "{name}: {text:?} is missing in {said}");
        }
    }
}
