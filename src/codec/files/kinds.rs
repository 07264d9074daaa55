//! Tests of the readers with files of many programs, and with good records beside damaged ones.

use super::tests::{good, point, read_all, somebody};
use super::*;
use proptest::prelude::*;

/// The times of what is stored, in order.
fn times(all: &super::tests::All) -> Vec<i64> {
    all.fixes.iter().map(|fix| fix.time.timestamp()).collect()
}

/// Where everything is good: a minute each from 2026-06-02T15:00:00Z on.
const BEGIN: i64 = 1_780_412_400;

/// A file of some format whose records stand a line each.
#[derive(Clone, Copy, Debug)]
struct Kind {
    head: &'static str,
    record: fn(i64) -> String,
    between: &'static str,
    tail: &'static str,
}

fn clock(number: i64) -> String {
    DateTime::from_timestamp(BEGIN + 60 * number, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

const KINDS: &[Kind] = &[
    Kind {
        head: "<?xml version=\"1.0\"?>\n<gpx><trk><name>Ada</name><trkseg>\n",
        record: |number| {
            format!("<trkpt lat=\"35.5\" lon=\"-106.5\"><ele>5</ele><time>{}</time></trkpt>", clock(number))
        },
        between: "\n",
        tail: "\n</trkseg></trk></gpx>\n",
    },
    Kind {
        head: "<?xml version=\"1.0\"?>\n<TrainingCenterDatabase><Activities><Activity><Lap><Track>\n",
        record: |number| {
            format!(
                "<Trackpoint><Time>{}</Time><Position><LatitudeDegrees>35.5</LatitudeDegrees>\
                 <LongitudeDegrees>-106.5</LongitudeDegrees></Position></Trackpoint>",
                clock(number)
            )
        },
        between: "\n",
        tail: "\n</Track></Lap></Activity></Activities></TrainingCenterDatabase>\n",
    },
    Kind {
        head: "<kml><Document>\n",
        record: |number| {
            format!(
                "<Placemark><TimeStamp><when>{}</when></TimeStamp><Point><coordinates>-106.5,35.5,0</coordinates></Point></Placemark>",
                clock(number)
            )
        },
        between: "\n",
        tail: "\n</Document></kml>\n",
    },
    Kind {
        head: "{\"type\":\"FeatureCollection\",\"features\":[\n",
        record: |number| {
            format!(
                "{{\"type\":\"Feature\",\"geometry\":{{\"type\":\"Point\",\"coordinates\":[-106.5,35.5]}},\"properties\":{{\"time\":\"{}\"}}}}",
                clock(number)
            )
        },
        between: ",\n",
        tail: "\n]}\n",
    },
    Kind {
        head: "[\n",
        record: |number| {
            format!("{{\"lat\":35.5,\"lon\":-106.5,\"timestamp\":\"{}\",\"name\":\"a, b\"}}", clock(number))
        },
        between: ",\n",
        tail: "\n]\n",
    },
    Kind {
        head: "{\"locations\":[\n",
        record: |number| {
            format!("{{\"latitudeE7\":355000000,\"longitudeE7\":-1065000000,\"timestamp\":\"{}\"}}", clock(number))
        },
        between: ",\n",
        tail: "\n]}\n",
    },
    Kind {
        head: "",
        record: |number| {
            format!("{{\"_type\":\"location\",\"lat\":35.5,\"lon\":-106.5,\"tst\":{}}}", BEGIN + 60 * number)
        },
        between: "\n",
        tail: "\n",
    },
    Kind {
        head: "lat,lon,time,name\n",
        record: |number| format!("35.5,-106.5,{},Ada", clock(number)),
        between: "\n",
        tail: "\n",
    },
    Kind {
        head: "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\n",
        record: |number| {
            let time = DateTime::from_timestamp(BEGIN + 60 * number, 0).unwrap();
            let body = format!(
                "GPRMC,{},A,3530.000,N,10630.000,W,000.0,000.0,{},,",
                time.format("%H%M%S"),
                time.format("%d%m%y")
            );
            format!("${body}*{:02X}", body.bytes().fold(0, |sum, byte| sum ^ byte))
        },
        between: "\n",
        tail: "\n",
    },
];

impl Kind {
    /// The bytes of records, of which one is given in another form.
    fn file(&self, count: i64, other: Option<(i64, &[u8])>) -> Vec<u8> {
        let mut bytes = self.head.as_bytes().to_vec();
        for number in 0..count {
            if number > 0 {
                bytes.extend_from_slice(self.between.as_bytes());
            }
            match other {
                Some((at, record)) if at == number => bytes.extend_from_slice(record),
                _ => bytes.extend_from_slice((self.record)(number).as_bytes()),
            }
        }
        bytes.extend_from_slice(self.tail.as_bytes());
        bytes
    }
}

#[test]
fn every_kind_is_read() {
    for kind in KINDS {
        let all = good(kind.file(10, None));
        let expected: Vec<i64> = (0..10).map(|number| BEGIN + 60 * number).collect();
        assert_eq!(times(&all), expected, "{kind:?}");
        for fix in &all.fixes {
            assert!((fix.coordinate.latitude() - 35.5).abs() < 1e-9, "{kind:?}");
            assert!((fix.coordinate.longitude() + 106.5).abs() < 1e-9, "{kind:?}");
        }
    }
}

/// A record of which some bytes are others.
fn damaged(record: &str, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = record.as_bytes().to_vec();
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        // A comment or a new line would be another damage.
        if !matches!(byte, b'\n' | b'\r' | b'!' | b'-') {
            bytes[at] = *byte;
        }
    }
    bytes
}

/// Kinds whose records may all stand in one line.
fn in_one_line() -> Vec<Kind> {
    let lists = KINDS.iter().filter(|kind| kind.tail.contains(']'));
    lists
        .map(|kind| Kind { head: kind.head.trim_ascii_end(), between: ",", tail: kind.tail.trim_ascii(), ..*kind })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_reader_loses_a_good_record_beside_a_damaged_one(
        kind in proptest::sample::select([KINDS, &in_one_line()].concat()),
        at in 1..9_i64,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let record = (kind.record)(at);
        let mut bytes = damaged(&record, &changes);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        let file = kind.file(10, Some((at, &bytes)));
        let all = read_all(&file, &somebody());
        let found = times(&all);
        for number in (0..10).filter(|number| *number != at) {
            prop_assert!(
                found.iter().filter(|time| **time == BEGIN + 60 * number).count() == 1,
                "{number} is not there once in {found:?} ({:?}, {:?}) of {}", all.bad, all.broken, String::from_utf8_lossy(&file)
            );
        }
    }
}

#[test]
fn a_damaged_point_keeps_its_tracks_apart() {
    // The damage reaches over the end of one track, never over the name of the next.
    let gpx = "<gpx><trk><name>Ada</name><trkseg><trkpt lat=\"1\" lon=\"101\"><time>2026-06-02T15:00:00Z</time></trkpt>\n\
        <trkpt lat=\"1 lon=\"101\"><ele>5</ele><time>2026-06-02T15:01:00Z</time></trkpt></trkseg></trk>\n\
        <trk><name>Bob</name><trkseg><trkpt lat=\"1\" lon=\"101\"><time>2026-06-02T15:02:00Z</time></trkpt></trkseg></trk></gpx>";
    let columns = Columns { person: Some("name".to_owned()), ..Columns::default() };
    let all = read_all(gpx, &Options { columns, person_by: Some(PersonBy::Name), ..Options::default() });
    let whose: Vec<&Who> = all.fixes.iter().map(|fix| &fix.who).collect();
    assert_eq!(whose, [&Who::Name("Ada".into()), &Who::Name("Bob".into())], "{all:?}");
    assert_eq!(all.bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2]);
}

