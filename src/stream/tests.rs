//! Tests of reading, within bounds, whatever brokers may send. The batches of Kafka's own clients are tested through Kafka.

use super::batch::{BATCH_MOST, HEADERS_MOST, KEY_MOST, RECORD_MOST};
use super::memory::{Memory, MemoryPermit};
use super::{Compression, Entry, RecordSet};
use proptest::prelude::*;
use std::io::Write;
use std::sync::Arc;

const COMPRESSIONS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const APPEND_TIME: i16 = 1 << 3;

type Headers = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Clone, Debug, Default, PartialEq)]
struct Written {
    delta: i64,
    time: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

fn value(delta: i64, value: &[u8]) -> Written {
    Written { delta, value: Some(value.to_vec()), ..Written::default() }
}

fn varint(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = (number << 1 ^ number >> 63) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn field(bytes: &mut Vec<u8>, field: Option<&[u8]>) {
    varint(bytes, field.map_or(-1, |field| field.len() as i64));
    bytes.extend_from_slice(field.unwrap_or_default());
}

fn encode(records: &[Written]) -> Vec<u8> {
    let mut all = Vec::new();
    for record in records {
        let mut bytes = vec![0];
        varint(&mut bytes, record.time);
        varint(&mut bytes, record.delta);
        field(&mut bytes, record.key.as_deref());
        field(&mut bytes, record.value.as_deref());
        varint(&mut bytes, record.headers.len() as i64);
        for (name, value) in &record.headers {
            field(&mut bytes, Some(name));
            field(&mut bytes, value.as_deref());
        }
        varint(&mut all, bytes.len() as i64);
        all.extend(bytes);
    }
    all
}

fn pack(compression: Compression, bytes: &[u8]) -> (i16, Vec<u8>) {
    match compression {
        Compression::None => (0, bytes.to_vec()),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            (1, encoder.finish().unwrap())
        }
        Compression::Snappy => (2, snap::raw::Encoder::new().compress_vec(bytes).unwrap()),
        Compression::Lz4 => {
            let mut encoder = lz4::EncoderBuilder::new().build(Vec::new()).unwrap();
            encoder.write_all(bytes).unwrap();
            let (packed, result) = encoder.finish();
            result.unwrap();
            (3, packed)
        }
        Compression::Zstd => (4, zstd::stream::encode_all(bytes, 1).unwrap()),
    }
}

#[derive(Clone, Copy)]
struct Batch {
    base: i64,
    last: i32,
    attributes: i16,
    producer: i64,
    first_time: i64,
    max_time: i64,
    records: i32,
}

impl Batch {
    fn of(base: i64, records: &[Written]) -> Self {
        let last = records.last().map_or(0, |record| record.delta as i32);
        let records = records.len() as i32;
        Self { base, last, attributes: 0, producer: -1, first_time: 0, max_time: 0, records }
    }

    fn encode(self, packed: &[u8]) -> Vec<u8> {
        let mut checked = Vec::new();
        checked.extend(self.attributes.to_be_bytes());
        checked.extend(self.last.to_be_bytes());
        checked.extend(self.first_time.to_be_bytes());
        checked.extend(self.max_time.to_be_bytes());
        checked.extend(self.producer.to_be_bytes());
        checked.extend([0; 6]);
        checked.extend(self.records.to_be_bytes());
        checked.extend(packed);
        let mut batch = self.base.to_be_bytes().to_vec();
        batch.extend((checked.len() as i32 + 9).to_be_bytes());
        batch.extend([0, 0, 0, 0, 2]);
        batch.extend(crc32c::crc32c(&checked).to_be_bytes());
        batch.extend(checked);
        batch
    }
}

fn batch(base: i64, compression: Compression, records: &[Written]) -> Vec<u8> {
    let (attributes, packed) = pack(compression, &encode(records));
    Batch { attributes, ..Batch::of(base, records) }.encode(&packed)
}

/// What was found: a record's offset, time, key, value and headers, or the first and last offset that cannot be read, and why.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Record(i64, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Headers),
    Unreadable(i64, i64, Option<Vec<u8>>, String),
}

fn set(data: Vec<u8>, from: i64, aborted: Vec<(i64, i64)>) -> RecordSet {
    let length = data.len();
    RecordSet::new(data.into(), length, aborted, from, 0, Arc::new(Memory::default()), MemoryPermit::default())
}

