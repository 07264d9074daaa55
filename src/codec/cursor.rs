//! Where the next page of a list begins, as an opaque text: REST's cursors and gRPC's page tokens.
//!
//! A cursor holds a position (the sort key of the last item seen), not a count of items, so that pages neither repeat nor
//! skip what was there from the beginning when rows are added between them. It also holds what was asked, as a hash: with
//! other filters the position would mean something else.
//!
//! Cursors outlive the program that wrote them: while servers are replaced, versions answer side by side. The layout and what
//! is hashed are therefore fixed (a test holds cursors as they were written once); a list whose filters change gets a new
//! name. Nothing in a cursor is secret or trusted: whatever is in one is checked as if a caller had written it.

use crate::domain::{EventId, FieldError, PersonId, TimeRange};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};

/// What a list was asked for, without its limit and cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed(u64);

/// What an open beginning of a range is written as: the year 0, which earlier versions began with.
const OPEN: i64 = -62_167_219_200_000_000;

impl Listed {
    /// The events.
    pub fn events() -> Self {
        Self::new("events", &[])
    }

    /// The persons that are found by this text.
    pub fn persons(query: &str) -> Self {
        Self::new("persons", &[query])
    }

    /// A person's locations in a range.
    pub fn locations(person: PersonId, range: TimeRange) -> Self {
        let [from, to] = ends(range);
        Self::new("locations", &[&person.to_string(), &from, &to])
    }

    /// Whom a person met in a range; `rule` are the numbers that decide when two met.
    pub fn connections(person: PersonId, range: TimeRange, distance_m: f64, times: [TimeDelta; 3]) -> Self {
        let [from, to] = ends(range);
        let [within, gap, min_duration] = times.map(|time| micros(time).to_string());
        let distance = distance_m.to_bits().to_string();
        Self::new("connections.2", &[&person.to_string(), &from, &to, &distance, &within, &gap, &min_duration])
    }

    /// `list` names the list, `filters` everything that decides what is in it.
    fn new(list: &str, filters: &[&str]) -> Self {
        // FNV-1a, 64 bits (draft-eastlake-fnv): the same on every machine and in every version, which std's hashers are not.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        for text in [list].iter().chain(filters) {
            text.bytes().for_each(&mut eat);
            eat(0xff); // in no UTF-8 text, so that ("ab", "c") is not ("a", "bc")
        }
        Self(hash)
    }

    /// The cursor of a list of events: after this one.
    pub fn after_event(self, event: EventId) -> String {
        self.write(&[event.get().into()])
    }

    /// Reads what [`Listed::after_event`] wrote. `field` is what the caller calls the cursor, for the error.
    pub fn event(self, field: &str, text: &str) -> Result<EventId, FieldError> {
        let [id] = self.read(field, text)?;
        i32::try_from(id).ok().filter(|id| *id >= 1).map(EventId::new).ok_or_else(|| broken(field))
    }

    /// The cursor of a list of persons: after this one.
    pub fn after_person(self, person: PersonId) -> String {
        self.write(&[person.get()])
    }

    /// Reads what [`Listed::after_person`] wrote. `field` is what the caller calls the cursor, for the error.
    pub fn person(self, field: &str, text: &str) -> Result<PersonId, FieldError> {
        let [id] = self.read(field, text)?;
        PersonId::new(id, field).map_err(|_| broken(field))
    }

    /// The cursor of a list of locations: after this time and id.
    pub fn after_location(self, time: DateTime<Utc>, id: i64) -> String {
        self.write(&[time.timestamp_micros(), id])
    }

    /// Reads what [`Listed::after_location`] wrote; the time is in the range of the list.
    pub fn location(self, field: &str, range: TimeRange, text: &str) -> Result<(DateTime<Utc>, i64), FieldError> {
        let [micros, id] = self.read(field, text)?;
        let time = DateTime::from_timestamp_micros(micros).filter(|time| range.contains(*time) && id >= 1);
        time.map(|time| (time, id)).ok_or_else(|| broken(field))
    }

    /// Whether a text has the form of a list of locations' cursor, whatever was asked.
    pub fn check_location(field: &str, text: &str) -> Result<(), FieldError> {
        numbers::<2>(field, text).map(|_| ())
    }

    /// The cursor of a list of connections: after this total duration and person.
    pub fn after_connection(self, total_duration: TimeDelta, person: PersonId) -> String {
        self.write(&[micros(total_duration), person.get()])
    }

    /// Reads what [`Listed::after_connection`] wrote.
    pub fn connection(self, field: &str, text: &str) -> Result<(TimeDelta, PersonId), FieldError> {
        let [micros, id] = self.read(field, text)?;
        let person = PersonId::new(id, field).ok().filter(|_| micros >= 0);
        person.map(|person| (TimeDelta::microseconds(micros), person)).ok_or_else(|| broken(field))
    }

    fn write(self, position: &[i64]) -> String {
        let numbers = position.iter().flat_map(|number| number.to_be_bytes());
        URL_SAFE_NO_PAD.encode(self.0.to_be_bytes().into_iter().chain(numbers).collect::<Vec<u8>>())
    }

    fn read<const N: usize>(self, field: &str, text: &str) -> Result<[i64; N], FieldError> {
        let (of, position) = numbers(field, text)?;
        if of != self.0 {
            return Err(FieldError::new(field, "belongs to another list or to other filters; begin without one"));
        }
        Ok(position)
    }
}

