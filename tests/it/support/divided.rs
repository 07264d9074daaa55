//! The schema as several servers would share it, in one database: which parts of it a statement looks into.

use super::recorder::Asked;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Client;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

/// The tables that are an event's.
pub const TABLES: [&str; 2] = ["person", "location"];

/// The tables of events anew in another schema, each divided by the event into four as several servers would have them, with the
/// same columns and indexes; found before the ones that are used.
pub async fn divide(client: &Client) {
    client.batch_execute("CREATE SCHEMA divided").await.unwrap();
    for table in TABLES {
        let create = format!(
            "CREATE TABLE divided.{table} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING GENERATED)
             PARTITION BY HASH (event_id)"
        );
        client.batch_execute(&create).await.unwrap();
        for part in 0..4 {
            let create = format!(
                "CREATE TABLE divided.{table}_part_{part} PARTITION OF divided.{table}
                 FOR VALUES WITH (MODULUS 4, REMAINDER {part})"
            );
            client.batch_execute(&create).await.unwrap();
        }
        let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = $1";
        let indexes = client.query(indexes, &[&table]).await.unwrap();
        assert!(indexes.len() >= 3);
        for index in indexes {
            let index: String = index.get(0);
            let index = index
                .replace(&format!("ON ONLY public.{table} "), &format!("ON divided.{table} "))
                .replace(&format!("ON public.{table} "), &format!("ON divided.{table} "));
            client.batch_execute(&index).await.unwrap();
        }
    }
    client.batch_execute("SET search_path = divided, public").await.unwrap();
}

/// A parameter as it was sent.
#[derive(Debug)]
struct Raw(Option<Vec<u8>>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(value) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(value);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}

/// A type that is PostGIS's has no name here; its number is all that is sent.
fn of_number(oid: u32) -> Type {
    Type::from_oid(oid).unwrap_or_else(|| Type::new(String::new(), oid, Kind::Simple, String::new()))
}

/// The first number that PostgreSQL gives to a type which is not its own.
const FIRST_OID: u32 = 16_384;

/// PostGIS's type of a place on the earth, and that of several: their numbers, which are others in each database.
#[derive(Clone, Copy)]
pub struct Geography {
    one: u32,
    several: u32,
}

impl Geography {
    pub async fn of(client: &Client) -> Self {
        let row = client.query_one("SELECT oid, typarray FROM pg_type WHERE oid = 'geography'::regtype", &[]).await;
        let row = row.unwrap();
        Self { one: row.get(0), several: row.get(1) }
    }

    /// What was asked of another database, with the numbers of this one. No other types than PostgreSQL's own and these two are sent.
    pub fn here(self, mut asked: Asked) -> Asked {
        for (oid, value) in asked.types.iter_mut().zip(&mut asked.values).filter(|(oid, _)| **oid >= FIRST_OID) {
            // An array: how many dimensions, whether there are NULLs, the type of its elements. A place begins with the order of
            // its bytes, which is 1 as the first byte.
            *oid = match value {
                Some(bytes) if bytes.len() >= 12 && bytes[0] == 0 => {
                    bytes[8..12].copy_from_slice(&self.one.to_be_bytes());
                    self.several
                }
                _ => self.one,
            };
        }
        asked
    }
}

/// The parts of the divided tables that a statement's plan looks into, for each table.
pub type Touched = BTreeMap<&'static str, BTreeSet<String>>;

/// What the statement's plan looks into; the error is the server's.
pub async fn touched(client: &Client, asked: &Asked) -> Result<Touched, tokio_postgres::Error> {
    // Types by their numbers, which are the same in both schemas; the server infers what is not given.
    let explain = format!("EXPLAIN {}", asked.sql);
    let types: Vec<Type> = asked.types.iter().map(|oid| of_number(*oid)).collect();
    let statement = client.prepare_typed(&explain, &types).await?;
    let values: Vec<Raw> = asked.values.iter().cloned().map(Raw).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    let rows = client.query(&statement, &parameters).await?;
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut touched = Touched::new();
    for table in TABLES {
        let name = format!(" on {table}_part_");
        for line in &plan {
            if let Some((_, rest)) = line.split_once(&name) {
                touched.entry(table).or_default().insert(rest.chars().take_while(char::is_ascii_digit).collect());
            }
        }
    }
    Ok(touched)
}
