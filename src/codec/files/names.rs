//! Which column or property holds what, by the names that programs give them.

use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The names of columns and properties, where the usual ones do not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    pub latitude: Option<String>,
    pub longitude: Option<String>,
    pub time: Option<String>,
    pub accuracy: Option<String>,
    pub person: Option<String>,
    /// What stands between the columns of CSV; found out when absent.
    pub delimiter: Option<u8>,
    /// The names of the columns of CSV, in order, where it has no header.
    pub names: Option<Vec<String>>,
}

const LATITUDE: &[&str] = &["latitude", "lat", "gpslatitude", "locationlat", "latitudedeg", "breite", "breitengrad"];
const LONGITUDE: &[&str] = &[
    "longitude",
    "lon",
    "lng",
    "long",
    "gpslongitude",
    "locationlong",
    "longitudedeg",
    "länge",
    "laenge",
    "längengrad",
];
/// Google's: degrees times ten million.
const LATITUDE_E7: &[&str] = &["latitudee7", "late7"];
const LONGITUDE_E7: &[&str] = &["longitudee7", "lnge7", "lone7"];
/// Which hemisphere, where that stands in a column of its own.
const NORTH_SOUTH: &[&str] =
    &["ns", "latitudedir", "latdir", "latitudehemisphere", "lathemisphere", "latituderef", "latref", "gpslatituderef"];
const EAST_WEST: &[&str] = &[
    "ew",
    "longitudedir",
    "londir",
    "lngdir",
    "longitudehemisphere",
    "lonhemisphere",
    "longituderef",
    "lonref",
    "gpslongituderef",
];
/// A point as WKT or hexadecimal EWKB, as databases write it.
const GEOMETRY: &[&str] = &["geom", "geometry", "thegeom", "wkt", "wkbgeometry", "geog", "coordinate", "point"];
/// Says that a row is none by "false" …
const VALID: &[&str] = &["valid", "visible", "isvalid", "fixvalid", "gpsvalid", "gpsfixvalid"];
/// … or by "true".
const OUTLIER: &[&str] = &[
    "manuallymarkedoutlier",
    "importmarkedoutlier",
    "algorithmmarkedoutlier",
    "outlier",
    "isoutlier",
    "mocklocation",
    "mock",
];
const DATE: &[&str] = &["date", "datum", "dateutc", "utcdate", "localdate"];
/// A time of day, where a date stands beside it.
const TIME_OF_DAY: &[&str] = &["time", "uhrzeit", "timeutc", "utctime", "localtime"];
const TIME: &[&str] = &[
    "creationtime",
    "timestamp",
    "time",
    "datetime",
    "dateandtime",
    "epoch",
    "epochs",
    "epochms",
    "unixtime",
    "timestampms",
    "tst",
    "utc",
    "utctime",
    "recordedat",
    "trackedat",
    "fixtime",
    "gpstime",
    "eventtime",
    "basedatetime",
    "devicetime",
    "uhrzeit",
];
const ACCURACY: &[&str] = &["accuracym", "accuracy", "acc", "horizontalaccuracy", "hacc"];
const PERSON: &[&str] = &["personid", "user", "userid", "uid", "person"];

/// Where each value is, as column numbers from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundColumns {
    pub(super) latitude: Option<usize>,
    pub(super) longitude: Option<usize>,
    pub(super) time: Option<usize>,
    /// A date in a column of its own; `time` is then the time of day.
    pub(super) date: Option<usize>,
    pub(super) accuracy: Option<usize>,
    pub(super) person: Option<usize>,
    /// Both coordinates in one column.
    pub(super) geometry: Option<usize>,
    pub(super) north_south: Option<usize>,
    pub(super) east_west: Option<usize>,
    /// Whether latitude and longitude are in ten-millionths of a degree.
    pub(super) e7: bool,
    pub(super) valid: Option<usize>,
    /// Further columns of the same kind: Movebank has two.
    pub(super) outliers: [Option<usize>; 3],
    pub(super) own: Own,
}

