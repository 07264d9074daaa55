//! Files as phones, programs and people really have them: what becomes of each is what whoever has it expects.

use crate::support::{Database, Server, run};
use serde_json::json;

/// What an import of a file prints must hold each of these texts; the status is 0 when nothing is refused, else 3.
async fn check(database: &Database, file: &str, more: &[&str], status: i32, expected: &[&str]) {
    let path = format!("{}/tests/data/cases/{file}", env!("CARGO_MANIFEST_DIR"));
    // Somebody else each time, so that nothing is there already.
    let person = format!("{file} {}", more.join(" "));
    let arguments = [&["import", &path, "--person", &person, "--person-by", "key"], more].concat();
    let output = run(&arguments, &[("DATABASE_URL", &database.url())]).await;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{file} {more:?}: {said}");
    for text in expected {
        assert!(said.contains(text), "{file} {more:?}: {text:?} is missing in {said}");
    }
}

#[tokio::test]
async fn tables_of_many_programs() {
    let database = Database::new().await;
    for (file, more, status, expected) in [
        (
            "c01_movebank.csv",
            &[][..],
            0,
            &["4 locations stored", "2 marked as invalid or as an outlier", "1 without a position"][..],
        ),
        ("c02_excel_mangled.csv", &[], 3, &["0 locations stored", "2 refused", "00:53.0"]),
        ("c03_obs_hemisphere.csv", &[], 0, &["2 locations stored"]),
        ("c03b_qstarz.csv", &[], 0, &["2 locations stored"]),
        ("c04_ddmm.tsv", &[], 3, &["2 refused", "--time-format"]),
        ("c04_ddmm.tsv", &["--time-format", "%d/%m/%Y %H:%M"], 0, &["2 locations stored", "from 2026-09-07T00:26:00Z"]),
        ("c04b_german.csv", &[], 3, &["1 refused", "--time-format"]),
        (
            "c04b_german.csv",
            &["--time-format", "%d.%m.%Y %H:%M:%S"],
            0,
            &["1 locations stored", "2026-05-01T10:00:00Z"],
        ),
        ("c05_gpslogger.csv", &[], 0, &["1 locations stored"]),
        ("c06_trackintel.csv", &[], 0, &["1 locations stored"]),
        ("c06b_traccar.csv", &["--time-column", "Fix Time"], 0, &["1 locations stored", "1 marked as invalid"]),
        ("c07_ais.csv", &["--time-format", "%d/%m/%Y %H:%M:%S"], 0, &["1 locations stored", "1 without a position"]),
        ("c08_headerless.csv", &[], 3, &["has no header", "--columns"]),
        ("c08_headerless.csv", &["--columns", "id,time,longitude,latitude"], 0, &["2 locations stored"]),
        ("c09_e7.csv", &[], 0, &["1 locations stored"]),
        ("c10_wkt.csv", &[], 0, &["1 locations stored"]),
        ("c10b_poc_ewkb.csv", &[], 0, &["1 locations stored"]),
        ("c13_utf16.csv", &[], 0, &["1 locations stored"]),
        ("g24_go_time.csv", &[], 0, &["10 locations stored", "from 2026-05-01T10:00:00Z to 2026-05-01T10:00:45Z"]),
    ] {
        check(&database, file, more, status, expected).await;
    }
    let at = |file: &str| {
        format!(
            "SELECT round((ST_X(coordinate::geometry) * 1e6)::numeric)::bigint FROM location JOIN person ON person.id = person_id
             WHERE external_key = '{file}' ORDER BY creation_time LIMIT 1"
        )
    };
    assert_eq!(database.number(&at("c03b_qstarz.csv")).await, -122_420_100);
    assert_eq!(database.number(&at("c10b_poc_ewkb.csv")).await, -122_290_524);
    assert_eq!(database.number(&at("c09_e7.csv")).await, 23_760_100);
    assert_eq!(database.number(&at("c03_obs_hemisphere.csv")).await, 18_420_100);
    assert_eq!(database.number(&at("c03_obs_hemisphere.csv").replace("ST_X", "ST_Y")).await, -33_920_100);
}

