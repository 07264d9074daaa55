//! Where and when to look for others: the cells in reach of a person's own locations, each with the times that are near enough.

use crate::domain::TimeRange;
use crate::geo::{Cell, CellRange, Extent, cell_height_m};
use crate::meeting::{ContactRule, Fix};
use std::collections::{BTreeSet, HashMap};

/// Cells side by side, and times in microseconds since 1970 UTC, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub cells: CellRange,
    pub from: i64,
    pub to: i64,
}

/// Every cell and time in the range at which a contact with one of these locations can be; no cell and time twice.
///
/// Locations near each other in place and time are taken together (a visit), so that there are few lookups, and a little
/// more is looked at than could be a contact. What is kept are the visits' rows, [`Lookups::affordable`] of them; what becomes
/// of these is made row by row, when it is asked for.
pub struct Lookups {
    /// By row, then cells, then time; they may overlap.
    rectangles: Vec<Lookup>,
}

impl Lookups {
    /// The most rows of visits that are kept at once, 32 bytes each.
    pub const MOST: usize = 100_000;

    /// How many of the first locations have at most [`Self::MOST`] rows of visits; 1 at least. Counted, and not made: they may be
    /// a thousand times as many as the locations.
    pub fn affordable(fixes: &[Fix], rule: ContactRule) -> usize {
        let rows = (rule.distance_m() * (2.0 + SPREAD) / cell_height_m()).ceil() as usize + 2;
        let visits = (Self::MOST / rows).max(1);
        let mut counted = Visits::new(rule);
        for (i, fix) in fixes.iter().enumerate() {
            counted.add(fix, rule);
            if counted.visits.len() > visits {
                return i.max(1);
            }
        }
        fixes.len()
    }

    pub fn of(fixes: &[Fix], rule: ContactRule, range: TimeRange) -> Self {
        Self { rectangles: rectangles(fixes, rule, range) }
    }

    /// The lookups row by row, in ascending order of cells.
    pub fn rows(&self) -> impl Iterator<Item = Vec<Lookup>> {
        self.rectangles.chunk_by(|a, b| a.cells.row() == b.cells.row()).map(disjoint)
    }
}

/// All of [`Lookups`] at once, for few locations.
pub fn lookups(fixes: &[Fix], rule: ContactRule, range: TimeRange) -> Vec<Lookup> {
    Lookups::of(fixes, rule, range).rows().flatten().collect()
}

fn rectangles(fixes: &[Fix], rule: ContactRule, range: TimeRange) -> Vec<Lookup> {
    let mut rectangles: Vec<Lookup> = visits(fixes, rule)
        .into_iter()
        .filter_map(|visit| {
            let from = rule.window(visit.from).0.max(range.from().timestamp_micros());
            let to = rule.window(visit.to).1.min(range.to().timestamp_micros() - 1);
            (from <= to).then(|| {
                let reach = visit.extent.reach(rule.distance_m());
                reach.into_iter().map(move |cells| Lookup { cells, from, to })
            })
        })
        .flatten()
        .collect();
    rectangles.sort_unstable_by_key(|lookup| (lookup.cells, lookup.from));
    rectangles.dedup_by(|next, kept| next.cells == kept.cells && join(kept, next));
    rectangles
}

/// Some locations near each other, from the first to the last.
struct Visit {
    extent: Extent,
    from: i64,
    to: i64,
}

/// How much farther than the distance a visit may make us look, as a share of the distance.
const SPREAD: f64 = 0.25;

fn visits(fixes: &[Fix], rule: ContactRule) -> Vec<Visit> {
    let mut visits = Visits::new(rule);
    fixes.iter().for_each(|fix| visits.add(fix, rule));
    visits.visits
}

struct Visits {
    visits: Vec<Visit>,
    /// The last visit of each place.
    latest: HashMap<(i64, i64), usize>,
    /// How high a place is, degrees.
    height: f64,
}

impl Visits {
    fn new(rule: ContactRule) -> Self {
        let height = (rule.distance_m() * SPREAD).max(cell_height_m()) / METRES_PER_DEGREE;
        Self { visits: Vec::new(), latest: HashMap::new(), height }
    }

