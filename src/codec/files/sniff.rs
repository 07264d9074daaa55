//! Finds out how an input is to be read, by its first bytes.

use super::{Broken, Format};

/// How an input is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Xml,
    /// One or more JSON values: GeoJSON or OwnTracks.
    Json,
    /// A JSON value a line, or the lines of OwnTracks Recorder's files.
    Lines,
    Csv,
    Fit,
    Nmea,
}

/// Decides how to read an input that begins so. `format` overrules the content, but not what no reader could read.
pub(super) fn sniff(head: &[u8], format: Option<Format>) -> Result<Syntax, Broken> {
    let text = head.trim_ascii_start();
    if text.is_empty() {
        return Err(Broken::whole("is empty"));
    }
    if let Some(message) = foreign(head) {
        return Err(Broken::whole(message));
    }
    if fit(head) {
        return Ok(Syntax::Fit);
    }
    let found = match text {
        [b'<', ..] => Syntax::Xml,
        _ if utf16_xml(head) => Syntax::Xml,
        _ if utf16_json(head) => Syntax::Json,
        // 0x1e begins a record of a GeoJSON text sequence (RFC 8142).
        [0x1e, ..] => Syntax::Lines,
        [b'{' | b'[', ..] => json(text),
        _ if recorder(text) => Syntax::Lines,
        _ if text.split(|&byte| byte == b'\n').take(20).any(super::nmea::is_sentence) => Syntax::Nmea,
        _ => Syntax::Csv,
    };
    // Text in UTF-16 is decoded where it is read as XML or CSV.
    let wide = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    if !wide && found == Syntax::Csv && binary(head) {
        return Err(Broken::whole("is no text but a binary file of no kind that can be read here"));
    }
    match format {
        None => Ok(found),
        Some(Format::Gpx | Format::Tcx | Format::Kml) => Ok(Syntax::Xml),
        Some(Format::Csv) => Ok(Syntax::Csv),
        Some(Format::Fit) => Ok(Syntax::Fit),
        Some(Format::Nmea) => Ok(Syntax::Nmea),
        Some(Format::GeoJson | Format::OwnTracks | Format::Google) => {
            Ok(if matches!(found, Syntax::Lines | Syntax::Json) { found } else { json(text) })
        }
    }
}

/// A file of another kind that people may well try, and what to do with it.
fn foreign(head: &[u8]) -> Option<&'static str> {
    match head {
        [b'P', b'K', 3 | 5 | 7, ..] => {
            Some("is a ZIP archive inside of another input; give the archive itself as a file")
        }
        [b'B', b'Z', b'h', ..] => Some("is packed with bzip2; unpack it first (gzip and zstd are unpacked here)"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            Some("is packed with xz; unpack it first (gzip and zstd are unpacked here)")
        }
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("is packed twice; unpack it once"),
        [b'7', b'z', 0xbc, 0xaf, ..] => Some("is a 7z archive; unpack it and import what is in it"),
        [b'R', b'a', b'r', b'!', ..] => Some("is a RAR archive; unpack it and import what is in it"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Some("is an Excel file (or another of old Office); save it as CSV"),
        [b'P', b'A', b'R', b'1', ..] => Some(
            "is a Parquet file; convert it to CSV first, for example with DuckDB: COPY (FROM 'file.parquet') TO 'file.csv'",
        ),
        [b'%', b'P', b'D', b'F', ..] => Some("is a PDF, which holds pages and no locations"),
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => Some("is a picture and no file of locations"),
        [b'A', b'X', b'X', b'X', ..] => {
            Some("is an IGC file, a glider's; convert it to GPX first, for example with GPSBabel")
        }
        _ if head.starts_with(b"SQLite format 3") => Some(
            "is an SQLite database (a GeoPackage?); convert it first, for example with ogr2ogr -f CSV out.csv in.gpkg -lco GEOMETRY=AS_XY",
        ),
        _ if head.starts_with(b"A") && memchr::memmem::find(&head[..head.len().min(2_000)], b"\nHFDTE").is_some() => {
            Some("is an IGC file, a glider's; convert it to GPX first, for example with GPSBabel")
        }
        _ => None,
    }
}

