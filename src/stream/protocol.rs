//! The few messages of Kafka's protocol that reading takes, each in one version: those of Kafka 2.1 (2018), the oldest that
//! Kafka's own clients still speak, too (KIP-896). Producing and creating topics is rskafka's.
//!
//! <https://kafka.apache.org/protocol> says what stands where.

use bytes::{Buf, BufMut, Bytes};

/// A kind of request, and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Api {
    pub(super) key: i16,
    pub(super) version: i16,
    pub(super) name: &'static str,
}

/// The first one with which brokers send batches in zstd.
pub(super) const FETCH: Api = Api { key: 1, version: 10, name: "Fetch" };
pub(super) const LIST_OFFSETS: Api = Api { key: 2, version: 2, name: "ListOffsets" };
pub(super) const METADATA: Api = Api { key: 3, version: 4, name: "Metadata" };
pub(super) const SASL_HANDSHAKE: Api = Api { key: 17, version: 1, name: "SaslHandshake" };
/// Version 0 is answered by brokers of every age.
pub(super) const API_VERSIONS: Api = Api { key: 18, version: 0, name: "ApiVersions" };
pub(super) const SASL_AUTHENTICATE: Api = Api { key: 36, version: 0, name: "SaslAuthenticate" };

/// Error codes that mean something to us.
pub(super) const OFFSET_OUT_OF_RANGE: i16 = 1;
pub(super) const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;

/// What Kafka calls an error code.
pub(super) fn error_name(code: i16) -> String {
    rskafka::client::error::ProtocolError::new(code).map_or_else(|| format!("error {code}"), |error| error.to_string())
}

/// An answer that is not what the protocol says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

type Parsed<T> = Result<T, Malformed>;

/// A whole request without its length: header version 1, then the body.
pub(super) fn request(api: Api, correlation: i32, client: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10 + client.len() + body.len());
    bytes.put_i16(api.key);
    bytes.put_i16(api.version);
    bytes.put_i32(correlation);
    put_string(&mut bytes, client);
    bytes.put_slice(body);
    bytes
}

/// Cannot be longer than its two bytes say: names of topics and mechanisms are bounded by Kafka.
fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    bytes.put_slice(&text.as_bytes()[..text.len().min(i16::MAX as usize)]);
}

fn i8(bytes: &mut Bytes) -> Parsed<i8> {
    bytes.try_get_i8().map_err(|_| Malformed)
}

fn i16(bytes: &mut Bytes) -> Parsed<i16> {
    bytes.try_get_i16().map_err(|_| Malformed)
}

fn i32(bytes: &mut Bytes) -> Parsed<i32> {
    bytes.try_get_i32().map_err(|_| Malformed)
}

fn i64(bytes: &mut Bytes) -> Parsed<i64> {
    bytes.try_get_i64().map_err(|_| Malformed)
}

fn take(bytes: &mut Bytes, length: usize) -> Parsed<Bytes> {
    if length <= bytes.len() { Ok(bytes.split_to(length)) } else { Err(Malformed) }
}

fn nullable_string(bytes: &mut Bytes) -> Parsed<Option<String>> {
    let Ok(length) = usize::try_from(i16(bytes)?) else { return Ok(None) };
    Ok(Some(String::from_utf8_lossy(&take(bytes, length)?).into_owned()))
}

fn string(bytes: &mut Bytes) -> Parsed<String> {
    nullable_string(bytes)?.ok_or(Malformed)
}

/// A list, none when it is null. Its length is a claim: no room is made before there is something.
fn list<T>(bytes: &mut Bytes, mut item: impl FnMut(&mut Bytes) -> Parsed<T>) -> Parsed<Vec<T>> {
    (0..i32(bytes)?).map(|_| item(bytes)).collect()
}

/// A request's key, and the oldest and newest version that a broker takes.
pub(super) type Versions = (i16, i16, i16);

/// An error code, and which versions of which requests a broker takes.
pub(super) fn api_versions(mut answer: Bytes) -> Parsed<(i16, Vec<Versions>)> {
    let error = i16(&mut answer)?;
    Ok((error, list(&mut answer, |bytes| Ok((i16(bytes)?, i16(bytes)?, i16(bytes)?)))?))
}