#[test]
fn brackets_in_the_wrong_places_end_nothing() {
    for kind in KINDS.iter().filter(|kind| kind.tail.contains(']')) {
        for damage in
            ["]", "}", "]}", "}]", "]\"x\"", "]x", "{", "[", "\"", "{{[", "{\"a\":[", "", ":", "\\", "],\"b\":1"]
        {
            let all = read_all(kind.file(10, Some((4, damage.as_bytes()))), &somebody());
            let expected: Vec<i64> = (0..10).filter(|number| *number != 4).map(|number| BEGIN + 60 * number).collect();
            assert_eq!(times(&all), expected, "{damage} in {kind:?}: {all:?}");
        }
    }
}

/// Larger than a record may be, and than what is read once more at once.
#[test]
fn many_damaged_records_of_a_large_list_cost_no_other() {
    let kind = KINDS.iter().find(|kind| kind.head.contains("locations")).unwrap();
    for kind in [*kind, in_one_line()[2]] {
        let mut text = kind.head.to_owned();
        let mut expected = Vec::new();
        for number in 0..120_000 {
            let record = (kind.record)(number);
            // Brackets that are missing, and such as are too many.
            match number % 4_000 {
                500 => text += record.trim_end_matches('}'),
                700 => text += &record.replace("\"latitudeE7\":", "\"latitudeE7\":["),
                900 => text += &record.replace("\"latitudeE7\":", "\"latitudeE7\":]"),
                _ => {
                    expected.push(BEGIN + 60 * number);
                    text += &record;
                }
            }
            text += if number < 119_999 { kind.between } else { kind.tail };
        }
        assert!(text.len() > MAX_OBJECT, "{}", text.len());
        let all = read_all(&text, &somebody());
        assert!(times(&all) == expected, "{} of {}, {:?}", all.fixes.len(), expected.len(), all.broken);
    }
}

