//! What an input is, by its first bytes.

use super::{Broken, Format};

/// How an input is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Gpx,
    /// One or more JSON values: GeoJSON or OwnTracks.
    Json,
    /// A JSON value a line, or the lines of OwnTracks Recorder's files.
    Lines,
    Csv,
}

/// Decides how to read an input that begins so. `format` overrules the content, but not what no reader could read.
pub(super) fn sniff(head: &[u8], format: Option<Format>) -> Result<Found, Broken> {
    let text = head.trim_ascii_start();
    if text.is_empty() {
        return Err(Broken::whole("is empty"));
    }
    if let Some(message) = foreign(head) {
        return Err(Broken::whole(message));
    }
    let found = match text {
        [b'<', ..] => Found::Gpx,
        // 0x1e begins a record of a GeoJSON text sequence (RFC 8142).
        [0x1e, ..] => Found::Lines,
        [b'{' | b'[', ..] => json(text),
        _ if recorder(text) => Found::Lines,
        _ => Found::Csv,
    };
    // UTF-16 is the one encoding that only XML can be in.
    if found != Found::Gpx {
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            if format.is_none_or(|format| format == Format::Gpx) && utf16_xml(head) {
                return Ok(Found::Gpx);
            }
            return Err(Broken::whole("is UTF-16 text; save it as UTF-8"));
        }
        if binary(head) {
            return Err(Broken::whole("is no text but a binary file; GPX, GeoJSON, CSV and OwnTracks can be read"));
        }
    }
    match format {
        None => Ok(found),
        Some(Format::Gpx) => Ok(Found::Gpx),
        Some(Format::Csv) => Ok(Found::Csv),
        Some(Format::GeoJson | Format::OwnTracks) => Ok(if found == Found::Lines { Found::Lines } else { json(text) }),
    }
}

/// A file of another kind that people may well try, and what to do with it.
fn foreign(head: &[u8]) -> Option<&'static str> {
    match head {
        [b'P', b'K', 3, 4, ..] => Some("is a ZIP archive; unpack it and import what is in it"),
        [b'B', b'Z', b'h', ..] => Some("is packed with bzip2; unpack it first (gzip and zstd are unpacked here)"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            Some("is packed with xz; unpack it first (gzip and zstd are unpacked here)")
        }
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("is packed twice; unpack it once"),
        [_, _, _, _, _, _, _, _, b'.', b'F', b'I', b'T', ..] => Some("is a Garmin FIT file; export it as GPX"),
        _ => None,
    }
}

fn utf16_xml(head: &[u8]) -> bool {
    matches!(head, [0xff, 0xfe, b'<', 0, ..] | [0xfe, 0xff, 0, b'<', ..])
}

fn binary(head: &[u8]) -> bool {
    head.iter().any(|&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1e) || byte == 0x7f)
}

/// Whether JSON stands a value a line, so that one bad line need not spoil the rest.
fn json(text: &[u8]) -> Found {
    let Some(end) = memchr::memchr(b'\n', text) else { return Found::Json };
    let (first, rest) = text.split_at(end);
    let whole = serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok();
    if whole && !rest.trim_ascii().is_empty() { Found::Lines } else { Found::Json }
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
            (&b"<?xml version=\"1.0\"?><gpx>"[..], Found::Gpx),
            (b"  \n<gpx>", Found::Gpx),
            (b"\xff\xfe<\0?\0", Found::Gpx),
            (b"{\"type\":\"FeatureCollection\",\n\"features\":[", Found::Json),
            (b"{\"_type\":\"location\"}\n", Found::Json),
            (b"{\"_type\":\"location\"}\n{\"_type\":\"location\"}\n", Found::Lines),
            (b"\x1e{\"type\":\"Feature\"}\n", Found::Lines),
            (b"[\n{\"_type\"", Found::Json),
            (b"2026-06-02T10:00:00Z\t*                 \t{\"_type\"", Found::Lines),
            (b"lat,lon\n1,2", Found::Csv),
            (b"Breite;L\xe4nge\n", Found::Csv),
        ] {
            assert_eq!(sniff(head, None), Ok(found), "{}", String::from_utf8_lossy(head));
        }
        for (head, said) in [
            (&b""[..], "empty"),
            (b" \r\n", "empty"),
            (b"PK\x03\x04", "ZIP"),
            (b"\x0e\x10\x43\x08\x00\x00\x00\x00.FIT", "FIT"),
            (b"\xff\xfel\0a\0", "UTF-16"),
            (b"\x7fELF\x02\x01", "binary"),
            (b"\x1f\x8b\x08", "twice"),
        ] {
            let broken = sniff(head, None).unwrap_err();
            assert!(broken.message.contains(said), "{}: {broken}", String::from_utf8_lossy(head));
        }
        assert_eq!(sniff(b"{\"type\":", Some(Format::Csv)), Ok(Found::Csv));
        assert_eq!(sniff(b"lat,lon", Some(Format::GeoJson)), Ok(Found::Json));
    }
}