    fn add(&mut self, fix: &Fix, rule: ContactRule) {
        let row = (fix.coordinate.latitude() / self.height).floor();
        let width = self.height / ((row + 0.5) * self.height).to_radians().cos().max(1e-3);
        let place = (row as i64, (fix.coordinate.longitude() / width).floor() as i64);
        let at = *self.latest.entry(place).or_insert(self.visits.len());
        match self.visits.get_mut(at) {
            Some(visit) if touching(visit.to, rule, fix.time) => {
                visit.extent.include(fix.coordinate);
                visit.from = visit.from.min(fix.time);
                visit.to = visit.to.max(fix.time);
            }
            _ => {
                self.latest.insert(place, self.visits.len());
                self.visits.push(Visit { extent: Extent::of(fix.coordinate), from: fix.time, to: fix.time });
            }
        }
    }
}

/// Only a size to aim at depends on this.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// A lookup costs about as much as the rows that some seconds hold: shorter pauses are looked at rather than left out.
const PAUSE: i64 = 10_000_000;

/// Whether the windows around two times leave no pause between them.
fn touching(earlier: i64, rule: ContactRule, later: i64) -> bool {
    rule.window(earlier).1.saturating_add(PAUSE) >= rule.window(later).0
}

/// Lets the first take in the second if they leave no pause; they must be of the same cells and the first not begin later.
fn join(first: &mut Lookup, second: &Lookup) -> bool {
    let joined = first.to.saturating_add(PAUSE) >= second.from;
    if joined {
        first.to = first.to.max(second.to);
    }
    joined
}

