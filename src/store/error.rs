//! diesel's errors → [`domain::Error`](crate::domain::Error), once for all of the store, by SQLSTATE alone.

use super::sqlstate::code_of;
use crate::domain::Error;
use crate::domain::text::shown_at_most;
use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};

pub(super) const POSTGRES: &str = "postgres";

/// What an error of the database is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// What was to be stored: it will be refused whenever it is tried.
    Data,
    /// Somebody else, at the same moment: the same transaction may well succeed at once.
    Race,
    /// A limit of time; the same may succeed when the server has less to do.
    Time,
    /// The server or the way to it: it is away, full, read-only, about to end.
    Server,
    /// A defect of ours, or a schema that is not ours.
    Defect,
}

/// Sorts an error.
pub(super) fn fault(error: &Diesel) -> Fault {
    match error {
        Diesel::DatabaseError(kind, info) => match code_of(info.message()) {
            Some(code) => fault_of(code),
            None => fault_by_kind(kind),
        },
        Diesel::BrokenTransactionManager => Fault::Server,
        Diesel::RollbackErrorOnCommit { commit_error, .. } => fault(commit_error),
        _ => Fault::Defect,
    }
}

/// By PostgreSQL's classes of SQLSTATEs, and single ones where a class holds several kinds.
fn fault_of(code: &str) -> Fault {
    match code {
        // serialization_failure, deadlock_detected; a month's partition came into being between planning and inserting
        // (check_violation), which is the row's fault only if it comes again.
        "40001" | "40P01" | "23514" => Fault::Race,
        // query_canceled (by its time limit), lock_not_available, idle_in_transaction_session_timeout, transaction_timeout.
        "57014" | "55P03" | "25P03" | "25P04" => Fault::Time,
        // read_only_sql_transaction: a server that has become a replica.
        "25006" => Fault::Server,
        _ => match &code[..2] {
            // Data exceptions, integrity constraints, limits of the program such as the size of a value.
            "22" | "23" | "54" => Fault::Data,
            "40" => Fault::Race,
            // Connections, insufficient resources (disk, memory, connections), operator's interventions, system errors (I/O).
            "08" | "53" | "57" | "58" => Fault::Server,
            _ => Fault::Defect,
        },
    }
}

/// Errors that the client has made, and those of a connection that brings no SQLSTATEs.
fn fault_by_kind(kind: &Kind) -> Fault {
    match kind {
        Kind::UnableToSendCommand | Kind::ClosedConnection | Kind::ReadOnlyTransaction => Fault::Server,
        Kind::SerializationFailure | Kind::CheckViolation => Fault::Race,
        Kind::UniqueViolation
        | Kind::ForeignKeyViolation
        | Kind::NotNullViolation
        | Kind::RestrictViolation
        | Kind::ExclusionViolation => Fault::Data,
        _ => Fault::Defect,
    }
}

pub(super) fn from_diesel(error: Diesel) -> Error {
    let (fault, refused) = (fault(&error), refusal(&error).is_some());
    let text = match &error {
        Diesel::DatabaseError(_, info) => info.message().to_owned(),
        Diesel::BrokenTransactionManager => "the connection broke in a transaction".to_owned(),
        other => other.to_string(),
    };
    match fault {
        Fault::Server => unavailable(text),
        // Lost again and again; it is not the data's fault.
        Fault::Race if !refused => unavailable(text),
        Fault::Time => Error::TimedOut(
            "the database did not finish in time; ask for less at once (a shorter range, a smaller distance)"
                .to_owned(),
        ),
        Fault::Data | Fault::Race | Fault::Defect => Error::Internal(text),
    }
}

/// Whether the transaction lost a race and may well succeed when it is tried again at once.
pub(super) fn lost_a_race(error: &Diesel) -> bool {
    fault(error) == Fault::Race
}

/// Why the database refuses the data, if that is what the error says; on one line, at most 500 characters. It counts for good, so the
/// caller should see it twice before believing it.
pub(super) fn refusal(error: &Diesel) -> Option<String> {
    let Diesel::DatabaseError(_, info) = error else { return None };
    let about_data = match code_of(info.message()) {
        Some("23514") => true,
        _ => fault(error) == Fault::Data,
    };
    about_data.then(|| shown_at_most(info.message(), 500))
}

pub(super) fn unavailable(detail: impl ToString) -> Error {
    Error::Unavailable { dependency: POSTGRES, detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(kind: Kind, message: &str) -> Diesel {
        Diesel::DatabaseError(kind, Box::new(message.to_owned()))
    }

    #[test]
    fn only_what_is_about_the_data_refuses_it() {
        for (code, wanted) in [
            ("22008", Fault::Data),
            ("22021", Fault::Data),
            ("23505", Fault::Data),
            ("54000", Fault::Data),
            ("40001", Fault::Race),
            ("40P01", Fault::Race),
            ("57014", Fault::Time),
            ("55P03", Fault::Time),
            ("53100", Fault::Server),
            ("53200", Fault::Server),
            ("53300", Fault::Server),
            ("57P01", Fault::Server),
            ("58030", Fault::Server),
            ("08006", Fault::Server),
            ("25006", Fault::Server),
            ("42P01", Fault::Defect),
            ("42501", Fault::Defect),
            ("XX000", Fault::Defect),
            ("P0001", Fault::Defect),
        ] {
            let error = database(Kind::Unknown, &format!("{code}: whatever it says"));
            assert_eq!(fault(&error), wanted, "{code}");
            assert_eq!(refusal(&error).is_some(), wanted == Fault::Data, "{code}");
        }
        assert!(refusal(&database(Kind::CheckViolation, "23514: new row violates it")).is_some());
        assert!(refusal(&database(Kind::UnableToSendCommand, "connection closed")).is_none());
        assert!(refusal(&Diesel::NotFound).is_none());
    }

    #[test]
    fn a_text_decides_nothing() {
        assert_eq!(fault(&database(Kind::Unknown, "canceling statement due to statement timeout")), Fault::Defect);
        assert_eq!(fault(&database(Kind::Unknown, "22008: the database system is shutting down")), Fault::Data);
    }
}