/// Where our exports say whose a location is, beside the person column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) id: Option<usize>,
    pub(super) key: Option<usize>,
    pub(super) first_name: Option<usize>,
    pub(super) last_name: Option<usize>,
    pub(super) company_name: Option<usize>,
}

impl Own {
    fn find(plains: &[String]) -> Self {
        let at = |name: &str| plains.iter().position(|given| given == name);
        Self {
            id: at("personid"),
            key: at("externalkey"),
            first_name: at("firstname"),
            last_name: at("lastname"),
            company_name: at("companyname"),
        }
    }

    /// Whether this is a header of ours, or one like it.
    pub(super) fn ours(&self) -> bool {
        self.key.is_some() || (self.id.is_some() && self.first_name.is_some() && self.last_name.is_some())
    }
}

impl FoundColumns {
    /// How much is known.
    pub(super) fn count(&self) -> usize {
        [self.latitude, self.longitude, self.time, self.accuracy, self.person, self.geometry].iter().flatten().count()
    }
}

/// A name without case, spaces, punctuation and unit in parentheses: `Location-Lat` and `location_lat` are one.
fn plain(name: &str) -> String {
    let name = name.split('(').next().unwrap_or_default();
    if name.bytes().all(|c| c.is_ascii_lowercase()) {
        return name.to_owned();
    }
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Columns {
    /// Finds the columns in a header. A name that was asked for and is not there is an error; a usual one may be absent.
    pub(super) fn find(&self, header: &[String]) -> Result<FoundColumns, String> {
        let plains: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let usual = |names: &[&str]| names.iter().find_map(|name| plains.iter().position(|given| given == name));
        let one = |asked: &Option<String>, option: &str, names: &[&str]| match asked {
            None => Ok(usual(names)),
            Some(asked) => {
                let exact = header.iter().position(|name| name == asked.trim());
                let found = exact.or_else(|| plains.iter().position(|name| *name == plain(asked)));
                found.map(Some).ok_or_else(|| {
                    format!("there is no column {asked:?}, as {option} says; there are {}", listed(header))
                })
            }
        };
        let mut found = FoundColumns {
            latitude: one(&self.latitude, "--latitude-column", LATITUDE)?,
            longitude: one(&self.longitude, "--longitude-column", LONGITUDE)?,
            time: one(&self.time, "--time-column", TIME)?,
            date: None,
            accuracy: one(&self.accuracy, "--accuracy-column", ACCURACY)?,
            person: one(&self.person, "--person-column", PERSON)?,
            geometry: usual(GEOMETRY),
            north_south: usual(NORTH_SOUTH),
            east_west: usual(EAST_WEST),
            e7: false,
            valid: usual(VALID),
            outliers: [None; 3],
            own: Own::find(&plains),
        };
        if found.latitude.is_none() && found.longitude.is_none() {
            (found.latitude, found.longitude) = (usual(LATITUDE_E7), usual(LONGITUDE_E7));
            found.e7 = found.latitude.is_some();
        }
        let outliers = plains.iter().enumerate().filter(|(_, name)| OUTLIER.contains(&name.as_str()));
        found.outliers.iter_mut().zip(outliers).for_each(|(slot, (at, _))| *slot = Some(at));
        if self.time.is_none() {
            let date = usual(DATE);
            match found.time {
                // "time" beside "date" is a time of day; any other name stands for the whole.
                Some(time) if TIME_OF_DAY.contains(&plains[time].as_str()) => found.date = date,
                Some(_) => {}
                None => found.time = date,
            }
        }
        Ok(found)
    }

    /// What the properties of a JSON object say; a property that is named and not there is absent, and so is a null.
    pub(super) fn of<'a>(&self, object: &'a Map<String, Value>) -> Properties<'a> {
        let mut found: [Option<(usize, &Value)>; KINDS.len()] = [None; KINDS.len()];
        for (name, value) in object {
            // The order of the names and not of the properties: the first is the best.
            if let Some(&(kind, rank)) = USUAL.get(plain(name).as_str())
                && found[kind].is_none_or(|(best, _)| rank < best)
            {
                found[kind] = Some((rank, value));
            }
        }
        let of = |kind: usize, asked: Option<&String>| {
            let value = match asked {
                Some(name) => object.get(name.trim()),
                None => found[kind].map(|(_, value)| value),
            };
            value.filter(|value| !value.is_null())
        };
        Properties {
            time: of(0, self.time.as_ref()),
            accuracy: of(1, self.accuracy.as_ref()),
            person: of(2, self.person.as_ref()),
            latitude: of(3, self.latitude.as_ref()),
            longitude: of(4, self.longitude.as_ref()),
            valid: of(5, None),
            outlier: of(6, None),
        }
    }
}

