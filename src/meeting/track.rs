//! A person's own locations, indexed by position and time, so that another person's location quickly finds its contacts.

use crate::geo::Coordinate;
use crate::geo::{Near, Position, chord2, distance_m, position};
use crate::meeting::ContactRule;
use chrono::{DateTime, Utc};

/// Where and when: a location without its person and id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fix {
    /// Microseconds since 1970 UTC.
    pub time: i64,
    pub coordinate: Coordinate,
}

impl Fix {
    pub fn new(time: DateTime<Utc>, coordinate: Coordinate) -> Self {
        Self { time: time.timestamp_micros(), coordinate }
    }

    /// Order by time, then place.
    fn key(&self) -> (i64, u64, u64) {
        let (latitude, longitude) = self.coordinate.bits();
        (self.time, latitude, longitude)
    }
}

/// A contact of two persons: their two locations, and how near.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    /// The earlier of the two; of two at one instant, the one of the person with the lower id.
    pub(super) first: Fix,
    second: Fix,
    /// Square of the straight line between the two, metres².
    chord2: f64,
}

impl Contact {
    /// Whether this is the nearer contact. Of equally near ones it is the earlier, which depends on neither ids nor arrival.
    ///
    /// Nearness goes by the straight line, which for two contacts that differ by less than 20 nm may not be the order of
    /// their distances; it is the same order from both sides and every time.
    pub(super) fn nearer_than(&self, other: &Self) -> bool {
        self.chord2
            .total_cmp(&other.chord2)
            .then_with(|| (self.first.time, self.second.time).cmp(&(other.first.time, other.second.time)))
            .then_with(|| (self.first.key(), self.second.key()).cmp(&(other.first.key(), other.second.key())))
            .is_lt()
    }

    pub(super) fn distance_m(&self) -> f64 {
        distance_m(self.first.coordinate, self.second.coordinate)
    }
}

/// Locations of one person as a tree of boxes in space and time.
///
/// A box is halved along whichever of place (in units of the distance) and time (in units of the window) it extends farther,
/// so that most boxes lie either wholly in reach of a location or wholly out of it, and count as one. That keeps a query
/// cheap when somebody has stood on one spot all day: it looks into the boxes that the rim of the reach cuts only.
pub struct Track {
    rule: ContactRule,
    near: Near,
    points: Vec<Point>,
    /// In preorder: a box's first half follows it.
    boxes: Vec<Box4>,
}

struct Point {
    at: Position,
    fix: Fix,
}

struct Box4 {
    low: Position,
    high: Position,
    /// The earliest and the latest time in it.
    time: (i64, i64),
    /// Its points.
    begin: u32,
    end: u32,
    /// Where its second half is; 0 if it is not halved.
    second: u32,
}

/// As many points are looked at one by one.
const LEAF: usize = 8;

/// A location that is compared with a track.
pub(super) struct Probe {
    at: Position,
    fix: Fix,
    /// Whether it is its person whose location counts as the first when two are simultaneous.
    lower_id: bool,
    /// The times that are near enough, both included.
    pub(super) window: (i64, i64),
}

impl Track {
    pub fn new(fixes: &[Fix], rule: ContactRule) -> Self {
        let points = fixes.iter().map(|&fix| Point { at: position(fix.coordinate), fix }).collect();
        let mut track = Self { rule, near: Near::new(rule.distance_m()), points, boxes: Vec::new() };
        if !track.points.is_empty() {
            track.halve(0, fixes.len());
        }
        track
    }

