//! The grid by which people near each other are found.
//!
//! Rows of equal height in latitude, each cut into columns that are about as wide as the row is high. A cell's number is its
//! row and its column, so that the cells of one row that lie side by side have numbers side by side, and a disc on the
//! ground is a few ranges of numbers: one a row, two where it crosses the antimeridian.

use crate::geo::Coordinate;

/// Rows from pole to pole; 2^22 of them are 4.8 m high.
const ROWS: i64 = 1 << 22;
/// Columns of a row at the equator.
const COLUMNS: i64 = 2 * ROWS;
/// A row has a multiple of `COLUMNS / STEPS` columns, see [`columns`].
const STEPS: i64 = 256;
const ROW_SHIFT: u32 = 32;

/// Semi-major axis of WGS 84, metres.
const EQUATORIAL_RADIUS: f64 = 6_378_137.0;
/// The smallest radius of curvature of a meridian of WGS 84, a(1 − e²), metres: at the equator.
const SMALLEST_MERIDIAN_RADIUS: f64 = 6_335_439.0;
/// Rounding of the arithmetic below is a million times smaller than this share, which is 1 mm in a kilometre.
const MARGIN: f64 = 1.0 + 1e-6;

/// One cell of the grid. Every coordinate lies in exactly one; 180° and −180° of longitude, which are one place, in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(i64);

impl Cell {
    /// The number that is stored.
    pub fn get(self) -> i64 {
        self.0
    }

    /// The cell that has this number, as it was stored.
    pub fn numbered(number: i64) -> Self {
        Self(number)
    }

    fn new(row: i64, column: i64) -> Self {
        Self(row << ROW_SHIFT | column)
    }
}

/// How high a cell is, in metres, about.
pub(crate) fn cell_height_m() -> f64 {
    180.0 / ROWS as f64 * 111_195.0
}

/// The cell that holds a coordinate.
pub fn cell_of(coordinate: Coordinate) -> Cell {
    let row = row_of(coordinate.latitude());
    Cell::new(row, column_of(west_of_180(coordinate.longitude()), columns(row)))
}

/// Cells with numbers side by side, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellRange {
    pub first: Cell,
    pub last: Cell,
}

impl CellRange {
    pub fn contains(self, cell: Cell) -> bool {
        self.first <= cell && cell <= self.last
    }

    /// How many there are.
    pub fn count(self) -> u64 {
        self.last.0.abs_diff(self.first.0) + 1
    }

    /// Each of them.
    pub fn cells(self) -> impl Iterator<Item = Cell> {
        (self.first.0..=self.last.0).map(Cell)
    }

    /// The row that all of them are in.
    pub(crate) fn row(self) -> i64 {
        self.first.0 >> ROW_SHIFT
    }
}

/// The smallest box of latitudes and longitudes around some coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    south: f64,
    north: f64,
    west: f64,
    east: f64,
}

impl Extent {
    pub fn of(coordinate: Coordinate) -> Self {
        let (latitude, longitude) = (coordinate.latitude(), west_of_180(coordinate.longitude()));
        Self { south: latitude, north: latitude, west: longitude, east: longitude }
    }

    /// Grows the box until it holds another coordinate. A box never crosses the antimeridian: of coordinates on both sides of it
    /// becomes one that goes round the other way, which is large, but no less right.
    pub fn include(&mut self, coordinate: Coordinate) {
        let other = Self::of(coordinate);
        self.south = self.south.min(other.south);
        self.north = self.north.max(other.north);
        self.west = self.west.min(other.west);
        self.east = self.east.max(other.east);
    }

    /// Every cell that holds a place within `metres` (≥ 0) of a place in the box, as disjoint ranges in ascending order.
    ///
    /// Why none is missed: on a surface of revolution a path's length is ds² = M² dφ² + p² dλ², with M the meridian's radius
    /// of curvature and p the parallel's radius. M is nowhere smaller than a(1 − e²), so a path of length D stays within
    /// D / (a(1 − e²)) of latitude. p(φ) ≥ a cos φ, so on such a path the longitude changes by at most D / (a cos φ) with the
    /// largest |φ| in reach; a reach that touches a pole takes whole rows.
    pub fn reach(self, metres: f64) -> Vec<CellRange> {
        let metres = metres * MARGIN + 1e-3;
        let dlat = (metres / SMALLEST_MERIDIAN_RADIUS).to_degrees();
        let (south, north) = (self.south - dlat, self.north + dlat);
        let farthest = south.abs().max(north.abs());
        let parallel = EQUATORIAL_RADIUS * farthest.to_radians().cos();
        let dlon = if farthest < 90.0 { (metres / parallel).to_degrees() } else { f64::INFINITY };
        let (west, east) = (self.west - dlon, self.east + dlon);
        let mut ranges = Vec::new();
        for row in row_of(south)..=row_of(north) {
            let columns = columns(row);
            let mut range =
                |first, last| ranges.push(CellRange { first: Cell::new(row, first), last: Cell::new(row, last) });
            if east - west >= 360.0 {
                range(0, columns - 1);
                continue;
            }
            let (first, last) = (wrapped_column(west, columns), wrapped_column(east, columns));
            if west >= -180.0 && east < 180.0 {
                range(first, last);
            } else if first <= last {
                // Both ends in one cell, all the way round.
                range(0, columns - 1);
            } else {
                range(0, last);
                range(first, columns - 1);
            }
        }
        ranges
    }
}

