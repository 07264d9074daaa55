//! A demo event: the same every time, any size.

pub mod event;
pub mod seed;