/// All that is there, and where it goes on.
fn read(mut set: RecordSet) -> (Vec<Seen>, i64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let mut seen = Vec::new();
        while set.open().await {
            while let Some(entry) = set.next().await {
                seen.push(match entry {
                    Entry::Record(record) => Seen::Record(
                        record.offset,
                        record.timestamp.map(|time| time.timestamp_millis()),
                        owned(record.key),
                        owned(record.value),
                        record.headers().map(|(name, value)| (name.to_vec(), owned(value))).collect(),
                    ),
                    Entry::Unreadable { first, last, key, reason, .. } => {
                        Seen::Unreadable(first, last, owned(key), reason)
                    }
                });
            }
        }
        (seen, set.position())
    })
}

fn offsets(seen: &[Seen]) -> Vec<i64> {
    let offset = |seen: &Seen| match seen {
        Seen::Record(offset, ..) => *offset,
        Seen::Unreadable(..) => panic!("{seen:?}"),
    };
    seen.iter().map(offset).collect()
}

#[track_caller]
fn refused(seen: &Seen, first: i64, last: i64, why: &str) {
    let Seen::Unreadable(begin, end, _, reason) = seen else { panic!("{seen:?}") };
    assert!((*begin, *end) == (first, last) && reason.contains(why), "{seen:?}");
}

#[test]
fn what_would_fill_memory_is_refused_in_every_packing() {
    let bomb = |delta| Written { key: Some(b"7".to_vec()), ..value(delta, &vec![0; 2 * BATCH_MOST as usize]) };
    let large = |delta| Written { key: Some(b"8".to_vec()), ..value(delta, &vec![0; RECORD_MOST]) };
    for compression in COMPRESSIONS {
        let data = batch(10, compression, &[value(0, b"a"), large(1), value(2, b"b")]);
        let (seen, next) = read(set(data, 10, Vec::new()));
        assert_eq!(
            (offsets(&[seen[0].clone(), seen[2].clone()]), seen.len(), next),
            (vec![10, 12], 3, 13),
            "{compression:?}"
        );
        refused(&seen[1], 11, 11, "at most 1048576 are read");
        assert!(matches!(&seen[1], Seen::Unreadable(_, _, Some(key), _) if key == b"8"));
        // Nobody is sent so much at once without packing.
        if compression == Compression::None {
            continue;
        }
        let mut data = batch(10, compression, &[value(0, b"a"), bomb(1), value(2, b"b"), value(3, b"c")]);
        data.extend(batch(14, compression, &[value(0, b"d")]));
        let (seen, next) = read(set(data, 10, Vec::new()));
        assert_eq!(next, 15);
        if compression == Compression::Snappy {
            // What comes in one piece is unpacked whole or not at all.
            assert_eq!(seen.len(), 2);
            refused(&seen[0], 10, 13, "at most 16777216 are unpacked");
        } else {
            assert_eq!(seen.len(), 4, "{compression:?}");
            refused(&seen[1], 11, 11, "at most 1048576 are read");
            refused(&seen[2], 12, 13, "becomes more than 67108864 bytes");
        }
        assert_eq!(offsets(&seen[seen.len() - 1..]), [14]);
    }
}

#[test]
fn claims_are_bounded() {
    let long_key = Written { key: Some(vec![b'k'; KEY_MOST + 1]), ..value(0, b"x") };
    let many = Written { headers: vec![(b"h".to_vec(), None); HEADERS_MOST as usize + 1], ..value(1, b"x") };
    let (seen, next) = read(set(batch(0, Compression::Lz4, &[long_key, many, value(2, b"y")]), 0, Vec::new()));
    refused(&seen[0], 0, 0, "its key takes 16385 bytes");
    refused(&seen[1], 1, 1, "it has 201 headers");
    assert_eq!((offsets(&seen[2..]), next), (vec![2], 3));
    // More records than there are offsets, than there are at all, than anybody writes.
    let one = encode(&[value(0, b"x")]);
    for (records, last, why) in [
        (i32::MAX, 0, "claims 2147483647 records at 1 offsets"),
        (-1, 0, "claims -1 records"),
        (2, 1, "ends 1 records too early"),
        (2_000_000, 3_000_000, "at most 1000000 are read"),
    ] {
        let data = Batch { records, last, ..Batch::of(5, &[]) }.encode(&one);
        let (seen, next) = read(set(data, 5, Vec::new()));
        refused(seen.last().unwrap(), 5 + i64::from(seen.len() == 2), 5 + i64::from(last), why);
        assert_eq!(next, 6 + i64::from(last));
    }
}