/// The same cells and times as these overlapping lookups in one row, without overlaps.
fn disjoint(row: &[Lookup]) -> Vec<Lookup> {
    let mut edges: Vec<i64> =
        row.iter().flat_map(|lookup| [lookup.cells.first.get(), lookup.cells.last.get() + 1]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut leaving: Vec<usize> = (0..row.len()).collect();
    leaving.sort_unstable_by_key(|&i| row[i].cells.last);
    let (mut entering, mut leaving) = ((0..row.len()).peekable(), leaving.into_iter().peekable());
    let mut present: BTreeSet<(i64, i64, usize)> = BTreeSet::new();
    let mut result: Vec<Lookup> = Vec::new();
    // Where in `result` the columns before this edge begin.
    let mut before = 0;
    for edge in edges.windows(2) {
        while let Some(i) = leaving.next_if(|&i| row[i].cells.last.get() < edge[0]) {
            present.remove(&(row[i].from, row[i].to, i));
        }
        while let Some(i) = entering.next_if(|&i| row[i].cells.first.get() <= edge[0]) {
            present.insert((row[i].from, row[i].to, i));
        }
        let cells = CellRange { first: Cell::numbered(edge[0]), last: Cell::numbered(edge[1] - 1) };
        let mut here: Vec<Lookup> = Vec::new();
        for &(from, to, _) in &present {
            let lookup = Lookup { cells, from, to };
            if !here.last_mut().is_some_and(|last| join(last, &lookup)) {
                here.push(lookup);
            }
        }
        let same = |a: &Lookup, b: &Lookup| a.cells.last.get() + 1 == edge[0] && (a.from, a.to) == (b.from, b.to);
        let last = &mut result[before..];
        if last.len() == here.len() && last.iter().zip(&here).all(|(a, b)| same(a, b)) {
            last.iter_mut().for_each(|lookup| lookup.cells.last = cells.last);
        } else {
            before = result.len();
            result.append(&mut here);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Coordinate, cell_of};
    use chrono::TimeDelta;
    use geographiclib_rs::{DirectGeodesic, Geodesic};
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000_000;

    fn rule(distance: f64, within: i64) -> ContactRule {
        ContactRule::new(distance, Some(TimeDelta::microseconds(within))).unwrap()
    }

    fn standing(latitude: f64, longitude: f64, count: i64) -> Vec<Fix> {
        (0..count)
            .map(|i| Fix {
                time: i * 1_000_000,
                // Some metres to and fro.
                coordinate: Coordinate::new(
                    latitude + (i * 7 % 11) as f64 * 5e-6,
                    longitude + (i * 5 % 13) as f64 * 5e-6,
                )
                .unwrap(),
            })
            .collect()
    }

    #[test]
    fn a_day_on_one_spot_is_few_lookups() {
        let found = lookups(&standing(37.5, -122.3, 32_400), rule(10.0, 300_000_000), TimeRange::ALL);
        assert!(found.len() <= 12, "{}", found.len());
        let found = lookups(&standing(37.5, -122.3, 32_400), rule(1_000.0, 300_000_000), TimeRange::ALL);
        assert!(found.len() <= 500, "{}", found.len());
    }

    #[test]
    fn what_can_be_afforded_is_counted_before_it_is_made() {
        // Each a kilometre and more from the others.
        let places: Vec<Fix> = (0..50_000)
            .map(|i| Fix {
                time: i * 1_000_000,
                coordinate: Coordinate::new((i % 170) as f64 - 85.0, (i / 170) as f64 * 0.5 - 170.0).unwrap(),
            })
            .collect();
        let (near, far) = (rule(5.0, 300_000_000), rule(1_000.0, 300_000_000));
        for rule in [near, far] {
            let count = Lookups::affordable(&places, rule);
            let made = Lookups::of(&places[..count], rule, TimeRange::ALL).rectangles.len();
            assert!(made > Lookups::MOST / 2 && made < Lookups::MOST * 2, "{count} locations, {made} lookups");
        }
        let day = standing(37.5, -122.3, 32_400);
        assert_eq!(Lookups::affordable(&day, far), day.len());
        assert_eq!(Lookups::affordable(&day[..1], far), 1);
    }

    #[test]
    fn the_range_clips() {
        let time = |micros| chrono::DateTime::from_timestamp_micros(micros).unwrap();
        let range = TimeRange::new(time(10), time(20)).unwrap();
        let found = lookups(&standing(37.5, -122.3, 1), rule(10.0, HOUR), range);
        assert!(found.iter().all(|lookup| (lookup.from, lookup.to) == (10, 19)), "{found:?}");
    }

    fn own() -> impl Strategy<Value = Vec<Fix>> {
        let place = prop_oneof![
            (37.553..37.5534, -122.2908..-122.2904),
            (37.553..37.5534, -122.2908..-122.2904),
            (-0.0002..0.0002, 179.9998..=180.0),
            (-0.0002..0.0002, -180.0..=-179.9998),
            (89.9999..=90.0, -180.0..=180.0),
        ];
        let fix = (place, 0..48 * HOUR).prop_map(|((latitude, longitude), time)| Fix {
            time,
            coordinate: Coordinate::new(latitude, longitude).unwrap(),
        });
        prop::collection::vec(fix, 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_contact_is_looked_up_exactly_once(
            mut own in own(),
            distance in prop_oneof![1.0..50.0, Just(10.0), Just(1_000.0)],
            within in prop_oneof![Just(0), Just(300_000_000), Just(24 * HOUR), 0..HOUR],
            which in any::<prop::sample::Index>(),
            azimuth in 0.0..360.0,
            share in prop_oneof![0.0..=1.0, Just(1.0)],
            later in prop_oneof![-1.0..=1.0, Just(1.0), Just(-1.0)],
        ) {
            own.sort_by_key(|fix| fix.time);
            let found = lookups(&own, rule(distance, within), TimeRange::ALL);
            let near = own[which.index(own.len())];
            let (latitude, longitude): (f64, f64) = Geodesic::wgs84().direct(
                near.coordinate.latitude(), near.coordinate.longitude(), azimuth, distance * share);
            let other = Coordinate::new(latitude.clamp(-90.0, 90.0), longitude.clamp(-180.0, 180.0)).unwrap();
            let time = near.time + (within as f64 * later) as i64;
            let hits = found
                .iter()
                .filter(|lookup| lookup.cells.contains(cell_of(other)) && (lookup.from..=lookup.to).contains(&time))
                .count();
            prop_assert_eq!(hits, 1);
        }
    }
}
