//! UdaConnect: whom did I meet, where, when and for how long?
pub mod domain;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "stream")]
pub mod stream;
#[cfg(feature = "wire")]
pub mod wire;
