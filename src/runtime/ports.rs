//! The default ports of the roles.

pub const APP: u16 = 30_000;
pub const API: u16 = 30_001;
pub const GRPC: u16 = 30_002;
pub const CONSUMER: u16 = 30_003;

pub const ALL: [u16; 4] = [APP, API, GRPC, CONSUMER];