pub(super) fn sasl_handshake_request(mechanism: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_string(&mut body, mechanism);
    body
}

/// An error code, and the mechanisms that there are.
pub(super) fn sasl_handshake(mut answer: Bytes) -> Parsed<(i16, Vec<String>)> {
    Ok((i16(&mut answer)?, list(&mut answer, string)?))
}

pub(super) fn sasl_authenticate_request(said: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_i32(said.len() as i32);
    body.put_slice(said);
    body
}

/// An error code with a sentence, and what the broker says to that.
pub(super) fn sasl_authenticate(mut answer: Bytes) -> Parsed<(i16, Option<String>, Bytes)> {
    let (error, message) = (i16(&mut answer)?, nullable_string(&mut answer)?);
    let length = usize::try_from(i32(&mut answer)?).map_err(|_| Malformed)?;
    Ok((error, message, take(&mut answer, length)?))
}

/// The brokers of a cluster and one topic of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Id, host, port.
    pub(super) brokers: Vec<(i32, String, i32)>,
    pub(super) error: i16,
    pub(super) partitions: Vec<PartitionMetadata>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartitionMetadata {
    pub(super) id: i32,
    pub(super) error: i16,
    /// The id of a broker, -1 while there is none.
    pub(super) leader: i32,
}

/// Creates nothing.
pub(super) fn metadata_request(topic: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_i32(1);
    put_string(&mut body, topic);
    body.put_i8(0);
    body
}

pub(super) fn metadata(mut answer: Bytes, topic: &str) -> Parsed<Metadata> {
    let bytes = &mut answer;
    let _throttle = i32(bytes)?;
    let brokers = list(bytes, |bytes| {
        let broker = (i32(bytes)?, string(bytes)?, i32(bytes)?);
        let _rack = nullable_string(bytes)?;
        Ok(broker)
    })?;
    let (_cluster, _controller) = (nullable_string(bytes)?, i32(bytes)?);
    let topics = list(bytes, |bytes| {
        let (error, name, _internal) = (i16(bytes)?, string(bytes)?, i8(bytes)?);
        let partitions = list(bytes, |bytes| {
            let partition = PartitionMetadata { error: i16(bytes)?, id: i32(bytes)?, leader: i32(bytes)? };
            let (_replicas, _in_sync) = (list(bytes, i32)?, list(bytes, i32)?);
            Ok(partition)
        })?;
        Ok((error, name, partitions))
    })?;
    let (error, _, partitions) = topics.into_iter().find(|(_, name, _)| name == topic).ok_or(Malformed)?;
    Ok(Metadata { brokers, error, partitions })
}

/// Where a partition begins or ends.
pub(super) const EARLIEST: i64 = -2;
pub(super) const LATEST: i64 = -1;

pub(super) fn list_offsets_request(topic: &str, partition: i32, at: i64) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_i32(-1);
    body.put_i8(0);
    body.put_i32(1);
    put_string(&mut body, topic);
    body.put_i32(1);
    body.put_i32(partition);
    body.put_i64(at);
    body
}

/// An error code and an offset.
pub(super) fn list_offsets(mut answer: Bytes) -> Parsed<(i16, i64)> {
    let bytes = &mut answer;
    let _throttle = i32(bytes)?;
    let topics = list(bytes, |bytes| {
        let _name = string(bytes)?;
        list(bytes, |bytes| {
            let (_partition, error, _time, offset) = (i32(bytes)?, i16(bytes)?, i64(bytes)?, i64(bytes)?);
            Ok((error, offset))
        })
    })?;
    topics.into_iter().flatten().next().ok_or(Malformed)
}

/// What is asked for: committed records of one partition from `offset` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchRequest<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// How long the broker waits for the first record.
    pub(super) wait_ms: i32,
    /// About how much; the first batch comes whole.
    pub(super) max_bytes: i32,
}

