//! Tests of the readers: what programs write, what goes wrong, and what nobody expects.

use super::*;
use crate::domain::{Location, Person, PersonId, parse_time};
use proptest::prelude::*;
use std::io::{Cursor, Read, Write};

/// Everything an input gives: locations, skipped, bad, and what broke it off.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) fixes: Vec<FileFix>,
    pub(super) skipped: Vec<(u64, Skip)>,
    pub(super) bad: Vec<(u64, Bad)>,
    pub(super) broken: Option<Broken>,
}

impl All {
    /// Latitude, longitude and time of each location.
    pub(super) fn points(&self) -> Vec<(f64, f64, String)> {
        self.fixes
            .iter()
            .map(|fix| (fix.coordinate.latitude(), fix.coordinate.longitude(), fix.time.to_rfc3339()))
            .collect()
    }
}

fn read_from(input: impl Read, options: &Options) -> All {
    let mut all = All::default();
    let mut sink = |item| {
        match item {
            Item::Fix(fix) => all.fixes.push(fix),
            Item::Skipped { line, why } => all.skipped.push((line, why)),
            Item::Bad { line, bad } => all.bad.push((line, bad)),
        }
        ControlFlow::Continue(())
    };
    let read = unpack(input)
        .map_err(|error| Broken::whole(error.to_string()))
        .and_then(|(_, input)| read(input, options, &mut sink));
    all.broken = read.err();
    all
}

pub(super) fn read_all(input: impl AsRef<[u8]>, options: &Options) -> All {
    read_from(Cursor::new(input.as_ref()), options)
}

pub(super) fn somebody() -> Options {
    Options { person: Some(Who::Key("somebody".into())), ..Options::default() }
}

/// Reads well-formed input of somebody's.
pub(super) fn good(input: impl AsRef<[u8]>) -> All {
    let all = read_all(input, &somebody());
    assert_eq!((&all.broken, all.bad.as_slice()), (&None, &[][..]));
    all
}

pub(super) fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub(super) fn point(latitude: f64, longitude: f64, time: &str) -> (f64, f64, String) {
    (latitude, longitude, parse_time(time).unwrap().to_rfc3339())
}

#[test]
fn gpx_of_garmin_strava_and_osmand() {
    let garmin = good(sample("garmin.gpx"));
    let first = point(35.08723897859454, -106.64779979735613, "2026-06-02T15:00:00Z");
    assert_eq!((garmin.fixes.len(), &garmin.points()[0]), (2, &first));
    assert_eq!(garmin.fixes[0].line, 17);
    let strava = good(sample("strava.gpx"));
    assert_eq!(strava.points()[2], point(35.087322, -106.64768, "2026-06-02T15:30:02Z"));
    let plans = Options { routes: true, waypoints: true, ..somebody() };
    let osmand = read_all(sample("osmand.gpx"), &plans);
    assert_eq!((&osmand.broken, osmand.bad.as_slice()), (&None, &[][..]));
    let wanted = [
        point(35.088, -106.648, "2026-06-02T15:46:30Z"),
        point(35.0872001, -106.6478001, "2026-06-02T15:45:10Z"),
        point(35.0872002, -106.6478002, "2026-06-02T15:45:20Z"),
    ];
    assert_eq!(osmand.points(), wanted);
    assert_eq!(osmand.skipped, [(11, Skip::NoTime), (15, Skip::NoTime)]);
}

#[test]
fn gpx_says_whose_it_is_only_where_asked() {
    let all = read_all(sample("strava.gpx"), &Options::default());
    assert!(all.broken.unwrap().message.contains("--person"));
    let columns = Columns { person: Some("name".to_owned()), ..Columns::default() };
    let all =
        read_all(sample("strava.gpx"), &Options { columns, person_by: Some(PersonBy::Name), ..Options::default() });
    assert_eq!(all.fixes[0].who, Who::Name("Lunch Walk & Talk".into()));
}

