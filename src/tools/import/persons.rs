//! Finds or creates the persons that files name.

use crate::codec::files::{Exported, PersonBy, Who};
use crate::domain::{Error, EventId, NewPerson, Person, PersonId, Result, text};
use crate::store::Store;
use std::collections::HashMap;
use std::sync::Arc;

/// Who was found, so that the store is asked once for each; emptied when there are very many.
pub struct Persons {
    store: Store,
    event: EventId,
    company: String,
    dry_run: bool,
    known: HashMap<Who, PersonMatch>,
    /// Whose `person_id` in the files each name is, so that two of one name are never taken for one. Never emptied.
    claimed: HashMap<Names, PersonId>,
    /// How many were created, or would be.
    pub created: u64,
}

/// First name, last name and, where it is known, the company.
type Names = (String, String, Option<String>);

/// Somebody who is looked for, by what, and what an export tells of them.
type Wanted<'a, By> = (&'a Who, By, Option<&'a Arc<Exported>>);

/// What became of the search for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonMatch {
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
    pub fn new(store: Store, event: EventId, company: String, dry_run: bool) -> Self {
        Self { store, event, company, dry_run, known: HashMap::new(), claimed: HashMap::new(), created: 0 }
    }

    /// Finds all of them, and creates whom there is a name or a key for.
    pub async fn find<'a>(&mut self, wanted: impl Iterator<Item = &'a Who>) -> Result<()> {
        if self.known.len() > MOST {
            self.known.clear();
        }
        let mut missing: Vec<&Who> = Vec::new();
        let mut before = None;
        for who in wanted {
            // Neighbours mostly have the same person.
            if before.replace(who) != Some(who) && !self.known.contains_key(who) {
                missing.push(who);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_by_cached_key(|who| format!("{who:?}"));
        missing.dedup();
        let mut ids = Vec::new();
        let mut keyed = Vec::new();
        let mut named = Vec::new();
        for who in missing {
            if let Who::Key(text) | Who::Name(text) = who
                && let Err(error) = text::name("person", text, NewPerson::MAX_CHARS)
            {
                // One record's fault, and not the end of the others; the database could not even be asked for a NUL.
                self.known.insert(who.clone(), PersonMatch::Nobody(error.message));
                continue;
            }
            match who {
                Who::Id(id) => ids.push((who, *id, None)),
                Who::Key(key) => keyed.push((who, key.as_ref(), None)),
                Who::Name(name) => named.push((who, split(name), None)),
                Who::Exported(by, person) => match (by, person.id, &person.key, person.full_name.as_deref()) {
                    (PersonBy::Id, Some(id), ..) => ids.push((who, id, Some(person))),
                    (PersonBy::Key, _, Some(key), _) => keyed.push((who, key.as_str(), Some(person))),
                    (PersonBy::Name, .., Some(name)) => {
                        let names = person.names.as_ref().map_or_else(|| split(name), |(first, last)| (first, last));
                        named.push((who, names, Some(person)));
                    }
                    _ => self.nobody(who, "the file does not say enough of the person".to_owned()),
                },
            }
        }
        self.by_id(&ids).await?;
        self.by_key(&keyed).await?;
        self.by_name(named).await
    }

    fn nobody(&mut self, who: &Who, why: String) {
        self.known.insert(who.clone(), PersonMatch::Nobody(why));
    }

    /// The person, after [`Persons::find`].
    pub fn get(&self, who: &Who) -> &PersonMatch {
        // Absent only if the caller did not ask for it before.
        self.known.get(who).unwrap_or(&PersonMatch::New)
    }

    async fn by_id(&mut self, wanted: &[Wanted<'_, PersonId>]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = wanted.iter().map(|(_, id, _)| id.get()).collect();
        let there = self.store.event(self.event).described(&ids).await?;
        for (who, id, exported) in wanted {
            let found = match (there.get(&id.get()), exported) {
                (None, None) => PersonMatch::Nobody(format!(
                    "nobody has the id {id}; add the person first, or say --person-by key if this is another system's number"
                )),
                (None, Some(_)) => PersonMatch::Nobody(format!(
                    "nobody has the id {id}; if the file is of another database, say --person-by key or --person-by name"
                )),
                (Some((person, key)), Some(exported)) => {
                    stranger(person, key.as_deref(), exported).map_or(PersonMatch::Person(*id), PersonMatch::Nobody)
                }
                (Some(_), None) => PersonMatch::Person(*id),
            };
            self.known.insert((*who).clone(), found);
        }
        Ok(())
    }

    async fn by_key(&mut self, wanted: &[Wanted<'_, &str>]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = wanted.iter().map(|(_, key, _)| *key).collect();
        let there = self.store.event(self.event).persons_by_key(&keys).await?;
        let mut create = Vec::new();
        for (who, key, exported) in wanted {
            if let Some(id) = there.get(*key) {
                self.known.insert((*who).clone(), PersonMatch::Person(*id));
                continue;
            }
            let (first, last) = exported
                .and_then(|exported| exported.names.as_ref())
                .map_or((*key, NO_LAST_NAME), |(first, last)| (first.as_str(), last.as_str()));
            let company = exported.and_then(|exported| exported.company_name.as_deref());
            if let Some(person) = self.checked(who, first, last, company) {
                create.push((*who, (*key).to_owned(), person));
            }
        }
        self.create(create).await
    }

    async fn by_name(&mut self, wanted: Vec<Wanted<'_, (&str, &str)>>) -> Result<()> {
        let mut free = Vec::new();
        for (who, (first, last), exported) in wanted {
            let company = exported.and_then(|exported| exported.company_name.clone());
            let source = exported.and_then(|exported| exported.id);
            match source.map(|id| (id, *self.claimed.entry((first.to_owned(), last.to_owned(), company)).or_insert(id)))
            {
                Some((id, before)) if id != before => self.nobody(
                    who,
                    format!(
                        "in these files two persons have this name ({first} {last}), person_id {before} and {id}: \
                         import them by key, or each by itself with --person"
                    ),
                ),
                _ => free.push((who, (first, last), exported.and_then(|exported| exported.company_name.as_deref()))),
            }
        }
        if free.is_empty() {
            return Ok(());
        }
        let names: Vec<(&str, &str)> = free.iter().map(|(_, names, _)| *names).collect();
        let there = self.store.event(self.event).persons_by_name(&names).await?;
        let described = self
            .store
            .event(self.event)
            .described(&there.iter().flatten().map(|id| id.get()).collect::<Vec<_>>())
            .await?;
        let mut create = Vec::new();
        for ((who, (first, last), company), ids) in free.into_iter().zip(there) {
            // Where the file knows the company, namesakes of another one are others.
            let of = |id: &PersonId| described.get(&id.get());
            let same = |id: &PersonId| {
                company.is_none_or(|company| of(id).is_some_and(|(person, _)| person.company_name == company))
            };
            let ids: Vec<PersonId> = ids.into_iter().filter(same).collect();
            match ids.as_slice() {
                [] => {
                    // The key keeps two runs at once from creating two persons.
                    let key = match company {
                        Some(company) => format!("name:{first} {last} ({company})"),
                        None => format!("name:{first} {last}"),
                    };
                    if let Some(person) = self.checked(who, first, last, company) {
                        create.push((who, key, person));
                    }
                }
                [id] => {
                    self.known.insert(who.clone(), PersonMatch::Person(*id));
                }
                several => {
                    let listed: Vec<String> = several
                        .iter()
                        .take(5)
                        .map(|id| match of(id).and_then(|(_, key)| key.as_deref()) {
                            Some(key) => format!("{id} (key {key:?})"),
                            None => id.to_string(),
                        })
                        .collect();
                    let message = format!(
                        "{} persons have this name ({first} {last}): say which by id or key: {}",
                        several.len(),
                        listed.join(", ")
                    );
                    self.nobody(who, message);
                }
            }
        }
        self.create(create).await
    }

    /// The person to be created; one who cannot be is nobody.
    fn checked(&mut self, who: &Who, first: &str, last: &str, company: Option<&str>) -> Option<NewPerson> {
        match NewPerson::new(first, last, company.unwrap_or(&self.company)) {
            Ok(person) => Some(person),
            Err(error) => {
                let texts: Vec<String> = match error {
                    Error::Invalid(errors) => errors.iter().map(|e| format!("{} {}", e.field, e.message)).collect(),
                    other => vec![other.to_string()],
                };
                self.nobody(who, format!("nobody of this name can be added: {}", texts.join("; ")));
                None
            }
        }
    }

    async fn create(&mut self, wanted: Vec<(&Who, String, NewPerson)>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.created += wanted.len() as u64;
        if self.dry_run {
            self.known.extend(wanted.into_iter().map(|(who, ..)| (who.clone(), PersonMatch::New)));
            return Ok(());
        }
        let (who, persons): (Vec<&Who>, Vec<(String, NewPerson)>) =
            wanted.into_iter().map(|(who, key, person)| (who, (key, person))).unzip();
        let ids = self.store.event(self.event).create_persons_by_key(&persons).await?;
        self.known.extend(who.into_iter().cloned().zip(ids.into_iter().map(PersonMatch::Person)));
        Ok(())
    }
}

/// Why the person who has the id here is not the one whom the file describes; absent when it is.
fn stranger(person: &Person, key: Option<&str>, exported: &Exported) -> Option<String> {
    let here = format!("{} {}", person.first_name, person.last_name);
    let advice = "if the file is of another database, say --person-by key or --person-by name; \
                  if ids are right all the same, --person-by id";
    match (&exported.full_name, key, &exported.key) {
        (Some(there), ..) if !there.split_whitespace().eq(here.split_whitespace()) => {
            Some(format!("person_id {} is {here:?} here and {there:?} in the file; {advice}", person.id))
        }
        (_, Some(here), Some(there)) if here != there => {
            Some(format!("person_id {} has the key {here:?} here and {there:?} in the file; {advice}", person.id))
        }
        _ => None,
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
