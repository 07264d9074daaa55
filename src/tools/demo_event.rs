//! The standard event: a hall with booths, and people who go from one to another.
//!
//! A person's name and way depend on their number alone, so that a larger event holds every smaller one, and loading one
//! twice changes nothing. All arithmetic is +, −, × and rounding: the same on every machine.

use crate::domain::{LocationInput, NewPerson};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// Where and when the event is, and who comes.
#[derive(Clone, Copy, Debug)]
pub struct DemoEvent {
    pub persons: u32,
    pub days: u32,
}

/// The south-west corner of the hall, degrees: Albuquerque's convention centre.
const CORNER: (f64, f64) = (35.0872, -106.6478);
/// Degrees per metre there, north and east.
const PER_METRE: (f64, f64) = (9.013e-6, 1.0967e-5);
/// Booths stand this many metres apart, along a hall of 300 m × 150 m.
const BOOTH_SPACING: f64 = 15.0;
const BOOTHS_EAST: u64 = 20;
const BOOTHS_NORTH: u64 = 10;
/// Each day from nine to six in the hall's time zone.
const OPENS_UTC_HOUR: i64 = 15;
pub const HOURS: u32 = 9;
/// How long a person stays at a booth, and how often their phone tells where it is.
pub const MINUTES_AT_A_BOOTH: u32 = 10;
/// Standard deviation of a phone's error, metres, each way.
const NOISE: f64 = 3.0;

impl DemoEvent {
    /// The stays of a day: 10 minutes each, the doors being open for nine hours.
    pub const STAYS: u32 = HOURS * 60 / MINUTES_AT_A_BOOTH;

    /// How many locations there are: one a minute for everybody.
    pub fn locations(self) -> u64 {
        u64::from(self.persons) * u64::from(self.days) * u64::from(Self::STAYS * MINUTES_AT_A_BOOTH)
    }

    /// The key by which a person of the event is found again.
    pub fn key(person: u32) -> String {
        format!("demo-{:06}", person + 1)
    }