/// Whether a FIT file begins here: the size of its header, and its mark behind eight bytes.
fn fit(head: &[u8]) -> bool {
    head.first().is_some_and(|size| *size >= 12) && head.get(8..12) == Some(b".FIT")
}

fn utf16_xml(head: &[u8]) -> bool {
    matches!(head, [0xff, 0xfe, b'<', 0, ..] | [0xfe, 0xff, 0, b'<', ..] | [b'<', 0, ..] | [0, b'<', ..])
}

/// JSON in UTF-16, by its mark, as PowerShell writes it.
fn utf16_json(head: &[u8]) -> bool {
    encoding_rs::Encoding::for_bom(head).is_some_and(|(encoding, _)| {
        let text = encoding.decode(&head[..head.len().min(256)]).0;
        encoding != encoding_rs::UTF_8 && text.trim_start().starts_with(['{', '['])
    })
}

/// Whether what is not known by its beginning is no text: a control character where it begins, or many. A few further on are
/// damage.
fn binary(head: &[u8]) -> bool {
    let control =
        |byte: &&u8| **byte < 0x20 && !matches!(**byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1e) || **byte == 0x7f;
    head.iter().take(8).any(|byte| control(&byte)) || head.iter().filter(control).count() > head.len() / 20 + 8
}

/// Whether JSON stands a value a line, so that one bad line need not spoil the rest.
fn json(text: &[u8]) -> Syntax {
    let Some(end) = memchr::memchr(b'\n', text) else { return Syntax::Json };
    let (first, rest) = text.split_at(end);
    let whole = serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok();
    if whole && !rest.trim_ascii().is_empty() { Syntax::Lines } else { Syntax::Json }
}

/// Whether it begins as OwnTracks Recorder's files do: a time, a tab, what it was, a tab.
fn recorder(text: &[u8]) -> bool {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut parts = line.splitn(3, |&byte| byte == b'\t');
    let time = parts.next().unwrap_or_default();
    time.len() >= 20 && time[..4].iter().all(u8::is_ascii_digit) && time[10] == b'T' && parts.count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_content() {
        for (head, found) in [
            (&b"<?xml version=\"1.0\"?><gpx>"[..], Syntax::Xml),
            (b"  \n<gpx>", Syntax::Xml),
            (b"\xff\xfe<\0?\0", Syntax::Xml),
            (b"{\"type\":\"FeatureCollection\",\n\"features\":[", Syntax::Json),
            (b"{\"_type\":\"location\"}\n", Syntax::Json),
            (b"{\"_type\":\"location\"}\n{\"_type\":\"location\"}\n", Syntax::Lines),
            (b"\x1e{\"type\":\"Feature\"}\n", Syntax::Lines),
            (b"[\n{\"_type\"", Syntax::Json),
            (b"2026-06-02T10:00:00Z\t*                 \t{\"_type\"", Syntax::Lines),
            (b"\x0e\x10\x43\x08\x00\x00\x00\x00.FIT", Syntax::Fit),
            (b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n", Syntax::Nmea),
            (b"\xff\xfel\0a\0", Syntax::Csv),
            (b"lat,lon\n1,2", Syntax::Csv),
            (b"Breite;L\xe4nge\n", Syntax::Csv),
        ] {
            assert_eq!(sniff(head, None), Ok(found), "{}", String::from_utf8_lossy(head));
        }
        for (head, said) in [
            (&b""[..], "empty"),
            (b" \r\n", "empty"),
            (b"PK\x03\x04", "ZIP"),
            (b"SQLite format 3\0", "SQLite"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
            (b"AXXXABC FLIGHT:1\nHFDTE010526\n", "IGC"),
            (b"\x7fELF\x02\x01", "binary"),
            (b"\x1f\x8b\x08", "twice"),
        ] {
            let broken = sniff(head, None).unwrap_err();
            assert!(broken.message.contains(said), "{}: {broken}", String::from_utf8_lossy(head));
        }
        assert_eq!(sniff(b"{\"type\":", Some(Format::Csv)), Ok(Syntax::Csv));
        assert_eq!(sniff(b"lat,lon", Some(Format::GeoJson)), Ok(Syntax::Json));
    }
}