#[test]
fn what_is_damaged_or_from_another_age_is_passed_in_one_step() {
    let good = batch(20, Compression::Zstd, &[value(0, b"x")]);
    let mut wrong_sum = batch(10, Compression::None, &[value(0, b"x"), value(9, b"y")]);
    *wrong_sum.last_mut().unwrap() ^= 1;
    let mut data = wrong_sum;
    data.extend(&good);
    let (seen, next) = read(set(data, 12, Vec::new()));
    refused(&seen[0], 12, 19, "checksum");
    assert_eq!((offsets(&seen[1..]), next), (vec![20], 21));
    // As before Kafka 0.11: offset, length, checksum, format, attributes, key, value.
    let mut old = Vec::new();
    for offset in 0..20_000_i64 {
        old.extend(offset.to_be_bytes());
        old.extend([0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]);
    }
    let (seen, next) = read(set(old, 0, Vec::new()));
    assert_eq!((seen.len(), next), (20_000, 20_000));
    refused(&seen[0], 0, 0, "message format 0 of Kafka before 0.11");
    // An unknown packing.
    let (seen, _) = read(set(Batch { attributes: 7, ..Batch::of(3, &[]) }.encode(&[]), 3, Vec::new()));
    refused(&seen[0], 3, 3, "compression");
}

#[test]
fn of_a_batch_that_is_too_large_to_be_sent_the_beginning_tells_where_it_ends() {
    let whole = batch(7, Compression::None, &[value(0, b"x"), value(41, &[1; 100_000])]);
    let beginning = whole[..1_000].to_vec();
    let cut = RecordSet::new(
        beginning.into(),
        whole.len(),
        Vec::new(),
        7,
        0,
        Arc::new(Memory::default()),
        MemoryPermit::default(),
    );
    let (seen, next) = read(cut);
    refused(&seen[0], 7, 48, "bytes, at most");
    assert_eq!((seen.len(), next), (1, 49));
    // With nothing of it, one offset at least is passed.
    let cut =
        RecordSet::new(Vec::new().into(), 99, Vec::new(), 7, 0, Arc::new(Memory::default()), MemoryPermit::default());
    assert_eq!(read(cut).1, 8);
}

#[test]
fn aborted_transactions_and_what_kafka_itself_writes_do_not_count() {
    let own = |base, producer, attributes| {
        let records = [value(0, b"x"), value(1, b"y")];
        Batch { producer, attributes, ..Batch::of(base, &records) }.encode(&encode(&records))
    };
    let marker = |base, producer, commit: u8| {
        let records = [Written { key: Some(vec![0, 0, 0, commit]), ..value(0, &[0; 6]) }];
        Batch { producer, attributes: TRANSACTIONAL | CONTROL, ..Batch::of(base, &records) }.encode(&encode(&records))
    };
    let data = [
        own(0, 1, TRANSACTIONAL),
        own(2, 2, TRANSACTIONAL),
        // Outside a transaction, with an id all the same.
        own(4, 1, 0),
        marker(6, 1, 0),
        marker(7, 2, 1),
        own(8, 1, TRANSACTIONAL),
        marker(10, 1, 1),
        own(11, 2, TRANSACTIONAL),
        marker(13, 2, 0),
    ]
    .concat();
    let (seen, next) = read(set(data.clone(), 0, vec![(1, 0), (2, 11)]));
    assert_eq!((offsets(&seen), next), (vec![2, 3, 4, 5, 8, 9], 14));
    // From within a transaction, too.
    let (seen, _) = read(set(data, 1, vec![(1, 0), (2, 11)]));
    assert_eq!(offsets(&seen), [2, 3, 4, 5, 8, 9]);
}