    /// Who a person is; `person` counts from 0.
    pub fn person(person: u32) -> NewPerson {
        let mut random = Random::of([1, u64::from(person), 0]);
        let pick = |random: &mut Random, list: &[&'static str]| list[random.below(list.len() as u64) as usize];
        let (first, last, company) =
            (pick(&mut random, FIRST_NAMES), pick(&mut random, LAST_NAMES), pick(&mut random, COMPANIES));
        NewPerson::new(first, last, company).expect("the names below are valid")
    }

    /// A person's locations during one stay of one day (both from 0), one a minute, oldest first. `id` goes into them.
    pub fn stay(person: u32, id: i64, day: u32, stay: u32) -> impl Iterator<Item = LocationInput> {
        let mut random = Random::of([2, u64::from(person), u64::from(day * Self::STAYS + stay)]);
        let (east, north) = before_a_booth(&mut random);
        // Each phone has a second of its own, as it was switched on at some time.
        let second = Random::of([3, u64::from(person), 0]).below(60);
        let begin = opening(day) + TimeDelta::seconds(i64::from(stay * MINUTES_AT_A_BOOTH) * 60 + second as i64);
        (0..MINUTES_AT_A_BOOTH).map(move |minute| {
            // North first: another order would be another event.
            let (north, east) = (north + random.normal() * NOISE, east + random.normal() * NOISE);
            let (latitude, longitude) = place(east, north);
            LocationInput {
                person_id: id,
                latitude,
                longitude,
                creation_time: Some(begin + TimeDelta::minutes(i64::from(minute))),
                accuracy_m: Some((20.0 + random.unit() * 60.0).round() / 10.0),
            }
        })
    }
}

/// Metres east and north of the hall's corner: before a booth, not in it.
pub(super) fn before_a_booth(random: &mut Random) -> (f64, f64) {
    let (east, north) = (random.below(BOOTHS_EAST), random.below(BOOTHS_NORTH));
    ((east as f64 + 0.5) * BOOTH_SPACING, (north as f64 + 0.5) * BOOTH_SPACING - 2.0 + random.unit() * 4.0)
}

/// Latitude and longitude of a place in the hall, as phones write them.
pub(super) fn place(east: f64, north: f64) -> (f64, f64) {
    (degrees(CORNER.0 + north * PER_METRE.0), degrees(CORNER.1 + east * PER_METRE.1))
}

/// What the event is called.
pub const NAME: &str = "Demo event";
/// Where its hall is.
pub const ZONE: &str = "America/Denver";
/// Its first day, unless another one is wanted.
pub const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();

/// When the doors open on a day, counted from 0.
pub fn opening(day: u32) -> DateTime<Utc> {
    let first = FIRST_DAY.and_time(chrono::NaiveTime::MIN).and_utc();
    first + TimeDelta::days(day.into()) + TimeDelta::hours(OPENS_UTC_HOUR)
}

/// As phones write them: to the ten-millionth of a degree, a centimetre.
fn degrees(value: f64) -> f64 {
    (value * 1e7).round() / 1e7
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and its numbers will never change under us as a library's may.
pub(super) struct Random(u64);

impl Random {
    /// A generator for one purpose; equal parts give equal numbers.
    pub(super) fn of(parts: [u64; 3]) -> Self {
        parts.into_iter().fold(Self(0), |seed, part| {
            let mut mixed = Self(seed.0 ^ part);
            Self(mixed.next())
        })
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        (self.unit() * n as f64) as u64
    }

    /// About normal, with mean 0 and deviation 1: the sum of twelve units less its mean (Irwin–Hall), which needs no
    /// logarithm, whose last bit differs from machine to machine.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

const FIRST_NAMES: &[&str] = &[
    "Ada",
    "Aisha",
    "Akira",
    "Alejandro",
    "Amara",
    "Amina",
    "Anders",
    "Anjali",
    "Anna",
    "Antonio",
    "Astrid",
    "Ayşe",
    "Beatriz",
    "Björn",
    "Carlos",
    "Chen",
    "Chiara",
    "Chloé",
    "Daniel",
    "David",
    "Deepa",
    "Elena",
    "Elif",
    "Emma",
    "Fatima",
    "Felix",
    "Femi",
    "Freya",
    "Gabriel",
    "Giulia",
    "Grace",
    "Hana",
    "Hassan",
    "Ines",
    "Ingrid",
    "Isabel",
    "Ivan",
    "Jamal",
    "Jana",
    "João",
    "Jonas",
    "Joy",
    "Kaja",
    "Kenji",
    "Khadija",
    "Klara",
    "Kofi",
    "Lars",
    "Laura",
    "Leila",
    "Liam",
    "Lina",
    "Lucía",
    "Luka",
    "Maja",
    "Malik",
    "Marek",
    "María",
    "Mateo",
    "Mei",
    "Miguel",
    "Mila",
    "Min-jun",
    "Mohammed",
    "Nadia",
    "Naomi",
    "Nia",
    "Nikolai",
    "Noor",
    "Olga",
    "Oliver",
    "Omar",
    "Priya",
    "Rafael",
    "Ravi",
    "Rosa",
    "Sakura",
    "Samira",
    "Santiago",
    "Sara",
    "Selma",
    "Siobhán",
    "Sofia",
    "Soo-ah",
    "Tariq",
    "Teresa",
    "Thomas",
    "Tomás",
    "Ursula",
    "Viktor",
    "Wanjiru",
    "Wei",
    "Yara",
    "Yuki",
    "Yusuf",
    "Zainab",
    "Zoe",
    "Zuzana",
];
const LAST_NAMES: &[&str] = &[
    "Abe",
    "Adeyemi",
    "Ahmed",
    "Ali",
    "Almeida",
    "Andersson",
    "Bauer",
    "Becker",
    "Bianchi",
    "Brown",
    "Castro",
    "Chen",
    "Chukwu",
    "Cohen",
    "Costa",
    "Dahl",
    "Das",
    "Diallo",
    "Dubois",
    "Eriksen",
    "Evans",
    "Fernández",
    "Fischer",
    "Fofana",
    "García",
    "Gupta",
    "Haddad",
    "Hansen",
    "Hernández",
    "Hoffmann",
    "Horvat",
    "Hossain",
    "Ibrahim",
    "Ivanova",
    "Jansen",
    "Jensen",
    "Johnson",
    "Kamau",
    "Kaya",
    "Khan",
    "Kim",
    "Kovács",
    "Kowalska",
    "Kumar",
    "Larsen",
    "Lee",
    "Li",
    "Lindqvist",
    "López",
    "Martin",
    "Mbeki",
    "Mensah",
    "Meyer",
    "Moreau",
    "Moretti",
    "Müller",
    "Murphy",
    "Nakamura",
    "Nguyen",
    "Nielsen",
    "Novak",
    "Nowak",
    "O’Brien",
    "Okafor",
    "Oliveira",
    "Park",
    "Patel",
    "Pereira",
    "Petrov",
    "Popescu",
    "Reyes",
    "Ricci",
    "Rossi",
    "Santos",
    "Sato",
    "Schmidt",
    "Shah",
    "Sharma",
    "Silva",
    "Singh",
    "Smith",
    "Sokolov",
    "Sørensen",
    "Suzuki",
    "Svensson",
    "Tanaka",
    "Taylor",
    "Tran",
    "Van Dijk",
    "Virtanen",
    "Wagner",
    "Wang",
    "Weber",
    "Williams",
    "Wójcik",
    "Yamamoto",
    "Yılmaz",
    "Zhang",
];
const COMPANIES: &[&str] = &[
    "Amber & Sons",
    "Arroyo Robotics",
    "Basalt Cloud",
    "Bluefin Analytics",
    "Brightwell Health",
    "Cedar Logistics",
    "Cobalt Semiconductors",
    "Copperline Energy",
    "Driftwood Games",
    "Eastgate Insurance",
    "Fathom Maps",
    "Fjord Software",
    "Foxglove Biotech",
    "Granite Security",
    "Halcyon Media",
    "Hearth Homes",
    "Indigo Mobility",
    "Juniper Foods",
    "Kestrel Aerospace",
    "Lantern Education",
    "Lodestar Consulting",
    "Marigold Payments",
    "Meadow Agritech",
    "Mesa Water",
    "Nimbus Weather",
    "Northwind Rail",
    "Oakbridge University",
    "Obsidian Labs",
    "Orchard Retail",
    "Pinyon Partners",
    "Quartz Instruments",
    "Quill & Type",
    "Redwood Paper",
    "Ridgeline Outdoors",
    "Saffron Kitchens",
    "Sandia Optics",
    "Sequoia Structures",
    "Silverlake Studios",
    "Summit Travel",
    "Tidewater Shipping",
    "Turquoise Textiles",
    "Vantage Sensors",
    "Verdant Grid",
    "Willow Care",
    "Yucca Design",
    "Zephyr Wind",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_is_the_same_every_time() {
        let first = DemoEvent::stay(0, 1, 0, 0).next().unwrap();
        let again = DemoEvent::stay(0, 1, 0, 0).next().unwrap();
        assert_eq!((first.latitude, first.longitude), (again.latitude, again.longitude));
        // Written down once: if this changes, a second load would no longer find what the first one stored.
        assert_eq!(format!("{} {} {:?}", first.latitude, first.longitude, first.creation_time), RECORDED);
        assert_eq!(DemoEvent::person(0).first_name(), RECORDED_NAME);
    }
    const RECORDED: &str = "35.0872582 -106.6459018 Some(2026-06-01T15:00:50Z)";
    const RECORDED_NAME: &str = "Thomas";

    #[test]
    fn everybody_stays_in_or_about_the_hall() {
        for person in 0..50 {
            for stay in 0..DemoEvent::STAYS {
                for location in DemoEvent::stay(person, 1, 0, stay) {
                    let north = (location.latitude - CORNER.0) / PER_METRE.0;
                    let east = (location.longitude - CORNER.1) / PER_METRE.1;
                    assert!((-15.0..=165.0).contains(&north) && (-15.0..=315.0).contains(&east), "{north} {east}");
                }
            }
        }
    }
}
