//! Query parameters: typed structs that document themselves. Reading one names everything that is wrong with it at once.

use crate::codec::misspelt;
use crate::domain::{Error, FieldError, TimeRange, parse_duration, quoted, zone};
use crate::meeting::ContactRule;
use actix_web::HttpRequest;
use chrono::TimeDelta;

/// Parameters that are asked for together.
pub trait Parameters: Sized {
    /// Their names, in the order of the documentation.
    fn names() -> Vec<&'static str>;
    /// Reads each; one whose value is wrong is `None`, and the error is kept with the pairs.
    fn read(pairs: &mut Pairs) -> Self;
}

/// A struct of parameters: each field is one, its type a [`Value`], its comment and `#[param(…)]` the documentation. All may be
/// absent; what must not be, its handler asks for.
macro_rules! parameters {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$about:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        $vis struct $name {
            $($(#[$about])* pub $field: Option<$type>,)+
        }

        impl $crate::api::query::Parameters for $name {
            fn names() -> Vec<&'static str> {
                vec![$(stringify!($field)),+]
            }

            fn read(pairs: &mut $crate::api::query::Pairs) -> Self {
                Self { $($field: pairs.read(stringify!($field)),)+ }
            }
        }
    };
}
pub(super) use parameters;

/// Two sets of parameters of one query.
impl<A: Parameters, B: Parameters> Parameters for (A, B) {
    fn names() -> Vec<&'static str> {
        let mut names = A::names();
        names.append(&mut B::names());
        names
    }

    fn read(pairs: &mut Pairs) -> Self {
        (A::read(pairs), B::read(pairs))
    }
}

/// What a parameter holds.
pub trait Value: Sized {
    /// An empty text counts as absent, as an empty field of a form does.
    const EMPTY_IS_ABSENT: bool = true;

    /// The error tells what is allowed and what was found; `name` is the parameter's.
    fn read(name: &str, text: &str) -> Result<Self, FieldError>;
}

/// A text that is read later, together with others.
impl Value for String {
    fn read(_: &str, text: &str) -> Result<Self, FieldError> {
        Ok(text.to_owned())
    }
}

/// `true` or `false`.
impl Value for bool {
    fn read(name: &str, text: &str) -> Result<Self, FieldError> {
        text.parse().map_err(|_| FieldError::new(name, format!("must be true or false; got {}", quoted(text))))
    }
}

/// A length of time: seconds, or as ISO 8601.
impl Value for TimeDelta {
    fn read(name: &str, text: &str) -> Result<Self, FieldError> {
        parse_duration(text).map_err(|message| FieldError::new(name, message))
    }
}

/// A time zone, by its IANA name.
impl Value for chrono_tz::Tz {
    fn read(name: &str, text: &str) -> Result<Self, FieldError> {
        zone(name, text)
    }
}

/// A distance in metres. It is a number; the rule that it is for knows its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Metres(pub f64);

impl Value for Metres {
    fn read(name: &str, text: &str) -> Result<Self, FieldError> {
        text.trim().parse().map(Self).map_err(|_| {
            let most = ContactRule::MAX_DISTANCE_M;
            let message = format!("must be a number of metres, more than 0 and at most {most}; got {}", quoted(text));
            FieldError::new(name, message)
        })
    }
}

/// How many items may come: from 1 to `MOST`.
#[derive(Clone, Copy, Debug)]
pub struct Limit<const MOST: u32>(u32);

impl<const MOST: u32> Limit<MOST> {
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl<const MOST: u32> Value for Limit<MOST> {
    // It is no number, and no form leaves it so.
    const EMPTY_IS_ABSENT: bool = false;

    fn read(name: &str, text: &str) -> Result<Self, FieldError> {
        match text.parse() {
            Ok(limit) if (1..=MOST).contains(&limit) => Ok(Self(limit)),
            _ => {
                let message = format!("must be a whole number from 1 to {MOST}; got {}", quoted(text));
                Err(FieldError::new(name, message))
            }
        }
    }
}

/// A request's query: what was given, and what is wrong with it.
pub struct Query<P> {
    pub given: P,
    errors: Vec<FieldError>,
}

impl<P: Parameters> Query<P> {
    /// Reads the query. A parameter that is not known is ignored, unless its name looks like a misspelt one.
    pub fn of(request: &HttpRequest) -> Result<Self, Error> {
        let mut pairs = Pairs::of(request.query_string(), &P::names())?;
        let given = P::read(&mut pairs);
        Ok(Self { given, errors: pairs.errors })
    }
}

impl<P> Query<P> {
    /// What was given, or everything that is wrong with it.
    pub fn valid(self) -> Result<P, Error> {
        if self.errors.is_empty() { Ok(self.given) } else { Err(Error::Invalid(self.errors)) }
    }