/// The usual names of each of [`Properties`].
const KINDS: [&[&str]; 7] = [TIME, ACCURACY, PERSON, LATITUDE, LONGITUDE, VALID, OUTLIER];
/// Which of them a name is of, and its place among them.
static USUAL: LazyLock<HashMap<&str, (usize, usize)>> = LazyLock::new(|| {
    let ranked = |(kind, names): (usize, &&'static [&'static str])| {
        let of_kind = move |(rank, name): (usize, &&'static str)| (*name, (kind, rank));
        names.iter().enumerate().map(of_kind).collect::<Vec<_>>()
    };
    KINDS.iter().enumerate().flat_map(ranked).collect()
});

/// What a feature's properties say.
pub(super) struct Properties<'a> {
    pub(super) time: Option<&'a Value>,
    pub(super) accuracy: Option<&'a Value>,
    pub(super) person: Option<&'a Value>,
    pub(super) latitude: Option<&'a Value>,
    pub(super) longitude: Option<&'a Value>,
    pub(super) valid: Option<&'a Value>,
    pub(super) outlier: Option<&'a Value>,
}

/// The names of a header, as messages show them: not endlessly.
pub(super) fn listed(header: &[String]) -> String {
    const MOST: usize = 20;
    let names: Vec<String> = header.iter().take(MOST).map(|name| super::value::shown(name)).collect();
    let more = if header.len() > MOST { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(header: &str) -> FoundColumns {
        let header: Vec<String> = header.split(',').map(str::to_owned).collect();
        Columns::default().find(&header).unwrap()
    }

    #[test]
    fn usual_names_are_known() {
        for header in [
            "person_id,latitude,longitude,creation_time,accuracy_m",
            "User,Lat,Lng,Timestamp,Accuracy",
            "uid,location-lat,location-long,date time,horizontal_accuracy",
            "PersonID,Latitude (deg),Longitude (deg),epoch_s,acc",
        ] {
            let FoundColumns { latitude, longitude, time, accuracy, person, date, .. } = find(header);
            assert_eq!(
                [person, latitude, longitude, time, accuracy, date],
                [Some(0), Some(1), Some(2), Some(3), Some(4), None],
                "{header}"
            );
        }
        let found = find("lat,lon,altitude,date,time");
        assert_eq!((found.date, found.time), (Some(3), Some(4)));
        assert_eq!(find("lat,lon,date").time, Some(2));
    }

    #[test]
    fn a_name_that_is_asked_for_must_be_there() {
        let columns = Columns { person: Some("id".to_owned()), ..Columns::default() };
        let header = ["ID", "lat"].map(str::to_owned);
        assert_eq!(columns.find(&header).unwrap().person, Some(0));
        let error = columns.find(&["lat".to_owned(), "lon".to_owned()]).unwrap_err();
        assert!(error.contains("--person-column") && error.contains("lat, lon"), "{error}");
    }
}