#[tokio::test]
async fn tracks_in_xml_good_and_damaged() {
    let database = Database::new().await;
    for (file, more, status, expected) in [
        ("g01_empty_trkseg.gpx", &[][..], 0, &["1 locations stored"][..]),
        ("g02_no_zone.gpx", &["--timezone", "Europe/Helsinki"], 0, &["locations stored"]),
        ("g03_ampm.gpx", &[], 0, &["3 locations stored", "from 2026-05-01T14:37:21Z to 2026-05-01T18:43:25Z"]),
        ("g04_unpadded.gpx", &[], 0, &["2 locations stored", "from 2026-05-01T09:02:40Z to 2026-05-01T15:12:04Z"]),
        ("g06_year0.gpx", &[], 3, &["2 locations stored", "1 by time"]),
        ("g07_exponent.gpx", &[], 0, &["3 locations stored"]),
        ("g08a_raw_amp.gpx", &[], 0, &["10 locations stored"]),
        ("g08c_ffff.gpx", &[], 0, &["10 locations stored"]),
        ("g09_minus0_7digits.gpx", &[], 0, &["locations stored"]),
        ("g10_corrupt_middle.gpx", &[], 3, &["29 locations stored", "g10_corrupt_middle.gpx:14: record: is damaged"]),
        ("g11_epoch_a.gpx", &[], 0, &["0 locations stored", "5 from before 2000"]),
        ("g13_geocaches.gpx", &[], 0, &["1 locations stored", "2 waypoints", "1 points of a route"]),
        ("g13_geocaches.gpx", &["--waypoints", "--routes"], 0, &["4 locations stored"]),
        ("g14_dup_times.gpx", &[], 0, &["locations stored"]),
        ("g15_rollover.gpx", &[], 0, &["2 locations stored", "from 2006-10-15T10:00:00Z to 2006-10-15T10:00:05Z"]),
        ("g16_null_island_a.gpx", &[], 0, &["2 locations stored", "1 at 0,0"]),
        ("g16_null_island_b.gpx", &[], 0, &["2 locations stored", "2 at 0,0"]),
        ("g18b_utf16_decl_utf8_bytes.gpx", &[], 0, &["30 locations stored"]),
        ("g18c_bom.gpx", &[], 0, &["30 locations stored"]),
        ("g18d_utf16be_bom.gpx", &[], 0, &["30 locations stored"]),
        ("g18e_win1252.gpx", &[], 0, &["30 locations stored"]),
        ("g19_leading_spaces.gpx", &[], 0, &["30 locations stored"]),
        ("g19b_leading_newline_latin1.gpx", &[], 0, &["30 locations stored"]),
        ("g21_prefixed.gpx", &[], 0, &["1 locations stored"]),
        ("g23_decimal_comma.gpx", &[], 0, &["1 locations stored"]),
        ("f01.kml", &[], 0, &["1 locations stored"]),
        ("f02.kmz", &[], 0, &["1 locations stored"]),
        ("f04_walk.gpx.zip", &[], 0, &["locations stored"]),
        ("f05.tcx", &[], 0, &["1 locations stored"]),
    ] {
        check(&database, file, more, status, expected).await;
    }
}