/// The hash and the position in a cursor.
fn numbers<const N: usize>(field: &str, text: &str) -> Result<(u64, [i64; N]), FieldError> {
    // Nothing is unpacked that is longer than any of ours.
    let bytes = if text.len() <= 64 { URL_SAFE_NO_PAD.decode(text).ok() } else { None };
    let bytes = bytes.ok_or_else(|| broken(field))?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    let [of, position @ ..] = numbers else { return Err(broken(field)) };
    if !rest.is_empty() || position.len() != N {
        return Err(broken(field));
    }
    Ok((u64::from_be_bytes(*of), std::array::from_fn(|i| i64::from_be_bytes(position[i]))))
}

fn broken(field: &str) -> FieldError {
    FieldError::new(field, "is none of this list; take it from the page before, or begin without one")
}

fn ends(range: TimeRange) -> [String; 2] {
    let from = if range.from() == TimeRange::ALL.from() { OPEN } else { range.from().timestamp_micros() };
    [from, range.to().timestamp_micros()].map(|micros| micros.to_string())
}

fn micros(time: TimeDelta) -> i64 {
    time.num_microseconds().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn person(id: i64) -> PersonId {
        PersonId::new(id, "id").unwrap()
    }

    fn june() -> TimeRange {
        TimeRange::parse(Some("2026-06-01"), Some("2026-06-30")).unwrap()
    }

    #[test]
    fn a_cursor_comes_back_and_a_foreign_one_does_not() {
        let mine = Listed::persons("ada");
        let text = mine.after_person(person(42));
        assert_eq!(mine.person("cursor", &text), Ok(person(42)));
        for other in [Listed::persons("bob"), Listed::persons(""), Listed::locations(person(1), june())] {
            assert!(other.person("cursor", &text).unwrap_err().message.contains("other filters"));
        }
        let connections = |person, distance, within| {
            let times = [within, 600, 0].map(TimeDelta::seconds);
            Listed::connections(person, june(), distance, times)
        };
        let mine = connections(person(1), 10.0, 300);
        let text = mine.after_connection(TimeDelta::seconds(7), person(2));
        assert_eq!(mine.connection("cursor", &text), Ok((TimeDelta::seconds(7), person(2))));
        for other in
            [connections(person(2), 10.0, 300), connections(person(1), 9.0, 300), connections(person(1), 10.0, 299)]
        {
            assert!(other.connection("cursor", &text).is_err());
        }
    }

    /// Whoever changes these breaks the pages that callers are in while servers are replaced.
    #[test]
    fn cursors_are_as_they_were_written_once() {
        assert_eq!(Listed::persons("ada").after_person(person(42)), "bSvCSsOKJbcAAAAAAAAAKg");
        let open = Listed::locations(person(7), TimeRange::ALL);
        let time = DateTime::from_timestamp_micros(1_780_000_000_123_456).unwrap();
        assert_eq!(open.after_location(time, 9), "pw2a26FMAcoABlLmi7UiQAAAAAAAAAAJ");
        assert_eq!(Listed::locations(person(7), june()).after_location(time, 9), "-YO6u4qb09UABlLmi7UiQAAAAAAAAAAJ");
        let times = [300, 600, 0].map(TimeDelta::seconds);
        let connections = Listed::connections(person(7), june(), 10.0, times);
        assert_eq!(connections.after_connection(TimeDelta::seconds(60), person(9)), "kvVqo0LV8bAAAAAAA5OHAAAAAAAAAAAJ");
    }

    #[test]
    fn a_position_that_no_page_ends_with_is_refused() {
        let list = Listed::locations(person(1), june());
        let all = Listed::locations(person(1), TimeRange::ALL);
        // 4800 BC, the year 300000, the last microsecond of all, July.
        for micros in [-213_600_000_000_000_000, 9_200_000_000_000_000_000, i64::MIN, i64::MAX, 1_783_000_000_000_000] {
            assert!(list.location("cursor", june(), &list.write(&[micros, 1])).is_err(), "{micros}");
        }
        assert!(all.location("cursor", TimeRange::ALL, &all.write(&[i64::MIN, 1])).is_err());
        assert!(list.location("cursor", june(), &list.write(&[1_780_500_000_000_000, 0])).is_err());
        assert!(list.location("cursor", june(), &list.write(&[1_780_500_000_000_000, 1])).is_ok());
        assert!(Listed::persons("").person("cursor", &Listed::persons("").write(&[0])).is_err());
        assert!(Listed::persons("").person("cursor", &Listed::persons("").write(&[i64::MIN])).is_err());
        assert!(list.connection("cursor", &list.write(&[-1, 1])).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, bytes: Vec<u8>) {
            for text in [text, URL_SAFE_NO_PAD.encode(bytes)] {
                prop_assert!(Listed::persons("").person("cursor", &text).is_err());
                prop_assert!(Listed::persons("").location("cursor", TimeRange::ALL, &text).is_err());
            }
        }
    }
}
