//! Persons as rows: created, found, searched, exported and erased.

use super::EventStore;
use super::connection::Connection;
use super::error::from_diesel;
use super::loader::Load;
use super::record::Retries;
use super::schema::{location, person};
use super::statement::{Bind, Statement};
use crate::domain::{Error, EventId, NewPerson, Page, Person, PersonId, Result, Search};
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use std::collections::HashMap;

/// A person as a row.
#[derive(Queryable, Selectable)]
#[diesel(table_name = person)]
pub(super) struct PersonRow {
    id: i64,
    first_name: String,
    last_name: String,
    company_name: String,
}

impl PersonRow {
    pub(super) fn into_domain(self) -> Result<Person> {
        Ok(Person {
            id: PersonId::new(self.id, "id")?,
            first_name: self.first_name,
            last_name: self.last_name,
            company_name: self.company_name,
        })
    }
}

impl Load for Person {
    fn id(&self) -> i64 {
        self.id.get()
    }

    async fn load(connection: &mut Connection, event: EventId, ids: &[i64]) -> Result<Vec<Self>> {
        let found = person::table
            .select(PersonRow::as_select())
            .filter(person::event_id.eq(event.get()).and(person::id.eq_any(ids)));
        let rows: Vec<PersonRow> = found.load(connection).await.map_err(from_diesel)?;
        rows.into_iter().map(PersonRow::into_domain).collect()
    }
}

