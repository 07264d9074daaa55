//! diesel's errors → [`domain::Error`](crate::domain::Error), once for all of the store.

use crate::domain::Error;
use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};

pub(super) const POSTGRES: &str = "postgres";

/// Texts by which PostgreSQL says that it, not the statement, is the trouble. diesel keeps no SQLSTATE, so the text has to do;
/// an unknown (translated) text ends up as an internal error, which is wrong in name only.
const GOING_AWAY: &[&str] = &[
    "terminating connection",
    "the database system is",
    "shutting down",
    "too many clients",
    "remaining connection slots",
    "No space left on device",
    "connection closed",
];

pub(super) fn from_diesel(error: Diesel) -> Error {
    match error {
        Diesel::DatabaseError(Kind::UnableToSendCommand | Kind::ClosedConnection | Kind::ReadOnlyTransaction, info) => {
            unavailable(info.message())
        }
        Diesel::DatabaseError(_, info) if info.message().contains("statement timeout") => Error::TimedOut(
            "the database did not finish in time; ask for less at once (a shorter range, a smaller distance)"
                .to_owned(),
        ),
        Diesel::DatabaseError(_, info) if GOING_AWAY.iter().any(|text| info.message().contains(text)) => {
            unavailable(info.message())
        }
        Diesel::BrokenTransactionManager => unavailable("the connection broke in a transaction"),
        Diesel::DatabaseError(kind, info) => Error::Internal(format!("{kind:?}: {}", info.message())),
        other => Error::Internal(other.to_string()),
    }
}

/// Whether the same transaction, tried again at once, may well succeed: it lost a race, nothing is wrong with it.
pub(super) fn lost_a_race(error: &Diesel) -> bool {
    match error {
        Diesel::DatabaseError(Kind::SerializationFailure, _) => true,
        // A month's partition came into being between planning and inserting.
        Diesel::DatabaseError(Kind::CheckViolation, _) => true,
        Diesel::DatabaseError(_, info) => info.message().contains("deadlock detected"),
        _ => false,
    }
}

pub(super) fn unavailable(detail: impl ToString) -> Error {
    Error::Unavailable { dependency: POSTGRES, detail: detail.to_string() }
}