#[test]
fn what_compaction_leaves_is_read_and_reading_goes_on_within_a_batch() {
    let holes = [value(3, b"x"), value(7, b"y")];
    let empty = Batch { last: 9, ..Batch::of(10, &[]) }.encode(&[]);
    let mut data = Batch { last: 9, ..Batch::of(0, &holes) }.encode(&encode(&holes));
    data.extend(empty);
    let (seen, next) = read(set(data.clone(), 0, Vec::new()));
    assert_eq!((offsets(&seen), next), (vec![3, 7], 20));
    let (seen, next) = read(set(data.clone(), 4, Vec::new()));
    assert_eq!((offsets(&seen), next), (vec![7], 20));
    // The last batch is not whole: it is asked for again.
    data.extend(&batch(20, Compression::None, &[value(0, b"z")])[..40]);
    assert_eq!(read(set(data, 8, Vec::new())), (Vec::new(), 20));
}

#[test]
fn times_are_those_of_the_records_or_of_the_broker_or_none() {
    let time = |attributes, first_time, time| {
        let records = [Written { time, ..value(0, b"x") }];
        let batch = Batch { attributes, first_time, max_time: 1_780_000_000_000, ..Batch::of(0, &records) };
        let (seen, _) = read(set(batch.encode(&encode(&records)), 0, Vec::new()));
        let [Seen::Record(_, time, ..)] = seen[..] else { panic!("{seen:?}") };
        time
    };
    assert_eq!(time(0, 1_000, 500), Some(1_500));
    assert_eq!(time(0, 1_000, -2_000), Some(-1_000));
    assert_eq!(time(APPEND_TIME, 1_000, 500), Some(1_780_000_000_000));
    for (first, more) in [(-1, 0), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN), (-300_000_000_000_000, 0)] {
        assert_eq!(time(0, first, more), None, "{first} {more}");
    }
}

fn written() -> impl Strategy<Value = Written> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    let maybe = move || proptest::option::of(bytes());
    let headers = proptest::collection::vec((bytes(), maybe()), 0..4);
    (1..5_i64, -1_000_000..1_000_000_i64, maybe(), maybe(), headers)
        .prop_map(|(delta, time, key, value, headers)| Written { delta, time, key, value, headers })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        mut records in proptest::collection::vec(written(), 1..60), compression in proptest::sample::select(&COMPRESSIONS),
        base in 0..i64::from(u32::MAX), from in 0..100_i64,
    ) {
        // What were steps become offsets.
        records.iter_mut().fold(-1, |last, record| {
            record.delta += last;
            record.delta
        });
        let data = batch(base, compression, &records);
        let expected: Vec<_> = records
            .iter()
            .filter(|record| record.delta >= from)
            .map(|record| {
                let Written { delta, time, key, value, headers } = record.clone();
                Seen::Record(base + delta, Some(time).filter(|time| *time != -1), key, value, headers)
            })
            .collect();
        let (seen, next) = read(set(data, base + from, Vec::new()));
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(next, base + records.last().unwrap().delta.max(from - 1) + 1);
    }

    #[test]
    fn no_bytes_make_it_panic_and_it_always_gets_on(
        bytes: Vec<u8>, attributes in 0..64_i16, records in 0..20_i32, last in 0..30_i32, from in 0..40_i64,
    ) {
        let data = Batch { attributes, records, last, ..Batch::of(0, &[]) }.encode(&bytes);
        let (seen, next) = read(set(data, from, Vec::new()));
        prop_assert_eq!(next, from.max(i64::from(last) + 1));
        let mut before = from - 1;
        for entry in seen {
            let (first, end) = match entry {
                Seen::Record(offset, ..) => (offset, offset),
                Seen::Unreadable(first, last, ..) => (first, last),
            };
            prop_assert!(first > before && end >= first && end < next);
            before = end;
        }
        let (_, next) = read(set(bytes, from, Vec::new()));
        prop_assert!(next >= from);
    }

    #[test]
    fn damage_is_found(at in 12..80_usize, records in proptest::collection::vec(written(), 1..2)) {
        let records = [Written { delta: 0, ..records[0].clone() }];
        let mut data = batch(0, Compression::None, &records);
        let at = at % data.len();
        data[at] ^= 0x40;
        let (seen, _) = read(set(data, 0, Vec::new()));
        // The leader's epoch is not part of what is checked, nor of what is read.
        if at >= 16 {
            prop_assert!(!matches!(seen[..], [Seen::Record(..)]));
        }
    }
}