/// What a cut-off list ends with is told once.
#[test]
fn the_end_of_a_file_that_is_cut_off_is_read_once() {
    let pretty = "[\n {\n  \"lat\": 35.5,\n  \"lon\": -106.5,\n  \"timestamp\": \"2026-06-02T15:00:00Z\",\n  \"more\":\n  {\n   \"a\": 1\n  }\n }";
    let all = read_all(pretty, &somebody());
    assert_eq!((times(&all), all.bad.len(), all.broken.is_some()), (vec![BEGIN], 0, true), "{all:?}");
}

#[test]
fn text_that_nobody_needs_costs_nothing() {
    let xml = |name: &str| {
        format!(
            "<?xml version=\"1.0\"?>\n<gpx><trk><name>{name}</name><trkseg><trkpt lat=\"1\" lon=\"101\"><name>{name}</name>\
            <time>2026-06-02T15:00:00Z</time><desc>{name}</desc></trkpt></trkseg></trk></gpx>"
        )
    };
    for name in [
        "Fish & Chips",
        "a &nbsp; b",
        "&#xFFFF;",
        "&#xD800;",
        "&#0;",
        "&unknown;",
        "&",
        "a &; b",
        "]]&gt;",
        "<br>",
        "<b>x</i>",
    ] {
        assert_eq!(good(xml(name)).fixes.len(), 1, "{name}");
    }
    for bytes in [&b"Caf\xe9"[..], b"\xff\xfe", b"\xed\xa0\x80"] {
        let text = xml("NAME").into_bytes();
        let at = text.windows(4).position(|window| window == b"NAME").unwrap();
        let changed = [&text[..at], bytes, &text[at + 4..]].concat();
        assert_eq!(good(changed).fixes.len(), 1, "{bytes:?}");
    }
    for name in [r"\ud83d", r"\ude00 \ud83d", r"\x", r"it\'s", "a\tb", "\u{1}"] {
        let json = format!(
            "[{{\"lat\":1,\"lon\":101,\"time\":\"2026-06-02T15:00:00Z\",\"name\":\"{name}\",\"altitude\":NaN,\"speed\":-Infinity,}},\n\
             {{\"lat\":1,\"lon\":101,\"time\":\"2026-06-02T15:01:00Z\"}}]"
        );
        assert_eq!(good(&json).fixes.len(), 2, "{name}");
        let lines = json.trim_matches(['[', ']']).replace("},\n", "}\n");
        assert_eq!(good(&lines).fixes.len(), 2, "{name}");
    }
    let json = b"[{\"lat\":1,\"lon\":101,\"time\":\"2026-06-02T15:00:00Z\",\"name\":\"Caf\xe9\"}]";
    assert_eq!(good(json).fixes.len(), 1);
    // As PowerShell writes it.
    let wide: Vec<u8> = "\u{feff}[{\"lat\":1,\"lon\":101,\"time\":\"2026-06-02T15:00:00Z\"}]"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(good(wide).fixes.len(), 1);
}