#[test]
fn gpx_in_other_encodings() {
    let xml = |encoding: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<gpx><trk><name>Jürgen</name><trkseg>\n\
             <trkpt lat=\"1\" lon=\"101\"><time>2026-06-02T15:00:00Z</time></trkpt></trkseg></trk></gpx>"
        )
    };
    let columns = Columns { person: Some("name".to_owned()), ..Columns::default() };
    let options = Options { columns, person_by: Some(PersonBy::Name), ..Options::default() };
    let latin: Vec<u8> = xml("ISO-8859-1").chars().map(|c| c as u8).collect();
    let wide: Vec<u8> =
        "\u{feff}".chars().chain(xml("UTF-16").chars()).flat_map(|c| (c as u16).to_le_bytes()).collect();
    for bytes in [xml("UTF-8").into_bytes(), latin, wide, [b"\xef\xbb\xbf", xml("utf-8").as_bytes()].concat()] {
        let all = read_all(&bytes, &options);
        assert_eq!(all.broken, None);
        assert_eq!((all.fixes[0].who.clone(), all.fixes[0].line), (Who::Name("Jürgen".into()), 3));
    }
    // A declaration that is far too long, or where none may be.
    for broken in [xml(&format!("ISO-8859-1{}", " ".repeat(500))), format!("<gpx>{}</gpx>", xml("ISO-8859-1"))] {
        let _ = read_all(broken, &options);
    }
}

#[test]
fn geojson_points_and_lines() {
    let all = read_all(sample("track.geojson"), &Options::default());
    assert_eq!((&all.broken, &all.bad), (&None, &Vec::new()));
    let wanted = [
        point(35.0872, -106.6478, "2026-06-02T15:00:00Z"),
        point(35.0873, -106.6477, "2026-06-02T15:01:00Z"),
        point(35.0874, -106.6476, "2026-06-02T15:02:00Z"),
        point(35.0876, -106.6474, "2026-06-02T15:03:00Z"),
        point(35.0877, -106.6473, "2026-06-02T15:04:00Z"),
    ];
    assert_eq!(all.points(), wanted);
    assert_eq!(all.skipped, [(6, Skip::NoTime), (13, Skip::NoTime), (14, Skip::NoPosition), (15, Skip::OtherKind)]);
    assert_eq!(all.fixes[0].accuracy_m, Some(4.5));
    assert!(all.fixes.iter().all(|fix| fix.who == Who::Id(PersonId::new(1, "id").unwrap())));

    // The same features as lines and as a text sequence.
    let document: serde_json::Value = serde_json::from_slice(&sample("track.geojson")).unwrap();
    let features: Vec<String> = document["features"].as_array().unwrap().iter().map(|f| f.to_string()).collect();
    assert_eq!(read_all(features.join("\n"), &Options::default()).points(), wanted);
    let sequence: String = features.iter().map(|feature| format!("\x1e{feature}\n")).collect();
    assert_eq!(read_all(sequence, &Options::default()).points(), wanted);
}

#[test]
fn owntracks_in_all_its_forms() {
    let by_path = Options { otherwise: Some(Who::Key("owntracks:ada/phone".into())), ..Options::default() };
    let all = read_all(sample("rec/ada/phone/2026-06.rec"), &by_path);
    assert_eq!((&all.broken, &all.bad), (&None, &Vec::new()));
    let wanted = [point(35.0872, -106.6478, "2026-06-02T15:00:00Z")];
    assert_eq!(all.points(), wanted);
    assert_eq!(all.fixes[0].accuracy_m, Some(12.0));
    // The last says by a negative accuracy that its position is invalid.
    let negative = Skip::NoFix(NoFix::NegativeAccuracy);
    assert_eq!(all.skipped, [(2, Skip::OtherKind), (3, Skip::OtherKind), (4, negative)]);

    let message =
        r#"{"_type":"location","lat":35.0872,"lon":-106.6478,"tst":1780412400,"topic":"owntracks/bob/tablet"}"#;
    for text in [message.to_owned(), format!("[{message}]"), format!("{{\"count\":1,\"data\":[\n{message}]}}")] {
        let all = read_all(text, &Options::default());
        assert_eq!(all.points(), wanted[..1]);
        assert_eq!(all.fixes[0].who, Who::Key("owntracks:bob/tablet".into()));
    }
}

