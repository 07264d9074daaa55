//! The locations of one request, each checked as it comes.

use super::MAX_REQUEST;
use super::outcome::Refused;
use crate::domain::{FieldError, LocationDraft, NewLocation};
use crate::service::AtEvent;

/// Locations in their order: those that are valid, and what is wrong with the others.
pub struct Batch {
    pub(super) valid: Vec<NewLocation>,
    pub(super) refused: Refused,
    at: AtEvent,
    /// What further errors may take, bytes.
    errors: usize,
}

impl Batch {
    pub(super) fn new(at: AtEvent) -> Self {
        Self { valid: Vec::new(), refused: Vec::new(), at, errors: usize::MAX }
    }

    /// Bounds what errors take, bytes; beyond it items are refused with fewer words.
    pub fn with_errors_up_to(self, bytes: usize) -> Self {
        Self { errors: bytes, ..self }
    }

    /// Reserves memory for so many valid locations.
    pub fn reserve(&mut self, count: usize) {
        self.valid.reserve_exact(count);
    }

    /// Checks the next location and keeps it.
    pub fn add(&mut self, draft: impl Into<LocationDraft>) {
        match self.at.check(draft) {
            Ok(location) => self.valid.push(location),
            Err(errors) => {
                let errors = self.within_bounds(errors);
                self.refused.push((self.len(), errors));
            }
        }
    }

    /// How many there are, refused ones included.
    pub fn len(&self) -> usize {
        self.valid.len() + self.refused.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there are as many as one request may bring.
    pub fn is_full(&self) -> bool {
        self.len() >= MAX_REQUEST as usize
    }

    /// The memory of the valid locations, bytes.
    pub fn valid_bytes(&self) -> usize {
        size_of_val(&self.valid[..])
    }

    /// The memory of the refusals, bytes.
    pub fn refused_bytes(&self) -> usize {
        self.refused.iter().map(|refused| size_of_val(refused) + bytes(&refused.1)).sum()
    }

    fn within_bounds(&mut self, errors: Vec<FieldError>) -> Vec<FieldError> {
        match self.errors.checked_sub(bytes(&errors)) {
            Some(left) => {
                self.errors = left;
                errors
            }
            None => vec![FieldError::new("item", "is wrong, like so many before it; what is said of those may help")],
        }
    }
}

fn bytes(errors: &[FieldError]) -> usize {
    errors.iter().map(|error| size_of::<FieldError>() + error.field.len() + error.message.len()).sum()
}