#[test]
fn marks_of_many_programs() {
    for (header, none, some) in [
        ("visible", "false", "true"),
        ("manually-marked-outlier", "true", "false"),
        ("import-marked-outlier", "TRUE", ""),
        ("algorithm_marked_outlier", "1", "0"),
        ("Valid", "FALSE", "TRUE"),
        ("is_valid", "no", "yes"),
        ("gps_fix_valid", "V", "A"),
        ("mock_location", "true", "false"),
    ] {
        let csv =
            format!("lat,lon,time,{header}\n1,101,2026-06-02 15:00:00,{none}\n1,101,2026-06-02 15:01:00,{some}\n");
        let all = good(csv);
        assert_eq!((all.fixes.len(), all.skipped.as_slice()), (1, &[(2, Skip::Invalid)][..]), "{header}");
        let feature = |mark: &str, minute: u8| {
            format!(
                "{{\"type\":\"Feature\",\"geometry\":{{\"type\":\"Point\",\"coordinates\":[101,1]}},\
                \"properties\":{{\"time\":\"2026-06-02T15:0{minute}:00Z\",\"{header}\":{mark:?}}}}}\n"
            )
        };
        let all = good(feature(none, 0) + &feature(some, 1));
        assert_eq!((all.fixes.len(), all.skipped.as_slice()), (1, &[(1, Skip::Invalid)][..]), "{header}");
    }
}

#[test]
fn hemispheres_wherever_they_stand() {
    let wanted = point(-33.5, -70.25, "2026-06-02T15:00:00Z");
    for csv in [
        "lat,ns,lon,ew,time\n33.5,S,70.25,W,2026-06-02T15:00:00Z\n",
        "Latitude,N/S,Longitude,E/W,time\n33.5,s,70.25,w,2026-06-02T15:00:00Z\n",
        "lat,lon,time\n33.5S,70.25W,2026-06-02T15:00:00Z\n",
        "lat,lon,time\n33.5 S,W 70.25,2026-06-02T15:00:00Z\n",
        "lat,lon,time\n33°30'0\"\" S,70° 15′ 0″ W,2026-06-02T15:00:00Z\n",
        "latitude,lat_dir,longitude,lon_dir,time\n-33.5,S,-70.25,W,2026-06-02T15:00:00Z\n",
        "lat;lon;time\n33,5 S;70,25 W;2026-06-02T15:00:00Z\n",
        "geom,time\nPOINT(-70.25 -33.5),2026-06-02T15:00:00Z\n",
        "geom,time\nSRID=4326;POINT Z (-70.25 -33.5 12),2026-06-02T15:00:00Z\n",
        "geom,time\n0101000020E610000000000000009051C00000000000C040C0,2026-06-02T15:00:00Z\n",
        "latitudeE7,longitudeE7,time\n-335000000,-702500000,2026-06-02T15:00:00Z\n",
    ] {
        assert_eq!(good(csv).points(), std::slice::from_ref(&wanted), "{csv}");
    }
    for wrong in ["33.5X", "33°61'0\"\" S", "S33.5S", "33 30 S x"] {
        let all = read_all(format!("lat,lon,time\n{wrong},70,2026-06-02T15:00:00Z\n"), &somebody());
        assert_eq!(all.bad[0].1.field, "latitude", "{wrong}");
    }
    for foreign in
        ["SRID=3857;POINT(1 2)", "POINT(1)", "POLYGON((1 2))", "0101000020110F0000000000000000000000000000000000"]
    {
        let all = read_all(format!("geom,time\n{foreign},2026-06-02T15:00:00Z\n"), &somebody());
        assert_eq!((all.fixes.len(), all.bad.len()), (0, 1), "{foreign}");
    }
}

#[test]
fn other_coordinate_systems_are_refused_by_name() {
    let document = |crs: &str| {
        format!(
            "{{\"type\":\"FeatureCollection\",\"crs\":{{\"type\":\"name\",\"properties\":{{\"name\":{crs:?}}}}},\"features\":[\n\
            {{\"type\":\"Feature\",\"geometry\":{{\"type\":\"Point\",\"coordinates\":[101,1]}},\"properties\":{{\"time\":1780412400}}}}]}}"
        )
    };
    for crs in [
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "EPSG:4326",
        "urn:ogc:def:crs:EPSG::4326",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
    ] {
        assert_eq!(good(document(crs)).fixes.len(), 1, "{crs}");
    }
    for (crs, said) in [
        ("EPSG:25832", "EPSG:25832"),
        ("urn:ogc:def:crs:EPSG::3857", "EPSG:3857"),
        ("urn:ogc:def:crs:EPSG::2056", "EPSG:2056"),
    ] {
        let all = read_all(document(crs), &somebody());
        assert!(all.fixes.is_empty() && all.broken.unwrap().message.contains(said), "{crs}");
    }
}