#[test]
fn csv_of_geolife() {
    for name in ["geolife.csv", "geolife.plt"] {
        let wanted =
            [point(39.984702, 116.318417, "2008-10-23T02:53:04Z"), point(39.984683, 116.31845, "2008-10-23T02:53:10Z")];
        assert_eq!(good(sample(name)).points(), wanted, "{name}");
    }
    assert_eq!(good(sample("geolife.plt")).fixes[0].line, 7);
}

#[test]
fn csv_as_all_the_world_writes_it() {
    let wanted = [point(35.5, -106.25, "2026-06-02T15:00:00Z"), point(36.5, -106.25, "2026-06-02T15:00:01Z")];
    for text in [
        "lat,lon,time\n35.5,-106.25,2026-06-02T15:00:00Z\n36.5,-106.25,2026-06-02T15:00:01Z\n",
        "\u{feff}lat;lng;timestamp\r\n35,5;-106,25;1780412400\r36,5;-106,25;1780412401000",
        "sep=;\r\nLatitude;Longitude;Time\r\n35.5;-106.25;2026-06-02 15:00\r\n36.5;-106.25;2026-06-02 15:00:01\r\n",
        "name\tlatitude\tlongitude\tcreation_time\n\"a\nb\"\t35.5\t-106.25\t2026-06-02T15:00:00Z\n\n\"\"\"\"\t36.5\t-106.25\t2026-06-02T15:00:01Z",
        "\"lat\",\"lon\",\"time\"\n\"35,5\",\"-106,25\",\"2026-06-02T17:00:00+02:00\"\n\"36,5\",\"-106,25\",\"2026-06-02T17:00:01+02:00\"",
        "lat|lon|date|time|\n 35.5 | -106.25 | 2026/06/02 | 15:00:00 |\n36.5|-106.25|2026/06/02|15:00:01|\n",
    ] {
        assert_eq!(good(text).points(), wanted, "{text}");
    }
    let zone = Options { timezone: Some(Timezone { zone: chrono_tz::America::Denver, twice: None }), ..somebody() };
    assert_eq!(read_all("lat,lon,time\n35.5,-106.25,2026-06-02 09:00", &zone).points(), wanted[..1]);
}

#[test]
fn csv_lines_are_counted_whatever_ends_them() {
    let lines = [
        "lat,lon,time,name",
        "1,2,2026-06-02T10:00:00Z,\"a",
        "b\"",
        "",
        "91,2,2026-06-02T10:01:00Z,c",
        "3,4,2026-06-02T10:02:00Z,d",
        "92,2,2026-06-02T10:01:00Z,\"e",
        "f\"",
    ];
    for end in ["\n", "\r\n", "\r"] {
        for last in ["", end] {
            let all = read_all(lines.join(end) + last, &somebody());
            assert_eq!(all.points().len(), 2, "{end:?}");
            let bad: Vec<u64> = all.bad.iter().map(|(line, _)| *line).collect();
            assert_eq!(bad, [5, 7], "{end:?} {last:?}");
        }
    }
}

#[test]
fn csv_rows_without_a_position_are_no_errors() {
    let text = "id,epoch_s,lat,lon\n1,1344135654.999000072,0.350900900,36.923004900\n1,1344138283.0,,\n2,1344138284.0,NA,NA\n2,,1,2\n";
    let columns = Columns { person: Some("id".to_owned()), ..Columns::default() };
    let all = read_all(text, &Options { columns, person_by: Some(PersonBy::Key), ..Options::default() });
    assert_eq!(all.points(), [point(0.3509009, 36.9230049, "2012-08-05T03:00:54.999Z")]);
    assert_eq!(all.fixes[0].who, Who::Key("1".into()));
    assert_eq!(all.skipped, [(3, Skip::NoPosition), (4, Skip::NoPosition), (5, Skip::NoTime)]);
}

