//! From what a file says of a person to the person.

use crate::domain::{NewPerson, PersonId, Result, text};
use crate::formats::Who;
use crate::store::Store;
use std::collections::HashMap;

/// Who was found, so that the store is asked once for each; emptied when there are very many.
pub struct Persons {
    store: Store,
    company: String,
    dry_run: bool,
    known: HashMap<Who, Found>,
    /// How many were created, or would be.
    pub created: u64,
}

/// What became of the search for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Person(PersonId),
    /// Nobody yet; a run that is not dry creates them.
    New,
    /// A sentence that says why there is nobody.
    Nobody(String),
}

/// The most persons kept in mind.
const MOST: usize = 200_000;
/// The last name of somebody who has one name only.
const NO_LAST_NAME: &str = "–";

impl Persons {
    pub fn new(store: Store, company: String, dry_run: bool) -> Self {
        Self { store, company, dry_run, known: HashMap::new(), created: 0 }
    }

    /// Finds all of them, and creates whom there is a name or a key for.
    pub async fn find<'a>(&mut self, wanted: impl Iterator<Item = &'a Who>) -> Result<()> {
        if self.known.len() > MOST {
            self.known.clear();
        }
        let mut missing: Vec<&Who> = Vec::new();
        for who in wanted {
            // Neighbours mostly have the same person.
            if missing.last() != Some(&who) && !self.known.contains_key(who) {
                missing.push(who);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable_by_key(|who| who.to_string());
        missing.dedup();
        let mut ids = Vec::new();
        let mut keyed = Vec::new();
        let mut named = Vec::new();
        for who in missing {
            if let Who::Key(text) | Who::Name(text) = who
                && let Err(error) = text::name("person", text, NewPerson::MAX_CHARS)
            {
                // One record's fault, and not the end of the others; the database could not even be asked for a NUL.
                self.known.insert(who.clone(), Found::Nobody(error.message));
                continue;
            }
            match who {
                Who::Id(id) => ids.push((who, *id)),
                Who::Key(key) => keyed.push((who, key.as_ref())),
                Who::Name(name) => named.push((who, split(name))),
            }
        }
        self.by_id(&ids).await?;
        self.by_key(&keyed).await?;
        self.by_name(&named).await
    }

    /// The person, after [`Persons::find`].
    pub fn get(&self, who: &Who) -> &Found {
        // Absent only if the caller did not ask for it before.
        self.known.get(who).unwrap_or(&Found::New)
    }

    async fn by_id(&mut self, wanted: &[(&Who, PersonId)]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = wanted.iter().map(|(_, id)| id.get()).collect();
        let there = self.store.known_persons(&ids).await?;
        for (who, id) in wanted {
            let found = if there.contains(&id.get()) {
                Found::Person(*id)
            } else {
                Found::Nobody(format!(
                    "nobody has the id {id}; add the person first, or say --person-by key if this is another system's number"
                ))
            };
            self.known.insert((*who).clone(), found);
        }
        Ok(())
    }

    async fn by_key(&mut self, wanted: &[(&Who, &str)]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = wanted.iter().map(|(_, key)| *key).collect();
        let there = self.store.persons_by_key(&keys).await?;
        let mut create = Vec::new();
        for (who, key) in wanted {
            match there.get(*key) {
                Some(id) => {
                    self.known.insert((*who).clone(), Found::Person(*id));
                }
                None => create.push((*who, (*key).to_owned(), NewPerson::new(key, NO_LAST_NAME, &self.company)?)),
            }
        }
        self.create(create).await
    }

    async fn by_name(&mut self, wanted: &[(&Who, (&str, &str))]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let names: Vec<(&str, &str)> = wanted.iter().map(|(_, names)| *names).collect();
        let there = self.store.persons_by_name(&names).await?;
        let mut create = Vec::new();
        for ((who, (first, last)), ids) in wanted.iter().zip(there) {
            match ids.as_slice() {
                [] => {
                    // The key keeps two runs at once from creating two persons.
                    let key = format!("name:{first} {last}");
                    create.push((*who, key, NewPerson::new(first, last, &self.company)?));
                }
                [id] => {
                    self.known.insert((*who).clone(), Found::Person(*id));
                }
                several => {
                    let ids: Vec<String> = several.iter().take(5).map(PersonId::to_string).collect();
                    let message = format!(
                        "{} persons have this name ({who}): say which by id: {}",
                        several.len(),
                        ids.join(", ")
                    );
                    self.known.insert((*who).clone(), Found::Nobody(message));
                }
            }
        }
        self.create(create).await
    }

    async fn create(&mut self, wanted: Vec<(&Who, String, NewPerson)>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.created += wanted.len() as u64;
        if self.dry_run {
            self.known.extend(wanted.into_iter().map(|(who, ..)| (who.clone(), Found::New)));
            return Ok(());
        }
        let (who, persons): (Vec<&Who>, Vec<(String, NewPerson)>) =
            wanted.into_iter().map(|(who, key, person)| (who, (key, person))).unzip();
        let ids = self.store.create_persons_by_key(&persons).await?;
        self.known.extend(who.into_iter().cloned().zip(ids.into_iter().map(Found::Person)));
        Ok(())
    }
}

/// First and last name: the last word is the last name.
fn split(name: &str) -> (&str, &str) {
    let name = name.trim();
    match name.rsplit_once(char::is_whitespace) {
        Some((first, last)) => (first.trim_end(), last),
        None => (name, NO_LAST_NAME),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(split("Ada Lovelace"), ("Ada", "Lovelace"));
        assert_eq!(split(" Ana María  García "), ("Ana María", "García"));
        assert_eq!(split("alice"), ("alice", NO_LAST_NAME));
    }
}