#[test]
fn googles_histories() {
    let android = r#"{"semanticSegments":[
        {"startTime":"2026-04-03T08:00:00.000+02:00","endTime":"2026-04-03T10:00:00.000+02:00","timelinePath":[
            {"point":"61.4801°, 23.7601°","time":"2026-04-03T08:14:00.000+02:00"},{"point":"-33.5°, -70.25°","time":"2026-04-03T08:16:00.000+02:00"}]},
        {"startTime":"2026-04-03T10:00:00.000+02:00","endTime":"2026-04-03T11:00:00.000+02:00","activity":{"start":{"latLng":"61.1°, 23.1°"},
            "end":{"latLng":"61.2°, 23.2°"},"topCandidate":{"type":"WALKING"}}},
        {"startTime":"2026-04-03T11:00:00.000+02:00","endTime":"2026-04-03T12:00:00.000+02:00","visit":{"topCandidate":{"placeLocation":{"latLng":"1°, 2°"}}}}],
        "rawSignals":[{"position":{"LatLng":"61.3°, 23.3°","accuracyMeters":13,"timestamp":"2026-04-03T12:30:00.000+02:00"}},
            {"activityRecord":{"timestamp":"2026-04-03T12:30:00.000+02:00"}}],"userLocationProfile":{}}"#;
    let all = good(android);
    let wanted = [
        point(61.4801, 23.7601, "2026-04-03T06:14:00Z"),
        point(-33.5, -70.25, "2026-04-03T06:16:00Z"),
        point(61.1, 23.1, "2026-04-03T08:00:00Z"),
        point(61.2, 23.2, "2026-04-03T09:00:00Z"),
        point(61.3, 23.3, "2026-04-03T10:30:00Z"),
    ];
    assert_eq!(all.points(), wanted);
    assert_eq!(all.fixes[4].accuracy_m, Some(13.0));
    assert_eq!(all.skipped.len(), 2);

    let ios = r#"[{"startTime":"2026-04-03T08:00:00.000+02:00","endTime":"2026-04-03T09:00:00.000+02:00","timelinePath":[
        {"point":"geo:61.4801,23.7601","durationMinutesOffsetFromStartTime":"14"},{"point":"geo:61.4802,23.7602","durationMinutesOffsetFromStartTime":"16"}]},
        {"startTime":"2026-04-03T09:00:00.000+02:00","endTime":"2026-04-03T09:30:00.000+02:00","activity":{"start":"geo:61.1,23.1","end":"geo:61.2,23.2"}},
        {"startTime":"2026-04-03T09:30:00.000+02:00","endTime":"2026-04-03T11:30:00.000+02:00","visit":{"topCandidate":{"placeLocation":"geo:61.2,23.2"}}}]"#;
    let wanted = [
        point(61.4801, 23.7601, "2026-04-03T06:14:00Z"),
        point(61.4802, 23.7602, "2026-04-03T06:16:00Z"),
        point(61.1, 23.1, "2026-04-03T07:00:00Z"),
        point(61.2, 23.2, "2026-04-03T07:30:00Z"),
    ];
    assert_eq!(good(ios).points(), wanted);

    let records = r#"{"locations":[{"timestampMs":"1780412400000","latitudeE7":614801000,"longitudeE7":237601000,"accuracy":20,"source":"WIFI"},
        {"timestamp":"2026-06-02T15:01:00.123Z","latitudeE7":-335000000,"longitudeE7":-702500001,"accuracy":5},
        {"timestamp":"2026-06-02T15:02:00Z","latitudeE7":3959967296,"longitudeE7":3592467296},
        {"timestamp":"2026-06-02T15:03:00Z","source":"UNKNOWN"}]}"#;
    let all = read_all(records, &somebody());
    let wanted = [
        point(61.4801, 23.7601, "2026-06-02T15:00:00Z"),
        point(-33.5, -70.250_000_1, "2026-06-02T15:01:00.123Z"),
        point(-33.5, -70.25, "2026-06-02T15:02:00Z"),
    ];
    assert_eq!(all.points(), wanted);

    let semantic = r#"{"timelineObjects":[{"activitySegment":{"startLocation":{"latitudeE7":610000000,"longitudeE7":230000000},
        "endLocation":{"latitudeE7":620000000,"longitudeE7":240000000},
        "duration":{"startTimestamp":"2026-06-02T15:00:00Z","endTimestamp":"2026-06-02T16:00:00Z"},
        "simplifiedRawPath":{"points":[{"latE7":615000000,"lngE7":235000000,"timestamp":"2026-06-02T15:30:00Z","accuracyMeters":8}]}}},
        {"placeVisit":{"location":{"latitudeE7":620000000,"longitudeE7":240000000},"duration":{"startTimestampMs":"1780412400000"}}}]}"#;
    let wanted = [
        point(61.0, 23.0, "2026-06-02T15:00:00Z"),
        point(61.5, 23.5, "2026-06-02T15:30:00Z"),
        point(62.0, 24.0, "2026-06-02T16:00:00Z"),
    ];
    assert_eq!(good(semantic).points(), wanted);
}