impl EventStore<'_> {
    /// Stores a person under a new id.
    pub async fn create_person(&self, new: &NewPerson) -> Result<Person> {
        diesel::insert_into(person::table)
            .values((
                person::event_id.eq(self.event.get()),
                person::first_name.eq(new.first_name()),
                person::last_name.eq(new.last_name()),
                person::company_name.eq(new.company_name()),
            ))
            .returning(PersonRow::as_returning())
            .get_result(&mut self.store.connection().await?)
            .await
            .map_err(|error| self.told(error))?
            .into_domain()
    }

    /// The person, or [`Error::NotFound`].
    pub async fn person(&self, id: PersonId) -> Result<Person> {
        self.store
            .person_loader
            .get(self.event, id.get())
            .await?
            .ok_or(Error::NotFound { what: "person", id: id.get() })
    }

    /// Persons by id, after `after`, at most `limit`: those in whose names or company each word of `search` occurs, as
    /// `search_fold` in the schema has it (without case, accents, apostrophes, hyphens).
    pub async fn persons(
        &self,
        search: &Search,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Page<Person, PersonId>> {
        let mut searching = self.store.search().await?;
        let rows: Vec<PersonRow> = loop {
            let select = person::table
                .select(PersonRow::as_select())
                .filter(person::event_id.eq(self.event.get()))
                .filter(person::id.gt(after.map_or(0, PersonId::get)))
                .filter(Found(search.words()))
                .order(person::id)
                .limit(limit as i64 + 1);
            let rows = select.load(&mut *searching).await;
            if let Some(rows) = searching.settle(rows).await {
                break rows.map_err(from_diesel)?;
            }
        };
        drop(searching);
        let persons = rows.into_iter().map(PersonRow::into_domain).collect::<Result<_>>()?;
        Ok(Page::cut(persons, limit, |person: &Person| person.id))
    }

    /// Erases the person, every location of theirs and what dead letters hold of them, or [`Error::NotFound`].
    pub async fn delete_person(&self, id: PersonId) -> Result<()> {
        let mut connection = self.store.connection().await?;
        let event = self.event.get();
        connection
            .transaction(async |connection| {
                // The person first: this waits for writers that hold them FOR KEY SHARE, and those that come later find
                // nobody. What the former stored is visible to the second statement.
                if diesel::delete(person::table.find((event, id.get()))).execute(connection).await? == 0 {
                    return Err(diesel::result::Error::NotFound);
                }
                super::dead_letters::erase(connection, id.get()).await?;
                let theirs = location::event_id.eq(event).and(location::person_id.eq(id.get()));
                diesel::delete(location::table.filter(theirs)).execute(connection).await
            })
            .await
            .map_err(|error| match error {
                diesel::result::Error::NotFound => Error::NotFound { what: "person", id: id.get() },
                other => from_diesel(other),
            })?;
        Ok(())
    }

    /// Stores persons under keys of another system; a key that is known keeps its person as it is. Returns the ids in the
    /// order of the input, one for each. An id may be of a person who was deleted meanwhile, but never
    /// somebody else's.
    pub async fn create_persons_by_key(&self, persons: &[(String, NewPerson)]) -> Result<Vec<PersonId>> {
        let column = |of: fn(&NewPerson) -> &str| persons.iter().map(|(_, person)| of(person)).collect::<Vec<_>>();
        let keys: Vec<&str> = persons.iter().map(|(key, _)| key.as_str()).collect();
        let (first, last, company) =
            (column(NewPerson::first_name), column(NewPerson::last_name), column(NewPerson::company_name));
        // One statement, so that nothing comes between. The update changes nothing: it makes the row be returned, and be there
        // until the statement ends. By key, so that two of these at once do not wait for each other in a circle.
        let statement = || {
            Statement::<(BigInt, BigInt)>::new(
                "WITH given AS MATERIALIZED (
                 SELECT * FROM unnest($1, $2, $3, $4) WITH ORDINALITY
                     AS given (key, first_name, last_name, company_name, ordinal)
             ), kept AS (
                 INSERT INTO person AS known (event_id, external_key, first_name, last_name, company_name)
                 SELECT DISTINCT ON (key) $5, key, first_name, last_name, company_name FROM given ORDER BY key, ordinal
                 ON CONFLICT (event_id, external_key) DO UPDATE SET company_name = known.company_name
                 RETURNING id, external_key
             )
             SELECT given.ordinal, kept.id FROM given JOIN kept ON kept.external_key = given.key",
                vec![
                    Bind::Texts(&keys),
                    Bind::Texts(&first),
                    Bind::Texts(&last),
                    Bind::Texts(&company),
                    Bind::event(self.event),
                ],
            )
        };
        let mut connection = self.store.connection().await?;
        let mut retries = Retries::default();
        let rows: Vec<(i64, i64)> = loop {
            match statement().load(&mut connection).await {
                // An older program may have the same key at this moment; it goes by an index of its own, the keys alone.
                Err(diesel::result::Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) if retries.any() => {}
                done => break done.map_err(|error| self.told(error))?,
            }
        };
        let mut ids = vec![None; persons.len()];
        for (ordinal, id) in rows {
            ids[ordinal as usize - 1] = Some(PersonId::new(id, "id")?);
        }
        let all: Option<Vec<PersonId>> = ids.into_iter().collect();
        all.ok_or_else(|| Error::Internal("no id for a person that was to be created".to_owned()))
    }

    /// The persons of those ids that exist, each with the key by which another system knows them.
    pub async fn described(&self, ids: &[i64]) -> Result<HashMap<i64, (Person, Option<String>)>> {
        let found: Vec<(PersonRow, Option<String>)> = person::table
            .select((PersonRow::as_select(), person::external_key))
            .filter(person::event_id.eq(self.event.get()).and(person::id.eq_any(ids)))
            .load(&mut self.store.connection().await?)
            .await
            .map_err(from_diesel)?;
        found.into_iter().map(|(row, key)| row.into_domain().map(|person| (person.id.get(), (person, key)))).collect()
    }

    /// The persons whom another system knows by these keys; a key that is nobody's is absent.
    pub async fn persons_by_key(&self, keys: &[&str]) -> Result<HashMap<String, PersonId>> {
        let found: Vec<(Option<String>, i64)> = person::table
            .select((person::external_key, person::id))
            .filter(person::event_id.eq(self.event.get()).and(person::external_key.eq_any(keys)))
            .load(&mut self.store.connection().await?)
            .await
            .map_err(from_diesel)?;
        found
            .into_iter()
            .filter_map(|(key, id)| Some((key?, id)))
            .map(|(key, id)| Ok((key, PersonId::new(id, "id")?)))
            .collect()
    }

    /// The persons with exactly these first and last names: for each pair all of them, by id.
    pub async fn persons_by_name(&self, names: &[(&str, &str)]) -> Result<Vec<Vec<PersonId>>> {
        let (first, last): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
        // What the index knows; the names themselves decide.
        let patterns: Vec<String> =
            names.iter().map(|(first, last)| format!("{} {} %", escape_like(first), escape_like(last))).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let rows: Vec<(i64, i64)> = Statement::<(BigInt, BigInt)>::new(
            "SELECT ordinal, person.id
             FROM unnest($1, $2, $3) WITH ORDINALITY AS given (first_name, last_name, pattern, ordinal)
             JOIN person ON person.event_id = $4 AND person.search_text LIKE lower(given.pattern)
                 AND person.first_name = given.first_name AND person.last_name = given.last_name
             ORDER BY person.id",
            vec![Bind::Texts(&first), Bind::Texts(&last), Bind::Texts(&patterns), Bind::event(self.event)],
        )
        .load(&mut self.store.connection().await?)
        .await
        .map_err(from_diesel)?;
        let mut found = vec![Vec::new(); names.len()];
        for (ordinal, id) in rows {
            found[ordinal as usize - 1].push(PersonId::new(id, "id")?);
        }
        Ok(found)
    }

    /// Whether nobody is stored yet.
    pub async fn is_empty(&self) -> Result<bool> {
        let anybody: Option<i64> = person::table
            .select(person::id)
            .filter(person::event_id.eq(self.event.get()))
            .first(&mut self.store.connection().await?)
            .await
            .optional()
            .map_err(from_diesel)?;
        Ok(anybody.is_none())
    }
}

/// The condition that a person is found by each of these words. Written one after the other and not nested, so that no number
/// of words can be too deep.
struct Found<'a>(&'a [String]);

impl Expression for Found<'_> {
    type SqlType = Bool;
}

impl QueryFragment<Pg> for Found<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("TRUE");
        for word in self.0 {
            out.push_sql(" AND person.search LIKE search_pattern(");
            out.push_bind_param::<Text, String>(word)?;
            out.push_sql(")");
        }
        Ok(())
    }
}

impl QueryId for Found<'_> {
    // No static id: the cache then goes by the text.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl AppearsOnTable<person::table> for Found<'_> {}
impl SelectableExpression<person::table> for Found<'_> {}
impl<GroupBy> ValidGrouping<GroupBy> for Found<'_> {
    type IsAggregate = diesel::expression::is_aggregate::No;
}

/// Makes `%`, `_` and `\` stand for themselves in a LIKE pattern.
fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
