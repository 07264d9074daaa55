//! Hand-written SQL as a prepared statement.
//!
//! diesel's `sql_query` is parsed and planned anew at every call, which costs more than running most of our queries. A
//! [`Statement`] is a query fragment like any other, so its prepared form is cached per connection by its text.

use crate::domain::EventId;
use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{QueryResult, RunQueryDsl};
use diesel_geography::sql_types::Geography;
use diesel_geography::types::Point;
use std::borrow::Cow;
use std::marker::PhantomData;

/// A value bound to a [`Statement`]: the kinds that our SQL takes.
pub(super) enum Bind<'a> {
    /// The number of an event; see [`Bind::event`].
    Event(i32),
    Id(i64),
    Text(&'a str),
    Time(DateTime<Utc>),
    Point(Point),
    Ids(&'a [i64]),
    Times(&'a [DateTime<Utc>]),
    Points(&'a [Point]),
    Doubles(&'a [Option<f64>]),
    Texts(&'a [&'a str]),
}

impl Bind<'_> {
    pub(super) fn event(id: EventId) -> Self {
        Self::Event(id.get())
    }
}

/// SQL whose `$1`, `$2`, … stand in that order, each once, with the values for them; `Row` is the SQL type of what it returns.
pub(super) struct Statement<'a, Row = ()> {
    sql: Cow<'static, str>,
    binds: Vec<Bind<'a>>,
    row: PhantomData<Row>,
}

impl<'a, Row> Statement<'a, Row> {
    pub(super) fn new(sql: impl Into<Cow<'static, str>>, binds: Vec<Bind<'a>>) -> Self {
        Self { sql: sql.into(), binds, row: PhantomData }
    }
}

impl<Row> QueryFragment<Pg> for Statement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut rest: &str = &self.sql;
        for (i, bind) in self.binds.iter().enumerate() {
            let placeholder = format!("${}", i + 1);
            let (before, after) = rest.split_once(&placeholder).unwrap_or_else(|| panic!("{placeholder} in {rest}"));
            out.push_sql(before);
            rest = after;
            match bind {
                Bind::Event(value) => out.push_bind_param::<Integer, i32>(value)?,
                Bind::Id(value) => out.push_bind_param::<BigInt, i64>(value)?,
                Bind::Text(value) => out.push_bind_param::<Text, &str>(value)?,
                Bind::Time(value) => out.push_bind_param::<Timestamptz, DateTime<Utc>>(value)?,
                Bind::Point(value) => out.push_bind_param::<Geography, Point>(value)?,
                Bind::Ids(values) => out.push_bind_param::<Array<BigInt>, [i64]>(values)?,
                Bind::Times(values) => out.push_bind_param::<Array<Timestamptz>, [DateTime<Utc>]>(values)?,
                Bind::Points(values) => out.push_bind_param::<Array<Geography>, [Point]>(values)?,
                Bind::Doubles(values) => out.push_bind_param::<Array<Nullable<Double>>, [Option<f64>]>(values)?,
                Bind::Texts(values) => out.push_bind_param::<Array<Text>, [&str]>(values)?,
            }
        }
        out.push_sql(rest);
        Ok(())
    }
}

impl<Row> QueryId for Statement<'_, Row> {
    // No static id: the cache then goes by the text.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Statement<'_, Row> {
    type SqlType = Row;
}

impl<Row, Conn> RunQueryDsl<Conn> for Statement<'_, Row> {}