#[test]
fn bad_records_are_named_and_others_kept() {
    let text = "person_id,lat,lon,time,accuracy\n1,91,10,2026-06-02,1\n1,-106.5,35.1,2026-06-02,1\n1,1,,2026-06-02,1\n\
        1,1,2,02/06/2026,1\nAda,1,2,2026-06-02,1\n1,1\n1,1,2,2026-06-02,-1\n1,1,2,2026-06-02,x\n";
    let all = read_all(text, &Options::default());
    let fields: Vec<_> = all.bad.iter().map(|(line, bad)| (*line, bad.field)).collect();
    assert_eq!(
        fields,
        [
            (2, "latitude"),
            (3, "latitude"),
            (4, "longitude"),
            (5, "time"),
            (6, "person"),
            (7, "record"),
            (9, "accuracy")
        ]
    );
    assert!(all.bad[1].1.message.contains("swapped"), "{}", all.bad[1].1);
    assert!(all.bad[3].1.message.contains("02/06/2026"), "{}", all.bad[3].1);
    assert!(all.bad[4].1.message.contains("--person-by"), "{}", all.bad[4].1);
    assert_eq!((all.fixes.len(), all.skipped), (0, vec![(8, Skip::NoFix(NoFix::NegativeAccuracy))]));

    let features = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","geometry":{"type":"Point","coordinates":[35,-106]},"properties":{"time":1}},
        7,
        {"type":"Feature","geometry":{"type":"Point","coordinates":["1"]},"properties":{"time":1}},
        {"type":"Feature","geometry":{"type":"LineString","coordinates":[[1,2]]},"properties":{"coordTimes":[1,2]}},
        {"type":"Feature","geometry":{"type":"Point","coordinates":[101,2]},"properties":{"time":1780412400}}]}"#;
    let all = read_all(features, &somebody());
    let fields: Vec<_> = all.bad.iter().map(|(line, bad)| (*line, bad.field)).collect();
    assert_eq!(fields, [(2, "latitude"), (3, "record"), (4, "record"), (5, "time")]);
    assert!(all.bad[0].1.message.contains("[longitude, latitude]"), "{}", all.bad[0].1);
    assert_eq!((all.fixes.len(), all.broken), (1, None));
}

/// What breaks a file off is said with its line, and what stood before it is kept.
#[test]
fn broken_files() {
    let broken = |input: &[u8], kept: usize| {
        let all = read_all(input, &somebody());
        assert_eq!(all.fixes.len(), kept, "{:?}", String::from_utf8_lossy(&input[..input.len().min(100)]));
        all.broken.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(input))).to_string()
    };
    let has = |said: String, parts: &[&str]| assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    has(broken(b"", 0), &["empty"]);
    has(broken(b"\x00\x01\x02", 0), &["binary"]);
    has(broken(b"a,b,c\n1,2,3", 0), &["line 1", "latitude", "a, b, c"]);
    has(broken(b"<loc/>", 0), &["not GPX", "loc"]);
    let strava = sample("strava.gpx");
    has(broken(&strava[..strava.len() - 100], 2), &["cut off", "line 1"]);
    let geojson = sample("track.geojson");
    has(broken(&geojson[..700], 3), &["cut off", "line 12"]);
    let both = [strava.as_slice(), &strava].concat();
    has(broken(&both, 3), &["after its last element"]);
}

/// What is wrong in one record costs no other; it is said with its line.
#[test]
fn damaged_records_among_good_ones() {
    let strava = String::from_utf8(sample("strava.gpx")).unwrap();
    let crossed = strava.replacen("</ele>\n    <time>2026-06-02T15:30:01Z", "</elf>", 1);
    let all = read_all(crossed, &somebody());
    assert_eq!((all.fixes.len(), &all.broken), (2, &None), "{all:?}");
    assert_eq!(all.skipped, [(14, Skip::NoTime)]);
    let quotes = strava.replacen("lon=\"", "lon=", 1);
    let all = read_all(quotes, &somebody());
    assert_eq!((all.fixes.len(), all.bad.len(), &all.broken), (2, 1, &None), "{all:?}");
    let geojson = String::from_utf8(sample("track.geojson")).unwrap();
    let all = read_all(geojson.replace("\"a walk\",\n", "a walk\n"), &Options::default());
    assert_eq!((all.fixes.len(), all.bad.len(), &all.broken), (3, 1, &None), "{all:?}");
    assert_eq!(all.bad[0].0, 8, "{all:?}");
    assert!(all.bad[0].1.message.contains("valid JSON"), "{all:?}");
}