impl FetchRequest<'_> {
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        // No replica.
        body.put_i32(-1);
        body.put_i32(self.wait_ms);
        // Whatever there is, as soon as it is there.
        body.put_i32(1);
        body.put_i32(self.max_bytes);
        // Nothing of transactions that are under way, and the list of those that were aborted.
        body.put_i8(1);
        // No session: each request says all.
        body.put_i32(0);
        body.put_i32(-1);
        body.put_i32(1);
        put_string(&mut body, self.topic);
        body.put_i32(1);
        body.put_i32(self.partition);
        // The leader's epoch, the log's start: for replicas.
        body.put_i32(-1);
        body.put_i64(self.offset);
        body.put_i64(-1);
        body.put_i32(self.max_bytes);
        // Nothing is left out of a session.
        body.put_i32(0);
        body
    }
}

/// One partition's part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FetchAnswer {
    pub(super) error: i16,
    pub(super) last_stable_offset: i64,
    /// Producer id and first offset of transactions that were aborted, among what is returned.
    pub(super) aborted: Vec<(i64, i64)>,
    /// Record batches, the last one perhaps not whole.
    pub(super) records: Bytes,
    /// How many bytes of records the broker sent: more than are in `records` when the rest was not read.
    pub(super) length: usize,
}

/// Reads an answer that may be cut off behind its beginning.
pub(super) fn fetch(mut answer: Bytes) -> Parsed<FetchAnswer> {
    let bytes = &mut answer;
    let (_throttle, error, _session) = (i32(bytes)?, i16(bytes)?, i32(bytes)?);
    if error != 0 {
        return Ok(FetchAnswer {
            error,
            last_stable_offset: -1,
            aborted: Vec::new(),
            records: Bytes::new(),
            length: 0,
        });
    }
    // One topic, one partition, as was asked.
    let (_topics, _name, _partitions, _partition) = (i32(bytes)?, string(bytes)?, i32(bytes)?, i32(bytes)?);
    let (error, _high_watermark, last_stable_offset, _start) = (i16(bytes)?, i64(bytes)?, i64(bytes)?, i64(bytes)?);
    let mut aborted = list(bytes, |bytes| Ok((i64(bytes)?, i64(bytes)?)))?;
    aborted.sort_unstable_by_key(|(_, first)| *first);
    let length = i32(bytes)?.max(0) as usize;
    let records = answer.split_to(length.min(answer.len()));
    Ok(FetchAnswer { error, last_stable_offset, aborted, records, length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(aborted: &[(i64, i64)], records: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        answer.put_i32(0);
        answer.put_i16(0);
        answer.put_i32(0);
        answer.put_i32(1);
        put_string(&mut answer, "topic");
        answer.put_i32(1);
        answer.put_i32(3);
        answer.put_i16(0);
        [20_i64, 10, 0].into_iter().for_each(|offset| answer.put_i64(offset));
        answer.put_i32(aborted.len() as i32);
        aborted.iter().for_each(|(producer, first)| {
            answer.put_i64(*producer);
            answer.put_i64(*first);
        });
        answer.put_i32(records.len() as i32);
        answer.put_slice(records);
        answer
    }

    #[test]
    fn an_answer_is_read_as_far_as_it_came() {
        let answer = whole(&[(7, 9), (8, 2)], &[5; 100]);
        let read = fetch(answer.clone().into()).unwrap();
        assert_eq!((read.error, read.last_stable_offset, read.length), (0, 10, 100));
        assert_eq!(read.aborted, [(8, 2), (7, 9)], "in the order of their offsets");
        assert_eq!(read.records, vec![5; 100]);
        let read = fetch(Bytes::from(answer).split_to(100)).unwrap();
        assert!(read.records.len() < 100 && read.length == 100);
    }

    #[test]
    fn what_claims_more_than_there_is_costs_nothing() {
        let mut answer = whole(&[], &[]);
        let aborted = answer.len() - 8;
        answer[aborted..aborted + 4].copy_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(fetch(answer.into()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            let _ = fetch(bytes.clone());
            let _ = metadata(bytes.clone(), "topic");
            let _ = list_offsets(bytes.clone());
            let _ = api_versions(bytes.clone());
            let _ = sasl_handshake(bytes.clone());
            let _ = sasl_authenticate(bytes);
        }
    }
}
