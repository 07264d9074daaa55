//! A position on the earth: latitude and longitude, WGS 84.

/// A position on the WGS 84 ellipsoid, in degrees.
///
/// Invariants: latitude in −90…90, longitude in −180…180, both finite, neither a negative zero (so that equal positions
/// have equal bytes, which is what "stored once" rests on). The two sides of the antimeridian, −180 and 180, are one
/// place but two coordinates: distances treat them as equal, identity does not.
///
/// PostGIS, EWKB and GeoJSON take (longitude, latitude); here both are named, so that nothing can swap them unseen.
///
/// ```
/// use udaconnect::geo::Coordinate;
/// let booth = Coordinate::new(37.553441, -122.290524).unwrap();
/// assert_eq!(booth.latitude(), 37.553441);
/// assert!(Coordinate::new(-122.290524, 37.553441).is_err(), "swapped");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    latitude: f64,
    longitude: f64,
}

impl Coordinate {
    /// Checks both numbers; on failure every field that is wrong is named (`latitude`, `longitude`), with its value.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, OutOfRange> {
        let within = |degrees: f64, limit: f64| degrees.is_finite() && degrees.abs() <= limit;
        let wrong = OutOfRange {
            latitude: (!within(latitude, 90.0)).then_some(latitude),
            longitude: (!within(longitude, 180.0)).then_some(longitude),
        };
        if wrong.latitude.is_none() && wrong.longitude.is_none() {
            // −0.0 + 0.0 is 0.0, and adding zero changes no other number.
            Ok(Self { latitude: latitude + 0.0, longitude: longitude + 0.0 })
        } else {
            Err(wrong)
        }
    }

    /// Degrees north, −90…90.
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east, −180…180.
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// The exact bits of both numbers: two coordinates are the same location's iff these are equal.
    pub fn bits(self) -> (u64, u64) {
        (self.latitude.to_bits(), self.longitude.to_bits())
    }
}

/// Degrees that are no place: those of the two numbers that are out of range or not finite.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("latitude must be from -90 to 90 and longitude from -180 to 180")]
pub struct OutOfRange {
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_wrong_numbers_are_named() {
        let wrong = Coordinate::new(f64::NAN, 180.1).unwrap_err();
        assert!(wrong.latitude.is_some_and(f64::is_nan));
        assert_eq!(wrong.longitude, Some(180.1));
        assert_eq!(Coordinate::new(90.1, 0.0).unwrap_err(), OutOfRange { latitude: Some(90.1), longitude: None });
    }

    #[test]
    fn bounds_are_allowed_and_negative_zero_is_zero() {
        assert!(Coordinate::new(90.0, -180.0).is_ok());
        assert_eq!(Coordinate::new(-0.0, -0.0).unwrap().bits(), Coordinate::new(0.0, 0.0).unwrap().bits());
    }
}
