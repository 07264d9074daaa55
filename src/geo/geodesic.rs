//! Distances between two positions: the exact one, and quick bounds of it.

use crate::geo::Coordinate;
use geographiclib_rs::{Geodesic, InverseGeodesic};
use std::sync::OnceLock;

/// Semi-major axis of WGS 84, metres.
const A: f64 = 6_378_137.0;
const FLATTENING: f64 = 1.0 / 298.257_223_563;
/// Square of the first eccentricity.
const E2: f64 = FLATTENING * (2.0 - FLATTENING);

/// The length of the shortest path on the WGS 84 spheroid, metres, to a few nanometres. Symmetric to the last bit.
///
/// This is the distance that PostGIS calculates for `geography` (both use Karney's algorithm). PostGIS turns degrees into
/// radians and back on the way, so that the two may differ by up to 10 nm; it applies no tolerance beyond that.
pub fn distance_m(a: Coordinate, b: Coordinate) -> f64 {
    static WGS84: OnceLock<Geodesic> = OnceLock::new();
    let (a, b) = if a.bits() <= b.bits() { (a, b) } else { (b, a) };
    WGS84.get_or_init(Geodesic::wgs84).inverse(a.latitude(), a.longitude(), b.latitude(), b.longitude())
}

/// A place in space: metres from the earth's centre, right to 20 nm.
pub(crate) type Position = [f64; 3];

pub(crate) fn position(coordinate: Coordinate) -> Position {
    let (sin, cos) = coordinate.latitude().to_radians().sin_cos();
    let (east, north) = coordinate.longitude().to_radians().sin_cos();
    let normal = A / (1.0 - E2 * sin * sin).sqrt();
    [normal * cos * north, normal * cos * east, normal * (1.0 - E2) * sin]
}

/// Square of the straight line's length.
pub(crate) fn chord2(a: &Position, b: &Position) -> f64 {
    let [x, y, z] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    x * x + y * y + z * z
}

/// Decides "within `distance_m` metres on the spheroid", by the straight line unless that is too close a call.
///
/// Why that is right: the straight line c is no longer than the path s. The path's curvature is nowhere more than
/// κ = 1 / 6 335 439 m (the smallest radius of curvature of the spheroid), so by Schur's comparison theorem it spans at least
/// the chord of a circle of that curvature: c ≥ 2/κ · sin(κs/2) ≥ s − κ²s³/24. For s up to 1,001 m that is s − 1.1 µm. The
/// positions add less than 0.1 µm. So c ≤ D − 2 µm is within, c > D + 2 µm is not, and only what lies between needs the
/// exact distance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    distance_m: f64,
    surely2: f64,
    hardly2: f64,
}

const CLOSE_CALL_M: f64 = 2e-6;

impl Near {
    pub(crate) fn new(distance_m: f64) -> Self {
        // Too small a distance for a sure call: nothing has a negative square.
        let surely2 = if distance_m > CLOSE_CALL_M { (distance_m - CLOSE_CALL_M).powi(2) } else { -1.0 };
        Self { distance_m, surely2, hardly2: (distance_m + CLOSE_CALL_M).powi(2) }
    }

    /// Whether places with this square of a straight line are within the distance, whatever they are.
    pub(crate) fn surely(&self, chord2: f64) -> bool {
        chord2 <= self.surely2
    }

    /// Whether no two places with at least this square of a straight line are within the distance.
    pub(crate) fn surely_not(&self, chord2: f64) -> bool {
        chord2 > self.hardly2
    }

    pub(crate) fn holds(&self, chord2: f64, a: Coordinate, b: Coordinate) -> bool {
        self.surely(chord2) || (!self.surely_not(chord2) && distance_m(a, b) <= self.distance_m)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use geographiclib_rs::DirectGeodesic;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_straight_line_decides_as_the_exact_distance_does(
            latitude in prop_oneof![-90.0..=90.0, Just(90.0), Just(-90.0), Just(0.0), 89.99..=90.0],
            longitude in prop_oneof![-180.0..=180.0, Just(180.0), Just(-180.0), 179.9999..=180.0],
            azimuth in prop_oneof![0.0..360.0, Just(0.0), Just(90.0)],
            metres in prop_oneof![0.001..1_000.0, Just(1_000.0), Just(5.0), 1e-7..1e-5],
            off in prop_oneof![-1e-5..1e-5, -1e-8..1e-8, Just(0.0), -1.0..1.0],
        ) {
            let here = Coordinate::new(latitude, longitude).unwrap();
            let (lat, lon): (f64, f64) = Geodesic::wgs84().direct(latitude, longitude, azimuth, f64::max(metres + off, 0.0));
            let there = Coordinate::new(lat.clamp(-90.0, 90.0), lon.clamp(-180.0, 180.0)).unwrap();
            let exact = distance_m(here, there);
            let chord2 = chord2(&position(here), &position(there));
            prop_assert!(chord2.sqrt() <= exact + 1e-7, "the line {} is longer than the path {exact}", chord2.sqrt());
            prop_assert!(exact <= chord2.sqrt() + 1.2e-6, "the line {} is too short for the path {exact}", chord2.sqrt());
            prop_assert_eq!(Near::new(metres).holds(chord2, here, there), exact <= metres);
            // The distance itself is within the distance, and nothing less is.
            if exact > 0.0 {
                prop_assert!(Near::new(exact).holds(chord2, here, there));
                prop_assert!(!Near::new(exact.next_down()).holds(chord2, here, there));
            }
            prop_assert_eq!(exact.to_bits(), distance_m(there, here).to_bits());
        }
    }
}
