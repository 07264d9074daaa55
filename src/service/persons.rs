//! Persons: created, found, listed, erased.

use super::AtEvent;
use crate::domain::{Error, NewPerson, Page, Person, PersonId, Result, Search};
use chrono::NaiveDate;

impl AtEvent {
    /// Adds a person under a new id.
    pub async fn create_person(&self, new: &NewPerson) -> Result<Person> {
        self.store()?.create_person(new).await
    }

    /// The person, or [`Error::NotFound`].
    pub async fn person(&self, id: PersonId) -> Result<Person> {
        self.store()?.person(id).await
    }

    /// Those that a search finds, by id, after `after`, at most `limit`.
    pub async fn persons(
        &self,
        search: &Search,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Page<Person, PersonId>> {
        self.store()?.persons(search, after, limit).await
    }

    /// Erases the person and every location of theirs, or [`Error::NotFound`].
    pub async fn delete_person(&self, id: PersonId) -> Result<()> {
        self.store()?.delete_person(id).await
    }

    /// Whom another system knows by this key.
    pub async fn person_by_key(&self, key: &str) -> Result<Option<PersonId>> {
        Ok(self.store()?.persons_by_key(&[key]).await?.remove(key))
    }

    /// The person whom another system knows by this key; creates `new` when there is none.
    pub async fn person_by_key_or_new(&self, key: String, new: NewPerson) -> Result<PersonId> {
        let created = self.store()?.create_persons_by_key(&[(key, new)]).await?.pop();
        created.ok_or_else(|| Error::Internal("no id for a person that was to be created".to_owned()))
    }

    /// The days on which a person has locations, oldest first, with how many; `zone` is a time zone's IANA name.
    pub async fn days(&self, person: PersonId, zone: &str) -> Result<Vec<(NaiveDate, u64)>> {
        self.store()?.days(person, zone).await
    }
}
