//! Where a location came in ↔ headers of a Kafka record.

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

    /// Reads what there is; what is no id is left out. `last` is the one before: neighbours often share theirs.
    pub fn read(headers: &BTreeMap<String, Vec<u8>>, last: &Self) -> Self {
        let value = |name: &str, last: &Option<Arc<str>>| {
            let bytes = headers.get(name).filter(|bytes| bytes.len() <= LONGEST)?;
            let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))?;
            Some(last.clone().filter(|last| **last == *text).unwrap_or_else(|| text.into()))
        };
        Self { request_id: value(REQUEST_ID, &last.request_id), trace_parent: value(TRACE_PARENT, &last.trace_parent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let origin = Origin { request_id: Some("a-1".into()), trace_parent: Some("00-0af7-b7ad-01".into()) };
        for origin in [origin, Origin::default()] {
            let mut headers = BTreeMap::new();
            origin.write(&mut headers);
            assert_eq!(Origin::read(&headers, &Origin::default()), origin);
            assert_eq!(Origin::read(&headers, &origin), origin);
        }
    }

    #[test]
    fn what_is_no_id_is_left_out() {
        for wrong in [&b"\xff"[..], b"two\nlines", &[b'x'; LONGEST + 1]] {
            let headers = BTreeMap::from([(REQUEST_ID.to_owned(), wrong.to_vec())]);
            assert_eq!(Origin::read(&headers, &Origin::default()), Origin::default());
        }
    }
}