#[test]
fn packed_input_and_what_is_wrong_with_it() {
    let rows: String = (0..5_000).map(|i| format!("{},{},{}\n", i % 89 + 1, i % 180, 1_780_000_000 + i)).collect();
    let text = format!("lat,lon,time\n{rows}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::stream::encode_all(text.as_bytes(), 3).unwrap();
    for packed in [&gzip, &zstd] {
        assert_eq!(good(packed).fixes.len(), 5_000);
        assert_eq!(good(packed).fixes[4_999].line, 5_001);
        let all = read_all(&packed[..packed.len() / 2], &somebody());
        assert!(all.broken.unwrap().message.contains("cut off"));
    }
    let mut damaged = gzip.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20].fill(0x55);
    assert!(read_all(&damaged, &somebody()).broken.unwrap().message.contains("gzip"));
    let mut inside = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    inside.write_all(&sample("track.geojson")).unwrap();
    let inside = inside.finish().unwrap();
    let all = read_all(&inside[..inside.len() - 100], &somebody());
    assert!(all.broken.unwrap().message.contains("gzip data are cut off"), "in the middle of a feature");
    // Members one after the other are one text.
    let mut more = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    more.write_all(b"1,101,1780009999\n").unwrap();
    assert_eq!(good([gzip.as_slice(), &more.finish().unwrap()].concat()).fixes.len(), 5_001);
}

/// Endless input of one kind, which is generated and not stored: what reads it without a bound would not come back.
struct Endless {
    begin: &'static [u8],
    again: &'static [u8],
    left: u64,
    at: usize,
}

impl Endless {
    fn new(begin: &'static [u8], again: &'static [u8]) -> Self {
        Self { begin, again, left: 1 << 30, at: 0 }
    }
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if !self.begin.is_empty() {
            let length = self.begin.read(out)?;
            return Ok(length);
        }
        let length = out.len().min(self.left as usize);
        for byte in &mut out[..length] {
            *byte = self.again[self.at % self.again.len()];
            self.at += 1;
        }
        self.left -= length as u64;
        Ok(length)
    }
}

#[test]
fn records_without_an_end_are_refused_early() {
    for (begin, again) in [
        (&b"lat,lon,time\n1,2,"[..], &b"3"[..]),
        (b"lat,lon,time\n1,2,\"", b"\n"),
        (b"x", b"x"),
        (b"sep=;", b" "),
        (b"Geolife trajectory", b" "),
        (b"<gpx><trk><name>", b"x"),
        (b"<gpx><trkpt lat=\"", b"1"),
        (b"<gpx>", b"<a>"),
        (b"<gpx><!--", b"-"),
        (b"<gpx><trkpt>", b"text<!-- -->"),
        (b"<?xml ", b" "),
        (b"[{\"type\":\"", b"x"),
        (b"{\"type\":\"FeatureCollection\",\"x\":[", b"1,"),
        (b"{\"features\":[{\"a\":[", b"[],"),
        (b"", b"["),
        (b"", b"{\"a\":"),
    ] {
        let mut input = Endless::new(begin, again);
        let all = read_from(&mut input, &somebody());
        assert!(all.broken.is_some(), "{}", String::from_utf8_lossy(begin));
        let read = (1 << 30) - input.left;
        assert!(read < 3 * MAX_OBJECT as u64, "{}: {read} bytes", String::from_utf8_lossy(begin));
    }
}

