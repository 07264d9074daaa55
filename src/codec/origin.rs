//! The request that a location came with ↔ headers of a Kafka record.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The request that brought a location, and the trace it belongs to; each where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Of the HTTP header or gRPC metadata of the same name.
    pub request_id: Option<Arc<str>>,
    /// As W3C's Trace Context writes it.
    pub trace_parent: Option<Arc<str>>,
}

const REQUEST_ID: &str = "x-request-id";
const TRACE_PARENT: &str = "traceparent";
/// Other producers may write anything; more than this is no id.
const LONGEST: usize = 128;

impl Origin {
    /// Adds what there is.
    pub fn write(&self, headers: &mut BTreeMap<String, Vec<u8>>) {
        for (name, value) in [(REQUEST_ID, &self.request_id), (TRACE_PARENT, &self.trace_parent)] {
            if let Some(value) = value {
                headers.insert(name.to_owned(), value.as_bytes().to_vec());
            }
        }
    }

    /// Reads what there is; what is no id is left out. Of a header that is there twice, the last counts. `last` is the origin before:
    /// neighbours often share theirs.
    pub fn read<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>, last: &Self) -> Self {
        let (mut request_id, mut trace_parent) = (None, None);
        for (name, value) in headers {
            if name == REQUEST_ID.as_bytes() {
                request_id = value;
            } else if name == TRACE_PARENT.as_bytes() {
                trace_parent = value;
            }
        }
        let value = |bytes: Option<&[u8]>, last: &Option<Arc<str>>| {
            let bytes = bytes.filter(|bytes| bytes.len() <= LONGEST)?;
            let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))?;
            Some(last.clone().filter(|last| **last == *text).unwrap_or_else(|| text.into()))
        };
        Self { request_id: value(request_id, &last.request_id), trace_parent: value(trace_parent, &last.trace_parent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &BTreeMap<String, Vec<u8>>, last: &Origin) -> Origin {
        Origin::read(headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_slice()))), last)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let origin = Origin { request_id: Some("a-1".into()), trace_parent: Some("00-0af7-b7ad-01".into()) };
        for origin in [origin, Origin::default()] {
            let mut headers = BTreeMap::new();
            origin.write(&mut headers);
            assert_eq!(read(&headers, &Origin::default()), origin);
            assert_eq!(read(&headers, &origin), origin);
        }
    }

    #[test]
    fn what_is_no_id_is_left_out() {
        for wrong in [&b"\xff"[..], b"two\nlines", &[b'x'; LONGEST + 1]] {
            let headers = BTreeMap::from([(REQUEST_ID.to_owned(), wrong.to_vec())]);
            assert_eq!(read(&headers, &Origin::default()), Origin::default());
        }
    }
}