#[test]
fn tracks_of_kml_in_both_orders() {
    let wanted = [point(35.5, -106.5, "2026-06-02T15:00:00Z"), point(35.6, -106.5, "2026-06-02T15:01:00Z")];
    for track in [
        "<when>2026-06-02T15:00:00Z</when><when>2026-06-02T15:01:00Z</when><gx:coord>-106.5 35.5 9</gx:coord><gx:coord>-106.5 35.6 9</gx:coord>",
        "<when>2026-06-02T15:00:00Z</when><gx:coord>-106.5 35.5 9</gx:coord><when>2026-06-02T15:01:00Z</when><gx:coord>-106.5 35.6 9</gx:coord>",
        "<gx:coord>-106.5 35.5</gx:coord><gx:coord>-106.5 35.6</gx:coord><when>2026-06-02T15:00:00Z</when><when>2026-06-02T15:01:00Z</when>",
    ] {
        let kml = format!(
            "<kml><Document><Placemark><name>a & b</name><gx:Track>{track}</gx:Track></Placemark>\
            <Placemark><name>no time</name><Point><coordinates>1,2</coordinates></Point></Placemark></Document></kml>"
        );
        assert_eq!(good(&kml).points(), wanted, "{kml}");
        let multi = kml
            .replace("<gx:Track>", "<gx:MultiTrack><gx:Track>")
            .replace("</gx:Track>", "</gx:Track></gx:MultiTrack>");
        assert_eq!(good(&multi).points(), wanted);
    }
    let all = read_all(
        "<kml><Placemark><gx:Track><when>2026-06-02T15:00:00Z</when></gx:Track></Placemark></kml>",
        &somebody(),
    );
    assert_eq!((all.fixes.len(), all.bad.len()), (0, 1));
}

/// A FIT file with these records, and a field of a developer's in each.
fn fit(records: &[(u32, i32, i32)], big_endian: bool, kind: u8) -> Vec<u8> {
    let word = |number: u32| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let half = |number: u16| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut data = vec![0x40, 0, u8::from(big_endian)];
    data.extend(half(0));
    data.extend([1, 0, 1, 0, 0, kind]);
    data.extend([0x61, 0, u8::from(big_endian)]);
    data.extend(half(20));
    data.extend([3, 253, 4, 0x86, 0, 4, 0x85, 1, 4, 0x85, 1, 9, 2, 0]);
    for &(time, latitude, longitude) in records {
        data.push(1);
        data.extend(word(time));
        data.extend(word(latitude as u32));
        data.extend(word(longitude as u32));
        data.extend([7, 7]);
    }
    let mut file = vec![14, 0x20, 0, 0];
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(b".FIT");
    file.extend([0, 0]);
    file.extend(&data);
    let sum = file.iter().fold(0_u16, |sum, &byte| crate::codec::files::fit::checksum(sum, &[byte]));
    file.extend(sum.to_le_bytes());
    file
}

