//! A demo event, the same every time, any size; and phones that walk about in it.

pub mod event;
#[cfg(feature = "seed")]
pub mod seed;
#[cfg(feature = "simulate")]
pub mod simulate;
