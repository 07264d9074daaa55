//! What travels ↔ domain: JSON objects as REST and Kafka carry them.

mod fields;
mod json;

pub use fields::{Fields, misspelt};
pub use json::{LOCATION_FIELDS, read_location};
