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

#[tokio::test]
async fn tracks_whose_times_wait_for_ever() {
    let head = "<kml><Document><Placemark><gx:Track>";
    let when = "<when>2026-06-02T15:00:00Z</when>";
    import("a.kml", format!("{head}{}", when.repeat(1_000_000)).as_bytes()).await;
    let long = format!("<when>{}</when>", "9".repeat(100_000));
    import("b.kml", format!("{head}{}", long.repeat(600)).as_bytes()).await;
    import("c.kml", format!("{head}{}", "<gx:coord>1 2</gx:coord>".repeat(1_000_000)).as_bytes()).await;
    import("d.kml.gz", &packed::gzip(format!("{head}<when>").as_bytes(), 512)).await;
}

#[tokio::test]
async fn points_that_never_end() {
    let head = "<TrainingCenterDatabase><Activities><Activity><Lap><Track><Trackpoint>";
    import("a.tcx", format!("{head}{}", "<a>x</a>".repeat(5_000_000)).as_bytes()).await;
    import("b.tcx.gz", &packed::gzip(format!("{head}<Time>").as_bytes(), 512)).await;
    import("a.gpx", format!("{GPX}<trkpt lat=\"1\" lon=\"2\">{}", "<a>x</a>".repeat(5_000_000)).as_bytes()).await;
    import("b.gpx", format!("{GPX}{}", "<trkpt lat=\"1 lon=\"2\">\n".repeat(1_000_000)).as_bytes()).await;
    import("c.gpx", format!("{GPX}<!--{}", "<trkpt ".repeat(1_000_000)).as_bytes()).await;
}

#[tokio::test]
async fn json_that_is_damaged_all_over() {
    for (name, head, part) in [
        ("a.json", "[\n", "{\n"),
        ("b.json", "[\n", "{\"a\":[\n"),
        ("c.json", "{\"semanticSegments\":[\n", "{\"timelinePath\":[\n"),
        ("d.json", "{\"locations\":[\n", "\"\n"),
        ("e.json", "{\"locations\":[\n", "{\"latitudeE7\":1,\"longitudeE7\":NaN},\n"),
    ] {
        // Much more than a record may have, or many of them.
        // More than a record may have where they have no end, else many of them.
        let length = if part.starts_with('"') { 1_000_000 } else { 12_000_000 };
        import(name, format!("{head}{}", part.repeat(length / part.len())).as_bytes()).await;
    }
    let members: String = (0..900_000).map(|number| format!("\"{number:x}\":1,")).collect();
    import("f.json", format!("{{{members}\"z\":1}}").as_bytes()).await;
}

#[tokio::test]
async fn a_table_of_quotes_without_an_end() {
    import("a.csv", format!("{CSV}{}", "1,\"2,x\n".repeat(200_000)).as_bytes()).await;
    import("b.csv.gz", &packed::gzip(format!("{CSV}1,\"2,x").as_bytes(), 512)).await;
}

#[tokio::test]
async fn sentences_and_messages_without_an_end() {
    let sentence = "$GPRMC,150000,A,3530.000,N,10630.000,W,000.0,000.0,020626,,*00\n";
    import("a.nmea", sentence.repeat(500_000).as_bytes()).await;
    import("b.nmea.gz", &packed::gzip(format!("{sentence}$GPRMC,").as_bytes(), 512)).await;
    // A message of 255 fields of 255 bytes each, as many times as there is room.
    let mut head = vec![14, 0x20, 0, 0, 0xff, 0xff, 0xff, 0x7f];
    head.extend(b".FIT");
    head.extend([0, 0, 0x40, 0, 0, 20, 0, 255]);
    head.extend([9_u8, 255, 13].repeat(255));
    import("a.fit.gz", &packed::gzip(&head, 128)).await;
}

/// A file of blanks in an archive that is a thousandth of it.
#[tokio::test]
async fn an_archive_of_much() {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, head) in [("a.csv", CSV), ("b.gpx", GPX), ("c.json", "[{\"a\":\""), ("d.nmea", "$GPRMC,1,\n")] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(head.as_bytes()).unwrap();
        let blanks = vec![b' '; 1 << 20];
        for _ in 0..64 {
            archive.write_all(&blanks).unwrap();
        }
    }
    import("a.zip", &archive.finish().unwrap().into_inner()).await;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for number in 0..49_000 {
        archive.start_file(format!("{number:0>250}.csv"), zip::write::SimpleFileOptions::default()).unwrap();
    }
    import("b.zip", &archive.finish().unwrap().into_inner()).await;
}