    pub fn rule(&self) -> ContactRule {
        self.rule
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Whether a location of another person is in contact with one of these.
    pub fn touches(&self, fix: Fix) -> bool {
        let probe = self.probe(fix, false);
        self.earliest(&probe, probe.window).is_some()
    }

    /// `lower_id`: whether the location's person has a lower id than the track's.
    pub(super) fn probe(&self, fix: Fix, lower_id: bool) -> Probe {
        Probe { at: position(fix.coordinate), fix, lower_id, window: self.rule.window(fix.time) }
    }

    /// Makes the box of these points and all boxes in it.
    fn halve(&mut self, begin: usize, end: usize) {
        let points = &mut self.points[begin..end];
        let (mut low, mut high) = (points[0].at, points[0].at);
        let mut time = (points[0].fix.time, points[0].fix.time);
        for point in points.iter() {
            for axis in 0..3 {
                low[axis] = low[axis].min(point.at[axis]);
                high[axis] = high[axis].max(point.at[axis]);
            }
            time = (time.0.min(point.fix.time), time.1.max(point.fix.time));
        }
        let this = self.boxes.len();
        self.boxes.push(Box4 { low, high, time, begin: begin as u32, end: end as u32, second: 0 });
        if end - begin <= LEAF {
            return;
        }
        let width = |axis: usize| high[axis] - low[axis];
        let axis = (0..3).max_by(|&a, &b| width(a).total_cmp(&width(b))).unwrap_or(0);
        let middle = points.len() / 2;
        let in_distances = width(axis) / self.rule.distance_m();
        let in_windows = match self.rule.within() {
            Some(within) => (time.1 - time.0) as f64 / (within.num_microseconds().unwrap_or(i64::MAX) as f64).max(1.0),
            None => 0.0,
        };
        if in_distances > in_windows {
            points.select_nth_unstable_by(middle, |a, b| a.at[axis].total_cmp(&b.at[axis]));
        } else {
            points.select_nth_unstable_by_key(middle, |point| point.fix.time);
        }
        self.halve(begin, begin + middle);
        self.boxes[this].second = self.boxes.len() as u32;
        self.halve(begin + middle, end);
    }

    /// When the first contact with the probe is, at `times` (both included) alone.
    pub(super) fn earliest(&self, probe: &Probe, times: (i64, i64)) -> Option<i64> {
        let mut best = None;
        self.extreme::<false>(0, probe, times, &mut best);
        best
    }

    /// When the last contact with the probe is, at `times` (both included) alone.
    pub(super) fn latest(&self, probe: &Probe, times: (i64, i64)) -> Option<i64> {
        let mut best = None;
        self.extreme::<true>(0, probe, times, &mut best);
        best
    }

    fn extreme<const LATEST: bool>(&self, at: usize, probe: &Probe, times: (i64, i64), best: &mut Option<i64>) {
        let Some(node) = self.boxes.get(at) else { return };
        let better = |time: i64, best: &Option<i64>| match best {
            None => true,
            Some(best) if LATEST => time > *best,
            Some(best) => time < *best,
        };
        let extreme = if LATEST { node.time.1 } else { node.time.0 };
        if node.time.0 > times.1
            || node.time.1 < times.0
            || !better(extreme, best)
            || self.near.surely_not(node.least_chord2(&probe.at))
        {
            return;
        }
        if (times.0..=times.1).contains(&extreme) && self.near.surely(node.most_chord2(&probe.at)) {
            *best = Some(extreme);
        } else if node.second == 0 {
            for point in &self.points[node.begin as usize..node.end as usize] {
                let time = point.fix.time;
                if (times.0..=times.1).contains(&time)
                    && better(time, best)
                    && self.near.holds(chord2(&point.at, &probe.at), point.fix.coordinate, probe.fix.coordinate)
                {
                    *best = Some(time);
                }
            }
        } else {
            let (first, second) = (at + 1, node.second as usize);
            let swap = if LATEST {
                self.boxes[second].time.1 > self.boxes[first].time.1
            } else {
                self.boxes[second].time.0 < self.boxes[first].time.0
            };
            let (sooner, later) = if swap { (second, first) } else { (first, second) };
            self.extreme::<LATEST>(sooner, probe, times, best);
            self.extreme::<LATEST>(later, probe, times, best);
        }
    }

    /// The nearest contact with the probe, if it is nearer than `bound`.
    pub(super) fn nearest(&self, probe: &Probe, bound: Option<&Contact>) -> Option<Contact> {
        let mut best = Nearest { contact: bound.copied(), found: false };
        if !self.boxes.is_empty() {
            self.search(0, self.boxes[0].least_chord2(&probe.at), probe, &mut best);
        }
        if best.found { best.contact } else { None }
    }

    fn search(&self, at: usize, least: f64, probe: &Probe, best: &mut Nearest) {
        let node = &self.boxes[at];
        let (from, to) = probe.window;
        if node.time.0 > to || node.time.1 < from || self.near.surely_not(least) {
            return;
        }
        if let Some(known) = &best.contact {
            // No contact in this box is nearer than `least`, nor (of equally near ones) earlier than with its first time:
            // for one location, the earlier its partner, the earlier both the first and the second of the two.
            let time = node.time.0.max(from);
            let times = (time.min(probe.fix.time), time.max(probe.fix.time));
            let order = least.total_cmp(&known.chord2).then(times.cmp(&(known.first.time, known.second.time)));
            if order.is_gt() {
                return;
            }
        }
        if node.second == 0 {
            for point in &self.points[node.begin as usize..node.end as usize] {
                if !(from..=to).contains(&point.fix.time) {
                    continue;
                }
                let chord2 = chord2(&point.at, &probe.at);
                if best.contact.is_some_and(|known| chord2 > known.chord2) {
                    continue;
                }
                let probe_first =
                    probe.fix.time < point.fix.time || (probe.fix.time == point.fix.time && probe.lower_id);
                let (first, second) = if probe_first { (probe.fix, point.fix) } else { (point.fix, probe.fix) };
                let contact = Contact { first, second, chord2 };
                if best.contact.is_none_or(|known| contact.nearer_than(&known))
                    && self.near.holds(chord2, point.fix.coordinate, probe.fix.coordinate)
                {
                    *best = Nearest { contact: Some(contact), found: true };
                }
            }
        } else {
            let (first, second) = (at + 1, node.second as usize);
            let key = |at: usize| (self.boxes[at].least_chord2(&probe.at), self.boxes[at].time.0);
            let (first_key, second_key) = (key(first), key(second));
            let swap = second_key.0.total_cmp(&first_key.0).then(second_key.1.cmp(&first_key.1)).is_lt();
            if swap {
                self.search(second, second_key.0, probe, best);
                self.search(first, first_key.0, probe, best);
            } else {
                self.search(first, first_key.0, probe, best);
                self.search(second, second_key.0, probe, best);
            }
        }
    }
}

struct Nearest {
    contact: Option<Contact>,
    found: bool,
}

impl Box4 {
    /// No point in the box has a straight line with a smaller square. (Every step rounds monotonically, so this holds to the
    /// last bit.)
    fn least_chord2(&self, at: &Position) -> f64 {
        let side = |axis: usize| (self.low[axis] - at[axis]).max(at[axis] - self.high[axis]).max(0.0);
        let [x, y, z] = [side(0), side(1), side(2)];
        x * x + y * y + z * z
    }

    /// No point in the box has a straight line with a larger square.
    fn most_chord2(&self, at: &Position) -> f64 {
        let side = |axis: usize| (at[axis] - self.low[axis]).max(self.high[axis] - at[axis]);
        let [x, y, z] = [side(0), side(1), side(2)];
        x * x + y * y + z * z
    }
}