#[test]
fn a_line_that_is_too_long_does_not_spoil_the_next() {
    let good = r#"{"_type":"location","lat":1,"lon":101,"tst":1780412400}"#;
    let text = format!("{good}\n{{\"_type\":\"{}\"}}\n{good}\nnonsense\n{good}", "x".repeat(MAX_OBJECT));
    let all = read_all(text, &somebody());
    assert_eq!((all.fixes.len(), all.broken), (3, None));
    assert_eq!(all.bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
}

/// Entities of a document's own are never put in.
#[test]
fn an_entity_bomb_is_harmless() {
    let bomb = "<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]>\n<gpx><trk><name>&b;</name>\
        <trkseg><trkpt lat=\"1\" lon=\"101\"><time>2026-06-02T15:00:00Z</time></trkpt></trkseg></trk></gpx>";
    let columns = Columns { person: Some("name".to_owned()), ..Columns::default() };
    let all = read_all(bomb, &Options { columns, person_by: Some(PersonBy::Name), ..Options::default() });
    assert_eq!((all.broken, all.fixes.len()), (None, 1));
    assert_eq!(all.fixes[0].who, Who::Name("&".into()));
    assert_eq!(good(bomb).fixes.len(), 1);
}

#[test]
fn a_sink_that_has_enough_ends_the_reading() {
    for input in [sample("strava.gpx"), sample("track.geojson"), sample("geolife.csv")] {
        let mut count = 0;
        let read = read(Cursor::new(input), &somebody(), &mut |_| {
            count += 1;
            ControlFlow::Break(())
        });
        assert_eq!((read, count), (Ok(()), 1));
    }
}

fn location() -> impl Strategy<Value = Location> {
    let degrees = |limit: f64| prop_oneof![-limit..=limit, Just(0.0), Just(limit), Just(-limit), -1e-9..1e-9];
    let micros = 946_684_800_000_000_i64..253_402_300_799_000_000;
    let position = (degrees(90.0), degrees(180.0)).prop_filter("no fix", |position| *position != (0.0, 0.0));
    (position, micros, proptest::option::of(0.0..1e6)).prop_map(|((latitude, longitude), micros, accuracy_m)| {
        Location {
            id: 7,
            person_id: PersonId::new(1, "id").unwrap(),
            coordinate: Coordinate::new(latitude, longitude).unwrap(),
            creation_time: DateTime::from_timestamp_micros(micros).unwrap(),
            accuracy_m,
        }
    })
}

fn ada() -> Person {
    Person {
        id: PersonId::new(1, "id").unwrap(),
        first_name: "=Ada <&>".to_owned(),
        last_name: "\"Lovelace\"".to_owned(),
        company_name: "]]> 'Engines'".to_owned(),
    }
}

fn written(media: Media, locations: &[Location]) -> Vec<u8> {
    let (mut out, mut writer) = (Vec::new(), LocationWriter::new(media));
    writer.begin(&mut out).unwrap();
    writer.person(&mut out, &ada(), Some("@key,1")).unwrap();
    for location in locations {
        writer.location(&mut out, location).unwrap();
    }
    writer.end(&mut out).unwrap();
    out
}

/// All that our exports tell of her.
fn exported_ada() -> Exported {
    let Person { id, first_name, last_name, company_name } = ada();
    Exported {
        id: Some(id),
        key: Some("@key,1".to_owned()),
        full_name: Some(format!("{first_name} {last_name}")),
        names: Some((first_name, last_name)),
        company_name: Some(company_name),
    }
}

/// The rule of whose a record is, by what the caller says, the same for every format that we write.
#[test]
fn whose_it_is_follows_one_rule() {
    let location = Location {
        id: 7,
        person_id: ada().id,
        coordinate: Coordinate::new(35.0, -106.0).unwrap(),
        creation_time: parse_time("2026-06-02T15:00:00Z").unwrap(),
        accuracy_m: None,
    };
    let exported = |by| Who::Exported(by, exported_ada().into());
    for media in [Media::Csv, Media::GeoJson, Media::Gpx] {
        let text = written(media, std::slice::from_ref(&location));
        let who = |person: Option<Who>, column: Option<&str>, person_by: Option<PersonBy>| {
            let columns = Columns { person: column.map(str::to_owned), ..Columns::default() };
            let all = read_all(&text, &Options { person, columns, person_by, ..Options::default() });
            assert_eq!((&all.broken, &all.bad), (&None, &Vec::new()), "{media:?}");
            all.fixes[0].who.clone()
        };
        assert_eq!(who(None, None, None), exported(PersonBy::Id), "{media:?}");
        assert_eq!(who(None, None, Some(PersonBy::Id)), Who::Id(ada().id), "{media:?}");
        assert_eq!(who(None, None, Some(PersonBy::Key)), exported(PersonBy::Key), "{media:?}");
        assert_eq!(who(None, None, Some(PersonBy::Name)), exported(PersonBy::Name), "{media:?}");
        // The caller's word is above all of that.
        let bob = Who::Key("bob".into());
        for by in [None, Some(PersonBy::Id), Some(PersonBy::Key), Some(PersonBy::Name)] {
            assert_eq!(who(Some(bob.clone()), None, by), bob, "{media:?}");
        }
        if media != Media::Gpx {
            let company = Some("company_name");
            assert_eq!(who(None, company, Some(PersonBy::Key)), Who::Key("]]> 'Engines'".into()), "{media:?}");
        }
    }
    // The name of a track is that of somebody of whom the file tells more.
    let gpx = written(Media::Gpx, std::slice::from_ref(&location));
    let columns = Columns { person: Some("name".to_owned()), ..Columns::default() };
    let all = read_all(gpx, &Options { columns, person_by: Some(PersonBy::Name), ..Options::default() });
    assert_eq!(all.fixes[0].who, exported(PersonBy::Name));
}

/// As they were before names and keys were in them.
#[test]
fn older_exports_are_no_keys_and_their_names_count() {
    let gpx = "<gpx xmlns:uc=\"urn:udaconnect:gpx:1\"><trk><name>Ada Lovelace</name><desc>Engines</desc><extensions>\
        <uc:person_id>7</uc:person_id></extensions><trkseg>\
        <trkpt lat=\"1\" lon=\"101\"><time>2026-06-02T15:00:00Z</time></trkpt></trkseg></trk></gpx>";
    let read = |person_by| read_all(gpx, &Options { person_by, ..Options::default() });
    let exported = Exported {
        id: Some(PersonId::new(7, "id").unwrap()),
        full_name: Some("Ada Lovelace".to_owned()),
        ..Exported::default()
    };
    for by in [PersonBy::Id, PersonBy::Name] {
        let said = if by == PersonBy::Id { None } else { Some(by) };
        assert_eq!(read(said).fixes[0].who, Who::Exported(by, exported.clone().into()));
    }
    let by_key = read(Some(PersonBy::Key));
    assert!(by_key.fixes.is_empty() && by_key.bad[0].1.message.contains("no key of this person"), "{by_key:?}");
    // A table with such a column may be anybody's: it holds what the caller says.
    let csv = "person_id,lat,lon,time\n7,1,101,2026-06-02\n";
    let read = |person_by| read_all(csv, &Options { person_by, ..Options::default() }).fixes[0].who.clone();
    assert_eq!(read(None), Who::Id(PersonId::new(7, "id").unwrap()));
    assert_eq!(read(Some(PersonBy::Key)), Who::Key("7".into()));
    // With names beside, it is one of ours (what the API answers has no keys).
    let csv = "person_id,lat,lon,time,external_key,first_name,last_name\n7,1,101,2026-06-02,,Ada,Lovelace\n";
    let all = read_all(csv, &Options { person_by: Some(PersonBy::Key), ..Options::default() });
    assert!(all.bad[0].1.message.contains("no key of this person, whose person_id is 7"), "{all:?}");
    // Without any id, key or name alone may do.
    let csv = "lat,lon,time,external_key,first_name,last_name\n1,101,2026-06-02,k,Ada,Lovelace\n";
    for by in [PersonBy::Key, PersonBy::Name] {
        let all = read_all(csv, &Options { person_by: Some(by), ..Options::default() });
        assert!(matches!(all.fixes[0].who, Who::Exported(found, _) if found == by), "{all:?}");
    }
}

#[test]
fn a_column_that_the_caller_names_counts_for_owntracks_too() {
    let message =
        r#"{"_type":"location","lat":1,"lon":101,"tst":1780412400,"topic":"owntracks/bob/tablet","tid":"AD"}"#;
    let columns = Columns { person: Some("tid".to_owned()), ..Columns::default() };
    let options = Options { columns, person_by: Some(PersonBy::Key), ..Options::default() };
    assert_eq!(read_all(message, &options).fixes[0].who, Who::Key("AD".into()));
}

#[test]
fn no_cell_of_text_is_a_formula() {
    let person = Person { company_name: "-2+3".to_owned(), ..ada() };
    let mut out = Vec::new();
    let mut writer = MeetingWriter::nearby(Media::Csv);
    writer.begin(&mut out).unwrap();
    let location = Location {
        id: 7,
        person_id: person.id,
        coordinate: Coordinate::new(-35.0, -106.0).unwrap(),
        creation_time: parse_time("2026-06-02T15:00:00Z").unwrap(),
        accuracy_m: None,
    };
    writer.location(&mut out, &location, &person).unwrap();
    for (csv, row) in [
        (out, "1,'=Ada <&>,\"\"\"Lovelace\"\"\",'-2+3,7,2026-06-02T15:00:00Z,,-35,-106\r\n"),
        (
            written(Media::Csv, &[location]),
            "1,-35,-106,2026-06-02T15:00:00Z,,\"'@key,1\",'=Ada <&>,\"\"\"Lovelace\"\"\",]]> 'Engines'\r\n",
        ),
    ] {
        assert_eq!(std::str::from_utf8(&csv).unwrap().split_once("\r\n").unwrap().1, row);
    }
}

/// Something like a file, with something wrong.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    const SAMPLES: &[&str] =
        &["garmin.gpx", "osmand.gpx", "track.geojson", "rec/ada/phone/2026-06.rec", "geolife.csv", "geolife.plt"];
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..8);
    (proptest::sample::select(SAMPLES), changes).prop_map(|(name, changes)| {
        let mut bytes = sample(name);
        for (at, byte, how) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, byte),
                _ => {
                    let copy = bytes[at..(at + usize::from(byte)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_comes_back_exactly(locations in proptest::collection::vec(location(), 0..20)) {
        for media in [Media::Csv, Media::GeoJson, Media::Gpx] {
            // A zone is for times that name none.
            let timezone = Some(Timezone { zone: chrono_tz::Europe::Berlin, twice: None });
            let all = read_all(written(media, &locations), &Options { timezone, ..Options::default() });
            prop_assert_eq!(&all.broken, &None);
            prop_assert_eq!(all.fixes.len(), locations.len());
            for (fix, location) in all.fixes.iter().zip(&locations) {
                prop_assert_eq!(fix.coordinate, location.coordinate);
                prop_assert_eq!(fix.time, location.creation_time);
                prop_assert_eq!(fix.accuracy_m, location.accuracy_m);
                prop_assert_eq!(&fix.who, &Who::Exported(PersonBy::Id, exported_ada().into()));
            }
        }
    }

    #[test]
    fn every_text_comes_back_from_its_cell(text in "['=+@a -]{0,6}|\\PC{0,8}") {
        let cell = value::to_cell(&text);
        prop_assert_eq!(value::from_cell(&cell), text.as_str());
        prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in [None, Some(Format::Gpx), Some(Format::GeoJson), Some(Format::Csv), Some(Format::OwnTracks)] {
            read_all(&bytes, &Options { format, ..somebody() });
        }
    }

    #[test]
    fn no_damaged_file_makes_a_reader_panic(bytes in mutated()) {
        let columns = Columns { person: Some("name".to_owned()), ..Columns::default() };
        for format in [None, Some(Format::Gpx), Some(Format::GeoJson), Some(Format::Csv), Some(Format::OwnTracks)] {
            read_all(&bytes, &Options { format, ..somebody() });
            read_all(&bytes, &Options { format, columns: columns.clone(), ..Options::default() });
        }
    }

    #[test]
    fn no_text_makes_a_value_panic(text in "\\PC{0,40}", tail in "[0-9:+\\-., TZ/]{0,30}") {
        for text in [&text, &tail] {
            let _ = value::time(text, &Options { timezone: Some(Timezone { zone: chrono_tz::Europe::Berlin, twice: None }), ..Options::default() });
            let _ = value::number(text);
            let _ = PersonBy::Id.who(text);
        }
    }
}
