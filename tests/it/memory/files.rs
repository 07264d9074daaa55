//! Files in and out.

use super::{packed, people, run_within_the_limit, store};
use crate::support::Database;

/// Imports a file of this name and content, whose locations are the first person's.
async fn import(name: &str, content: &[u8]) {
    let database = Database::new().await;
    people(&database, 1).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    std::fs::write(&file, content).unwrap();
    let what = format!("import {name}");
    let arguments = ["import", file.to_str().unwrap(), "--person", "1"];
    let status = run_within_the_limit(&what, &arguments, &database).await;
    assert!(matches!(status, Some(1 | 3)), "{what}: nothing good is in it: {status:?}");
}

const CSV: &str = "latitude,longitude,time\n";
const GPX: &str = r#"<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>"#;
const GEOJSON: &str = r#"{"type": "FeatureCollection", "features": ["#;

#[tokio::test]
async fn a_packed_line_without_end() {
    import("a.csv.gz", &packed::gzip(CSV.as_bytes(), 512)).await;
    import("a.csv.zst", &packed::zstd(CSV.as_bytes(), 512)).await;
}

#[tokio::test]
async fn packed_json_without_end() {
    import("a.geojson.gz", &packed::gzip(GEOJSON.as_bytes(), 128)).await;
    import("a.geojson.zst", &packed::zstd(format!("{GEOJSON}{{\"type\": \"").as_bytes(), 128)).await;
}

#[tokio::test]
async fn packed_xml_without_end() {
    import("a.gpx.gz", &packed::gzip(GPX.as_bytes(), 128)).await;
    import("a.gpx.zst", &packed::zstd(format!("{GPX}<trkpt lat=\"").as_bytes(), 128)).await;
}

#[tokio::test]
async fn a_feature_of_millions_of_positions() {
    let head = r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": {"type": "LineString", "coordinates": ["#;
    import("a.geojson", format!("{head}{}", "[1,2],".repeat(5_000_000)).as_bytes()).await;
    import("b.geojson", format!("{head}{}", "[".repeat(10_000_000)).as_bytes()).await;
}

#[tokio::test]
async fn lines_of_millions_of_things() {
    let first = r#"{"type": "Feature", "geometry": null, "properties": {}}"#;
    for (name, part) in [("a.ndjson", "[1],"), ("b.ndjson", "{\"a\":1},"), ("c.ndjson", "[[[[]]]],")] {
        let line = format!("{{\"type\": \"Feature\", \"properties\": [{}0]}}", part.repeat(8_000_000 / part.len()));
        import(name, format!("{first}\n{line}\n{line}\n").as_bytes()).await;
    }
}

#[tokio::test]
async fn a_table_of_bad_lines() {
    import("a.csv", format!("{CSV}{}", "x\n".repeat(1_000_000)).as_bytes()).await;
    import("b.csv", format!("{CSV}{}", "1,2,2026-06-02T10:00:00Z,".repeat(1_000_000)).as_bytes()).await;
}

#[tokio::test]
async fn a_track_of_bad_points() {
    import("a.gpx", format!("{GPX}{}", "<trkpt/>".repeat(1_000_000)).as_bytes()).await;
    import("b.gpx", format!("{GPX}{}", "<a>".repeat(1_000_000)).as_bytes()).await;
    let attributes: String = (0..100_000).map(|number| format!("a{number}=\"\" ")).collect();
    import("c.gpx", format!("{GPX}<trkpt {attributes}/>").as_bytes()).await;
}

#[tokio::test]
async fn everything_that_is_stored_goes_out() {
    let database = Database::new().await;
    people(&database, 1_000).await;
    store(&database, 1, 300_000, 1.0).await;
    for format in ["csv", "geojson", "gpx"] {
        let what = format!("export {format}");
        let status = run_within_the_limit(&what, &["export", "--format", format], &database).await;
        assert_eq!(status, Some(0));
    }
}
