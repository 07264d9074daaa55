//! Persons, with the rules for their names.

use crate::domain::{Error, FieldError, Result, text};

/// The number that names a person: 1 or more, given by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(i64);

impl PersonId {
    /// `field` is what the caller calls this number, for the error.
    pub fn new(id: i64, field: &str) -> Result<Self, FieldError> {
        if id >= 1 {
            Ok(Self(id))
        } else {
            Err(FieldError::new(field, format!("must be a whole number of 1 or more; got {id}")))
        }
    }

    pub fn get(self) -> i64 {
        self.0
    }
}

impl std::fmt::Display for PersonId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An attendee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: PersonId,
    pub first_name: String,
    pub last_name: String,
    pub company_name: String,
}

/// An attendee who is not stored yet. Each name is a [`text::name`] of at most [`NewPerson::MAX_CHARS`] characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPerson {
    first_name: String,
    last_name: String,
    company_name: String,
}

impl NewPerson {
    /// The longest name taken, in characters.
    pub const MAX_CHARS: usize = 200;

    pub fn new(first_name: &str, last_name: &str, company_name: &str) -> Result<Self> {
        let mut errors = Vec::new();
        let mut checked = |field: &str, value: &str| {
            text::name(field, value, Self::MAX_CHARS).map_err(|error| errors.push(error)).unwrap_or_default()
        };
        let person = Self {
            first_name: checked("first_name", first_name),
            last_name: checked("last_name", last_name),
            company_name: checked("company_name", company_name),
        };
        if errors.is_empty() { Ok(person) } else { Err(Error::Invalid(errors)) }
    }

    pub fn first_name(&self) -> &str {
        &self.first_name
    }

    pub fn last_name(&self) -> &str {
        &self.last_name
    }

    pub fn company_name(&self) -> &str {
        &self.company_name
    }
}