fn row_of(latitude: f64) -> i64 {
    // The cast saturates, so that whatever reaches past a pole is in the last row.
    (((latitude + 90.0) / 180.0 * ROWS as f64) as i64).clamp(0, ROWS - 1)
}

/// Columns of a row, so that a cell is about as wide as high in the middle of it.
///
/// In steps, because the cosine may differ in its last bit from machine to machine, and a different count would be another
/// grid: as the test below shows, no row is so near a step that this could matter.
fn columns(row: i64) -> i64 {
    COLUMNS / STEPS * (steps(row).ceil() as i64).max(1)
}

fn steps(row: i64) -> f64 {
    let latitude = (row as f64 + 0.5) / ROWS as f64 * 180.0 - 90.0;
    STEPS as f64 * latitude.to_radians().cos()
}

fn column_of(longitude: f64, columns: i64) -> i64 {
    (((longitude + 180.0) / 360.0 * columns as f64) as i64).clamp(0, columns - 1)
}

/// As [`column_of`], for a longitude up to one turn out of −180…180.
fn wrapped_column(longitude: f64, columns: i64) -> i64 {
    let turned = if longitude < -180.0 {
        longitude + 360.0
    } else if longitude >= 180.0 {
        longitude - 360.0
    } else {
        longitude
    };
    column_of(turned, columns)
}

fn west_of_180(longitude: f64) -> f64 {
    if longitude == 180.0 { -180.0 } else { longitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use geographiclib_rs::{DirectGeodesic, Geodesic};
    use proptest::prelude::*;

    fn at(latitude: f64, longitude: f64) -> Coordinate {
        Coordinate::new(latitude, longitude).unwrap()
    }

    #[test]
    fn no_row_is_near_a_step() {
        let nearest = (0..ROWS).map(|row| (steps(row) - steps(row).round()).abs()).fold(f64::INFINITY, f64::min);
        // A cosine's last bit, times 256, is 3e-14.
        assert!(nearest > 1e-11, "{nearest}");
    }

    #[test]
    fn cells_are_about_square_where_people_live() {
        for latitude in [0.0, 35.0, -52.5, 69.6] {
            let row = row_of(latitude);
            let width = 360.0 / columns(row) as f64 * latitude.to_radians().cos();
            let height = 180.0 / ROWS as f64;
            assert!((0.97..=1.01).contains(&(width / height)), "{latitude}: {width} × {height}");
        }
    }

    #[test]
    fn the_antimeridian_is_one_place() {
        assert_eq!(cell_of(at(-17.0, 180.0)), cell_of(at(-17.0, -180.0)));
        assert!(Extent::of(at(-17.0, 180.0)).reach(0.0).iter().any(|range| range.contains(cell_of(at(-17.0, -180.0)))));
    }

    #[test]
    fn a_disc_takes_few_ranges() {
        assert!(Extent::of(at(35.0, -106.5)).reach(10.0).len() <= 6);
        assert!(Extent::of(at(35.0, -106.5)).reach(1_000.0).len() <= 422);
    }

    fn latitudes() -> impl Strategy<Value = f64> {
        prop_oneof![-90.0..=90.0, Just(90.0), Just(-90.0), 89.98..=90.0, -90.0..=-89.98, -0.001..=0.001]
    }

    fn longitudes() -> impl Strategy<Value = f64> {
        prop_oneof![-180.0..=180.0, Just(180.0), Just(-180.0), 179.99..=180.0, -180.0..=-179.99]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn whatever_is_within_reach_is_in_a_range(
            latitude in latitudes(),
            longitude in longitudes(),
            azimuth in prop_oneof![0.0..360.0, Just(0.0), Just(90.0), Just(180.0), Just(270.0)],
            reach in prop_oneof![0.001..1_000.0, Just(1_000.0), Just(5.0)],
            share in prop_oneof![0.0..=1.0, Just(1.0)],
        ) {
            let here = at(latitude, longitude);
            let (lat, lon): (f64, f64) = Geodesic::wgs84().direct(latitude, longitude, azimuth, reach * share);
            let there = cell_of(at(lat.clamp(-90.0, 90.0), lon.clamp(-180.0, 180.0)));
            let ranges = Extent::of(here).reach(reach);
            prop_assert!(ranges.iter().any(|range| range.contains(there)), "{there:?} in {ranges:?}");
            prop_assert!(ranges.windows(2).all(|pair| pair[0].last < pair[1].first), "{ranges:?}");
        }
    }
}