#[tokio::test]
async fn what_phones_and_portals_write_as_json() {
    let database = Database::new().await;
    for (file, status, expected) in [
        ("j01_records.json", 0, &["2 locations stored"][..]),
        ("j02_timeline_android.json", 0, &["3 locations stored"]),
        ("j04_overland.json", 0, &["1 locations stored", "1 with a negative accuracy"]),
        ("j05_gpslogger.geojson", 0, &["2 locations stored"]),
        ("j05b_gpslogger_unfinished.geojson", 3, &["2 locations stored", "cut off"]),
        ("j07_transistor.json", 0, &["1 locations stored"]),
        ("j08_times_in_geometry.geojson", 0, &["2 locations stored"]),
        ("j10_gdal.geojson", 0, &["1 locations stored"]),
        ("j11_webmercator.geojson", 3, &["0 locations stored", "its CRS is EPSG:3857"]),
        ("j12_mfjson.json", 0, &["2 locations stored"]),
        ("j15_plain.json", 0, &["1 locations stored"]),
        ("rec/ada/phone/2026-01.rec", 3, &["3 locations stored", "no _type", "encrypted"]),
    ] {
        check(&database, file, &[], status, expected).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let database = Database::new().await;
    for (file, expected) in [
        ("f08.gpkg", "GeoPackage"),
        ("f09.parquet", "Parquet"),
        ("f10.osm_igc.igc", "IGC"),
        ("f11_osm.loc", "its root is <loc>"),
        ("f12.html", "is a web page"),
    ] {
        check(&database, file, &[], 3, &[expected]).await;
    }
    // A portal's export, as it is: what is meant is read, the rest is named.
    check(&database, "f13_strava_export", &[], 3, &["left out", "5.txt", "locations stored"]).await;
}

/// Times as clients write them, by REST: the same instant, whatever wrote it.
#[tokio::test]
async fn times_of_many_clients_by_rest() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let location =
        |time: &str| json!({"person_id": person, "latitude": "61.48", "longitude": 23.76, "creation_time": time});
    for time in [
        "2015-10-01T08:00:00-0700",
        "2015-10-01T15:00:00Z",
        "2015-10-01 15:00:00 +0000 UTC",
        "2015-10-01T17:00+02:00[Europe/Berlin]",
        "Thu, 01 Oct 2015 15:00:00 GMT",
        "Thu Oct 01 2015 17:00:00 GMT+0200 (Central European Summer Time)",
        "20151001T150000Z",
        "2015-10-1T15:0:00Z",
        "2015-10-01 3:00:00 PM",
        "۲۰۱۵-۱۰-۰۱T۱۵:۰۰:۰۰Z",
    ] {
        let (status, stored) = server.post("/api/locations", &location(time)).await;
        assert_eq!((status, &stored["creation_time"]), (201, &json!("2015-10-01T15:00:00Z")), "{time}: {stored}");
    }
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
    for time in ["01/10/2015 15:00", "1.10.2015 15:00", "10-01-2015 15:00:00", "00:53.0", "2015-10-01T15:00:00 CEST"] {
        let (status, problem) = server.post("/api/locations", &location(time)).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("creation_time")), "{time}: {problem}");
    }
    // A decimal comma is no number, and is said to be none.
    let comma = json!({"person_id": person, "latitude": "53,079", "longitude": 23.76});
    let (status, problem) = server.post("/api/locations", &comma).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("latitude")), "{problem}");
}

/// Two devices that both had no position have not met.
#[tokio::test]
async fn nobody_meets_at_null_island() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for (file, name) in [("g16_null_island_a.gpx", "a"), ("g16_null_island_b.gpx", "b")] {
        let path = format!("{}/tests/data/cases/{file}", env!("CARGO_MANIFEST_DIR"));
        run(&["import", &path, "--person", name, "--person-by", "key"], &[("DATABASE_URL", &database.url())]).await;
    }
    assert_eq!(database.number("SELECT count(*) FROM person").await, 2);
    let (status, met) =
        server.get("/api/persons/1/connections?start_date=2000-01-01&end_date=2030-01-01&distance=1000").await;
    assert_eq!((status, &met), (200, &json!([])));
    // Nor at the epoch.
    let path = format!("{}/tests/data/cases/g11_epoch_a.gpx", env!("CARGO_MANIFEST_DIR"));
    for name in ["a", "b"] {
        run(&["import", &path, "--person", name, "--person-by", "key"], &[("DATABASE_URL", &database.url())]).await;
    }
    let (_, met) = server.get("/api/persons/1/connections?distance=1000").await;
    assert_eq!(met, json!([]));
}

/// What a table's rows say that other programs mark, from the files as they are.
#[tokio::test]
async fn marked_rows_are_nobodys() {
    let database = Database::new().await;
    let path = format!("{}/tests/data/cases/c01_movebank.csv", env!("CARGO_MANIFEST_DIR"));
    let column = ["--person-column", "individual-local-identifier", "--person-by", "key"];
    let output = run(&[&["import", &path][..], &column].concat(), &[("DATABASE_URL", &database.url())]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("3 locations stored") && said.contains("2 marked as invalid or as an outlier"), "{said}");
}
