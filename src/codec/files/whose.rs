//! Whose a record is: one rule for all formats.
//!
//! 1. What the caller says of all of them (`--person`).
//! 2. The column, property or element that the caller names (`--person-column`), read as the caller says (`--person-by`).
//! 3. What the record says: its person column, read as the caller says. Our own exports say more, of which that part counts
//!    which is asked for: `person_id` is an id and never anything else, `external_key` a key, `first_name` and `last_name` a name.
//!    When the caller says nothing it is the id, and names and key beside it must be those of whoever has the id here:
//!    ids of another database are strangers' ids in this one.
//! 4. Where the input lies (OwnTracks Recorder's paths).

use super::{Bad, Options, value};
use crate::domain::{NewPerson, PersonId, text};
use std::fmt;
use std::sync::Arc;

/// Whose a location is, as the input or the caller says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The person with this id.
    Id(PersonId),
    /// The person whom another system knows by this key.
    Key(Arc<str>),
    /// The person with this name.
    Name(Arc<str>),
    /// The person whom an export describes, to be found by this. By id, the rest must agree; by key or name, somebody new is
    /// created like this.
    Exported(PersonBy, Arc<Exported>),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "person {id}"),
            Self::Key(key) => write!(f, "the person with the key {key:?}"),
            Self::Name(name) => write!(f, "the person named {name:?}"),
            Self::Exported(PersonBy::Key, person) => {
                write!(f, "the person with the key {:?}", person.key.as_deref().unwrap_or_default())
            }
            Self::Exported(_, person) => {
                write!(f, "the person named {:?}", person.full_name.as_deref().unwrap_or_default())?;
                person.id.map_or(Ok(()), |id| write!(f, ", person_id {id}"))
            }
        }
    }
}

/// What an export tells of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exported {
    /// In the database that it came from.
    pub id: Option<PersonId>,
    pub key: Option<String>,
    /// First and last name with a space between them; always there when there are `names`.
    pub full_name: Option<String>,
    pub names: Option<(String, String)>,
    pub company_name: Option<String>,
}

/// What the text in a person column is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum PersonBy {
    /// The id of somebody who is there
    #[default]
    Id,
    /// A key of another system's; who is not there yet is created
    Key,
    /// A name; who is not there yet is created
    Name,
}

impl PersonBy {
    /// Reads who is meant; the error is a sentence without the field's name.
    pub fn who(self, text: &str) -> Result<Who, String> {
        match self {
            Self::Id => id(text).map(Who::Id),
            Self::Key => word(text).map(|key| Who::Key(key.into())),
            Self::Name => word(text).map(|name| Who::Name(name.into())),
        }
    }
}

fn id(text: &str) -> Result<PersonId, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    text.parse().ok().and_then(|id| PersonId::new(id, "person").ok()).ok_or_else(|| {
        format!(
            "must be a person's id, a whole number of 1 or more; got {:?}; \
             if it is a key or a name, say --person-by key or --person-by name",
            value::shown(text)
        )
    })
}

/// A key or a name.
fn word(text: &str) -> Result<&str, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("must not be empty".to_owned())
    } else {
        text::name("person", text, NewPerson::MAX_CHARS).map_err(|error| error.message)?;
        Ok(text)
    }
}

/// What a record says of its person. Empty texts count as absent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim<'a> {
    /// The person column's text: that of the column which the caller named, else of the usual one.
    pub(super) text: Option<&'a str>,
    /// `person_id`, whichever column `text` is from.
    pub(super) id: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) first_name: Option<&'a str>,
    pub(super) last_name: Option<&'a str>,
    /// First and last name in one, where they are not apart.
    pub(super) full_name: Option<&'a str>,
    pub(super) company_name: Option<&'a str>,
    /// Whether it is of our own making, so that its `person_id` is an id and no key or name.
    pub(super) ours: bool,
}

impl Claim<'_> {
    /// Whose it is; `None` when nothing says it.
    pub(super) fn who(&self, options: &Options) -> Result<Option<Who>, Bad> {
        if let Some(who) = &options.person {
            return Ok(Some(who.clone()));
        }
        let claimed = if options.columns.person.is_some() { self.asked(options) } else { self.own(options) };
        match claimed.map_err(|message| Bad::new("person", message))? {
            None => Ok(options.otherwise.clone()),
            who => Ok(who),
        }
    }

    /// By the column that the caller named.
    fn asked(&self, options: &Options) -> Result<Option<Who>, String> {
        let Some(text) = present(self.text) else { return Ok(None) };
        let by = options.person_by.unwrap_or_default();
        if by == PersonBy::Name {
            // The name of somebody of whom the record tells more, so that namesakes are told apart.
            let exported = self.exported()?;
            if exported.id.is_some() && exported.full_name.as_deref() == Some(text.trim()) {
                return Ok(Some(Who::Exported(by, Arc::new(exported))));
            }
        }
        by.who(text).map(Some)
    }

    /// By what the record says by itself.
    fn own(&self, options: &Options) -> Result<Option<Who>, String> {
        let exported = || self.exported().map(Arc::new);
        let named = present(self.first_name).or(present(self.full_name)).is_some();
        match options.person_by {
            Some(PersonBy::Key) if self.ours => match present(self.key) {
                Some(_) => Ok(Some(Who::Exported(PersonBy::Key, exported()?))),
                None => Err(format!(
                    "the file holds no key of this person{}; say --person-by name, or --person WHO",
                    present(self.id).map(|id| format!(", whose person_id is {}", value::shown(id))).unwrap_or_default()
                )),
            },
            Some(PersonBy::Name) if named => Ok(Some(Who::Exported(PersonBy::Name, exported()?))),
            Some(PersonBy::Name) if self.ours => {
                Err("the file holds no name of this person; say --person-by key, or --person WHO".to_owned())
            }
            Some(by) => present(self.text).map(|text| by.who(text)).transpose(),
            None => {
                let Some(text) = present(self.text) else { return Ok(None) };
                if self.id == self.text && (named || present(self.key).is_some()) {
                    return Ok(Some(Who::Exported(PersonBy::Id, exported()?)));
                }
                PersonBy::Id.who(text).map(Some)
            }
        }
    }

    fn exported(&self) -> Result<Exported, String> {
        let some = |what: &str, text: Option<&str>| match present(text) {
            Some(text) => word(text).map(|text| Some(text.to_owned())).map_err(|why| format!("{what} {why}")),
            None => Ok(None),
        };
        let names = match (some("first_name", self.first_name)?, some("last_name", self.last_name)?) {
            (Some(first), Some(last)) => Some((first, last)),
            _ => None,
        };
        let full_name = match &names {
            Some((first, last)) => Some(format!("{first} {last}")),
            // Two names of 200 characters each.
            None => present(self.full_name).map(|name| name.trim().chars().take(401).collect()),
        };
        Ok(Exported {
            id: present(self.id).map(id).transpose()?,
            key: some("external_key", self.key)?,
            full_name,
            names,
            company_name: some("company_name", self.company_name)?,
        })
    }
}

fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}