    /// The value of something that was read of the parameters; its errors are kept.
    pub fn check<T>(&mut self, read: Result<T, impl Into<Error>>) -> Option<T> {
        read.map_err(|error| self.errors.extend(error.into().into_fields("query"))).ok()
    }

    /// The range that two parameters stand for. They come first in a query, and so do their errors.
    pub fn check_range(&mut self, read: Result<TimeRange, Error>) -> Option<TimeRange> {
        read.map_err(|error| drop(self.errors.splice(0..0, error.into_fields("query")))).ok()
    }

    /// Says that a date or time must be given.
    pub fn require_date(&mut self, name: &str, given: bool) {
        if !given {
            let message = "must be given: a date such as 2026-06-02 or a time such as 2026-06-02T10:00:00Z";
            self.errors.push(FieldError::new(name, message));
        }
    }

    /// What was made of the parameters, or everything that is wrong with them.
    pub fn finish<T>(self, value: Option<T>) -> Result<(P, T), Error> {
        match value {
            Some(value) if self.errors.is_empty() => Ok((self.given, value)),
            _ => Err(Error::Invalid(self.errors)),
        }
    }
}

/// The names and values of a query, each known name at most once.
pub struct Pairs {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Pairs {
    fn of(query: &str, known: &[&str]) -> Result<Self, Error> {
        /// The most parameters; no query has as many.
        const MOST: usize = 50;
        let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .take(MOST + 1)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if pairs.len() > MOST {
            return Err(Error::invalid("query", format!("must have at most {MOST} parameters")));
        }
        let mut errors: Vec<FieldError> = pairs.iter().filter_map(|(name, _)| misspelt(name, known)).collect();
        // What is not known is nobody's.
        pairs.retain(|(name, _)| known.contains(&name.as_str()));
        for name in known {
            if pairs.iter().filter(|(given, _)| given == name).count() > 1 {
                errors.push(FieldError::new(*name, "is given more than once"));
            }
        }
        Ok(Self { pairs, errors })
    }

    /// The value of a parameter, if it is given and right.
    pub fn read<V: Value>(&mut self, name: &str) -> Option<V> {
        let mut values = self.pairs.iter().filter(|(given, _)| given == name);
        let text = values.next().map(|(_, text)| text)?;
        // Of several, none is the one that was meant; that is said already.
        if values.next().is_some() || text.is_empty() && V::EMPTY_IS_ABSENT {
            return None;
        }
        V::read(name, text).map_err(|error| self.errors.push(error)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use utoipa::IntoParams;

    parameters! {
        /// What the test asks for.
        struct Asked {
            /// A word
            word: String,
            /// How many
            #[param(value_type = Option<u32>, minimum = 1, maximum = 7)]
            limit: Limit<7>,
            /// How far
            #[param(value_type = Option<f64>)]
            distance: Metres,
        }
    }

    fn read(query: &str) -> Result<Asked, Vec<String>> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let query = Query::<Asked>::of(&request).and_then(Query::valid);
        query.map_err(|error| error.into_fields("query").into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn what_is_read_is_what_is_documented() {
        let documented = Asked::into_params(|| None);
        let names: Vec<&str> = documented.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(names, Asked::names());
        assert!(documented.iter().all(|parameter| parameter.description.is_some()));
        let asked = read("word=a+b&limit=3&other=x").unwrap();
        assert_eq!((asked.word.as_deref(), asked.limit.map(Limit::get)), (Some("a b"), Some(3)));
        assert!(asked.distance.is_none());
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        assert_eq!(read("limit=8&distance=far").err().unwrap(), ["limit", "distance"]);
        assert_eq!(read("wrod=a&limit=0&distance=1&distance=2").err().unwrap(), ["wrod", "distance", "limit"]);
        assert_eq!(read("limit=").err().unwrap(), ["limit"]);
        assert!(read("word=&distance=").unwrap().word.is_none());
        let many = "x=1&".repeat(51);
        assert_eq!(read(&many).err().unwrap(), ["query"]);
    }
}