#[test]
fn activities_of_fit() {
    const EPOCH: i64 = 631_065_600;
    let time = (BEGIN - EPOCH) as u32;
    let degrees = |degrees: f64| (degrees * 2_147_483_648.0 / 180.0) as i32;
    let records = [
        (time, degrees(35.5), degrees(-106.5)),
        (time + 1, 0x7fff_ffff, 0x7fff_ffff),
        (time + 2, degrees(-33.5), degrees(151.25)),
    ];
    for big_endian in [false, true] {
        let all = good(fit(&records, big_endian, 4));
        assert_eq!(times(&all), [BEGIN, BEGIN + 2]);
        assert!((all.fixes[1].coordinate.latitude() + 33.5).abs() < 1e-6);
        assert!((all.fixes[1].coordinate.longitude() - 151.25).abs() < 1e-6);
        assert_eq!(all.skipped, [(2, Skip::NoPosition)]);
        // A course is a plan.
        assert!(read_all(fit(&records, big_endian, 6), &somebody()).fixes.is_empty());
    }
    let file = fit(&records, false, 4);
    // Several in one, as some devices chain them; and one that is cut off keeps what stands before.
    assert_eq!(good([file.clone(), file.clone()].concat()).fixes.len(), 4);
    let all = read_all(&file[..file.len() - 10], &somebody());
    assert_eq!((all.fixes.len(), all.broken.is_some()), (1, true));
    let mut wrong = file.clone();
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    assert_eq!(read_all(&wrong, &somebody()).bad.len(), 1);
}

#[test]
fn sentences_of_receivers() {
    let text = "$GNGGA,150000,3530.000,S,07015.000,W,1,08,0.9,545.4,M,46.9,M,,*5E\n\
        $GNRMC,150000.00,A,3330.000,S,07015.000,W,000.0,000.0,020626,,,A*6B\n$GNRMC,150001.00,V,,,,,,,020626,,,N*66\n";
    let sum = |line: &str| {
        let body = line.trim_start_matches('$').split('*').next().unwrap();
        format!("${body}*{:02X}\n", body.bytes().fold(0, |sum, byte| sum ^ byte))
    };
    let text: String = text.lines().map(sum).collect();
    let all = good(&text);
    assert_eq!(all.points(), [point(-33.5, -70.25, "2026-06-02T15:00:00Z")]);
    assert_eq!(all.skipped, [(3, Skip::Invalid)]);
    let all = read_all(text.lines().next().unwrap(), &somebody());
    assert!(all.broken.unwrap().message.contains("RMC"));
    let all = read_all(text.replace("3330.000", "3331.000"), &somebody());
    assert!(all.fixes.is_empty() && all.bad[0].1.message.contains("$GNRMC,150000.00"), "{all:?}");
}

#[test]
fn a_table_without_a_header_says_so() {
    let csv = "1,2026-06-02 15:00:00,-106.5,35.5\n1,2026-06-02 15:01:00,-106.5,35.5\n";
    let all = read_all(csv, &somebody());
    assert!(all.broken.unwrap().message.contains("--columns"));
    let names = ["id", "time", "longitude", "latitude"].map(str::to_owned).to_vec();
    let columns = Columns { names: Some(names), ..Columns::default() };
    let all = read_all(csv, &Options { columns, ..somebody() });
    assert_eq!(times(&all), [BEGIN, BEGIN + 60]);
}

#[test]
fn times_by_a_format_of_the_callers() {
    for (format, text) in [
        ("%d/%m/%Y %H:%M", "02/06/2026 15:00"),
        ("%m/%d/%y %I:%M %p", "06/02/26 03:00 PM"),
        ("%d.%m.%Y %H:%M:%S", "02.06.2026 15:00:00"),
        ("%Y%j %H%M", "2026153 1500"),
        ("%d/%m/%Y %H:%M %z", "02/06/2026 17:00 +0200"),
    ] {
        let csv = format!("lat,lon,time\n35.5,-106.5,{text}\n");
        let all = read_all(&csv, &Options { time_format: Some(format.to_owned()), ..somebody() });
        assert_eq!(times(&all), [BEGIN], "{format}: {all:?}");
        let all = read_all(&csv, &somebody());
        assert!(all.fixes.is_empty(), "no guess at {text}");
        assert!(all.bad[0].1.message.contains("--time-format"), "{all:?}");
    }
}
