//! The outcome of each location that was handed in.

use super::Receipt;
use crate::domain::{FieldError, PersonId, Recorded};

/// What became of one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored now, under this id.
    Stored { id: i64 },
    /// It was stored before, under this id: a resend, which is a success.
    Duplicate { id: i64 },
    /// It is queued for good and will be stored.
    Queued { receipt: Receipt },
    /// It was not taken, and would not be if it were sent again.
    Refused(Refusal),
}

/// Why a location was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// These fields are wrong.
    Fields(Vec<FieldError>),
    /// Nobody has its person's id.
    UnknownPerson(PersonId),
}

impl Refusal {
    /// What is wrong, field by field.
    pub fn into_fields(self) -> Vec<FieldError> {
        match self {
            Self::Fields(errors) => errors,
            Self::UnknownPerson(person) => {
                let message = format!("nobody has the id {person}; add the person first");
                vec![FieldError::new("person_id", message)]
            }
        }
    }
}

impl From<Recorded> for Outcome {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Stored { id } => Self::Stored { id },
            Recorded::Duplicate { id } => Self::Duplicate { id },
            Recorded::UnknownPerson { person } => Self::Refused(Refusal::UnknownPerson(person)),
        }
    }
}

/// What became of those that were valid, in order.
pub(super) enum Settled {
    Recorded(std::vec::IntoIter<Recorded>),
    Queued(std::vec::IntoIter<Receipt>),
}

/// The refused locations of a batch: the index of each in the batch, and why.
pub(super) type Refused = Vec<(usize, Vec<FieldError>)>;

/// What became of each location of a batch, in its order.
pub struct Outcomes {
    settled: Settled,
    refused: std::iter::Peekable<std::vec::IntoIter<(usize, Vec<FieldError>)>>,
    /// The index in the batch of the next one.
    index: usize,
}

impl Outcomes {
    pub(super) fn new(settled: Settled, refused: Refused) -> Self {
        Self { settled, refused: refused.into_iter().peekable(), index: 0 }
    }

    /// Whether the locations that were taken are queued, and not stored yet.
    pub fn are_queued(&self) -> bool {
        matches!(self.settled, Settled::Queued(_))
    }
}

impl Iterator for Outcomes {
    type Item = Outcome;

    fn next(&mut self) -> Option<Outcome> {
        let index = self.index;
        self.index += 1;
        if let Some((_, errors)) = self.refused.next_if(|(refused, _)| *refused == index) {
            return Some(Outcome::Refused(Refusal::Fields(errors)));
        }
        match &mut self.settled {
            Settled::Recorded(recorded) => recorded.next().map(Outcome::from),
            Settled::Queued(receipts) => receipts.next().map(|receipt| Outcome::Queued { receipt }),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let taken = match &self.settled {
            Settled::Recorded(recorded) => recorded.len(),
            Settled::Queued(receipts) => receipts.len(),
        };
        let (refused, _) = self.refused.size_hint();
        (taken + refused, Some(taken + refused))
    }
}

impl ExactSizeIterator for Outcomes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_ones_stand_where_they_were() {
        let recorded = vec![Recorded::Stored { id: 7 }, Recorded::Duplicate { id: 3 }];
        let wrong = |index: usize| (index, vec![FieldError::new("latitude", format!("wrong {index}"))]);
        let outcomes =
            Outcomes::new(Settled::Recorded(recorded.into_iter()), vec![wrong(0), wrong(2), wrong(4), wrong(5)]);
        assert_eq!(outcomes.len(), 6);
        let refused = |index: usize| Outcome::Refused(Refusal::Fields(wrong(index).1));
        let expected =
            [refused(0), Outcome::Stored { id: 7 }, refused(2), Outcome::Duplicate { id: 3 }, refused(4), refused(5)];
        assert_eq!(outcomes.collect::<Vec<_>>(), expected);
    }
}
