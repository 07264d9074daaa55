//! The errors of all use cases, by kind, and what is wrong with a field.

use crate::geo::OutOfRange;
use std::fmt;

/// The result of everything that can fail for a reason the caller should know.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One thing wrong with what the caller sent: where, what was found, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The name of the field as the caller knows it, e.g. `latitude` or `end_date`.
    pub field: String,
    /// A sentence for people: names the value that was found and what is allowed.
    pub message: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Why something could not be done. Few kinds: each protocol maps every one of them once, exhaustively.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The caller sent something that can never work; every wrong field is listed.
    #[error("{}", Listed(.0))]
    Invalid(Vec<FieldError>),
    /// There is no such thing (any more).
    #[error("{what} {id} does not exist")]
    NotFound { what: &'static str, id: i64 },
    /// There is no event of this slug (any more); as it was asked for, fit to be shown.
    #[error("there is no event {0}")]
    UnknownEvent(String),
    /// There is such a thing already.
    #[error("{}: {}", .0.field, .0.message)]
    Exists(FieldError),
    /// It cannot be done as things are; says what would have to be done before.
    #[error("{0}")]
    Conflict(String),
    /// The query is valid but asks for more than one answer may cost; says what to narrow.
    #[error("{0}")]
    TooBroad(String),
    /// Too much at once; the same call will work a little later. Nothing of it was stored.
    #[error("too many locations are waiting to be stored; none of this request was taken")]
    Overloaded,
    /// The work was ended at its time limit; says what would make it shorter.
    #[error("{0}")]
    TimedOut(String),
    /// Something this program depends on cannot be reached or does not work. `detail` is for the log, not for callers.
    #[error("{dependency} is not available: {detail}")]
    Unavailable { dependency: &'static str, detail: String },
    /// A defect of ours. The text is for the log, not for callers.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// An [`Error::Invalid`] about one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    /// The fields that are wrong; an error that is about none becomes one about `whole`.
    pub fn into_fields(self, whole: &str) -> Vec<FieldError> {
        match self {
            Self::Invalid(errors) => errors,
            other => vec![FieldError::new(whole, other.to_string())],
        }
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl From<Vec<FieldError>> for Error {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::Invalid(errors)
    }
}

impl From<OutOfRange> for Vec<FieldError> {
    fn from(wrong: OutOfRange) -> Self {
        [("latitude", wrong.latitude, 90), ("longitude", wrong.longitude, 180)]
            .into_iter()
            .filter_map(|(field, value, limit)| Some((field, value?, limit)))
            .map(|(field, value, limit)| {
                FieldError::new(field, format!("must be a number from -{limit} to {limit}; got {value}"))
            })
            .collect()
    }
}

impl From<OutOfRange> for Error {
    fn from(wrong: OutOfRange) -> Self {
        Self::Invalid(wrong.into())
    }
}

struct Listed<'a>(&'a [FieldError]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", error.field, error.message)?;
        }
        Ok(())
    }
}
