use super::Store;
use super::error::from_diesel;
use super::loader::Load;
use super::schema::{location, person};
use super::statement::{Bind, Statement};
use crate::domain::{Error, NewPerson, Page, Person, PersonId, Result};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use std::collections::{HashMap, HashSet};

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

    async fn load(connection: &mut AsyncPgConnection, ids: &[i64]) -> Result<Vec<Self>> {
        let found = person::table.select(PersonRow::as_select()).filter(person::id.eq_any(ids));
        let rows: Vec<PersonRow> = found.load(connection).await.map_err(from_diesel)?;
        rows.into_iter().map(PersonRow::into_domain).collect()
    }
}

impl Store {
    /// Stores a person under a new id.
    pub async fn create_person(&self, new: &NewPerson) -> Result<Person> {
        diesel::insert_into(person::table)
            .values((
                person::first_name.eq(new.first_name()),
                person::last_name.eq(new.last_name()),
                person::company_name.eq(new.company_name()),
            ))
            .returning(PersonRow::as_returning())
            .get_result(&mut self.connection().await?)
            .await
            .map_err(from_diesel)?
            .into_domain()
    }

    /// The person, or [`Error::NotFound`].
    pub async fn person(&self, id: PersonId) -> Result<Person> {
        self.person_loader.get(id.get()).await?.ok_or(Error::NotFound { what: "person", id: id.get() })
    }

    /// Persons by id, after `after`, at most `limit`. Each word of `query` must occur in a name or the company, in any case.
    pub async fn persons(&self, query: &str, after: Option<PersonId>, limit: usize) -> Result<Page<Person, PersonId>> {
        let mut select = person::table
            .select(PersonRow::as_select())
            .filter(person::id.gt(after.map_or(0, PersonId::get)))
            .order(person::id)
            .limit(limit as i64 + 1)
            .into_boxed();
        for word in query.split_whitespace() {
            select = select.filter(person::search_text.like(lower(format!("%{}%", escape_like(word)))));
        }
        let rows: Vec<PersonRow> = select.load(&mut self.connection().await?).await.map_err(from_diesel)?;
        let persons = rows.into_iter().map(PersonRow::into_domain).collect::<Result<_>>()?;
        Ok(Page::cut(persons, limit, |person: &Person| person.id))
    }

    /// Erases the person, every location of theirs and what dead letters hold of them, or [`Error::NotFound`].
    pub async fn delete_person(&self, id: PersonId) -> Result<()> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                // The person first: this waits for writers that hold them FOR KEY SHARE, and those that come later find
                // nobody. What the former stored is visible to the second statement.
                if diesel::delete(person::table.find(id.get())).execute(connection).await? == 0 {
                    return Err(diesel::result::Error::NotFound);
                }
                super::dead_letters::erase(connection, id.get()).await?;
                diesel::delete(location::table.filter(location::person_id.eq(id.get()))).execute(connection).await
            })
            .await
            .map_err(|error| match error {
                diesel::result::Error::NotFound => Error::NotFound { what: "person", id: id.get() },
                other => from_diesel(other),
            })?;
        Ok(())
    }

    /// Stores persons under keys of another system; a key that is known keeps its person as it is. Returns the ids in the
    /// order of the input.
    pub async fn create_persons_by_key(&self, persons: &[(String, NewPerson)]) -> Result<Vec<PersonId>> {
        let column = |of: fn(&NewPerson) -> &str| persons.iter().map(|(_, person)| of(person)).collect::<Vec<_>>();
        let keys: Vec<&str> = persons.iter().map(|(key, _)| key.as_str()).collect();
        let (first, last, company) =
            (column(NewPerson::first_name), column(NewPerson::last_name), column(NewPerson::company_name));
        let mut connection = self.connection().await?;
        Statement::<(BigInt,)>::new(
            "INSERT INTO person (external_key, first_name, last_name, company_name)
             SELECT * FROM unnest($1, $2, $3, $4) ON CONFLICT (external_key) DO NOTHING",
            vec![Bind::Texts(&keys), Bind::Texts(&first), Bind::Texts(&last), Bind::Texts(&company)],
        )
        .execute(&mut connection)
        .await
        .map_err(from_diesel)?;
        let rows: Vec<(i64,)> = Statement::<(BigInt,)>::new(
            "SELECT person.id FROM unnest($1) WITH ORDINALITY AS given (key, ordinal)
             JOIN person ON person.external_key = given.key ORDER BY ordinal",
            vec![Bind::Texts(&keys)],
        )
        .load(&mut connection)
        .await
        .map_err(from_diesel)?;
        rows.into_iter().map(|(id,)| Ok(PersonId::new(id, "id")?)).collect()
    }

    /// Those of the ids that somebody has.
    pub async fn known_persons(&self, ids: &[i64]) -> Result<HashSet<i64>> {
        let found: Vec<i64> = person::table
            .select(person::id)
            .filter(person::id.eq_any(ids))
            .load(&mut self.connection().await?)
            .await
            .map_err(from_diesel)?;
        Ok(found.into_iter().collect())
    }

    /// The persons whom another system knows by these keys; a key that is nobody's is absent.
    pub async fn persons_by_key(&self, keys: &[&str]) -> Result<HashMap<String, PersonId>> {
        let found: Vec<(Option<String>, i64)> = person::table
            .select((person::external_key, person::id))
            .filter(person::external_key.eq_any(keys))
            .load(&mut self.connection().await?)
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
             JOIN person ON person.search_text LIKE lower(given.pattern)
                 AND person.first_name = given.first_name AND person.last_name = given.last_name
             ORDER BY person.id",
            vec![Bind::Texts(&first), Bind::Texts(&last), Bind::Texts(&patterns)],
        )
        .load(&mut self.connection().await?)
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
            .first(&mut self.connection().await?)
            .await
            .optional()
            .map_err(from_diesel)?;
        Ok(anybody.is_none())
    }
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// By the database and not here, since it lowered `search_text`, by the rules of its own locale.
    fn lower(text: Text) -> Text;
}

/// Makes `%`, `_` and `\` stand for themselves in a LIKE pattern.
fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
