//! Whom did I meet: the laws of the answer against brute force, and its contract.
//!
//! `UDACONNECT_LAW_CASES=100000 cargo test --release --test it meetings::` is the longer run.

mod answers;
mod brute;
mod case;
mod laws;
mod nasty;
mod postgis;

/// How many random cases each law is tried with.
fn cases() -> u32 {
    std::env::var("UDACONNECT_LAW_CASES").ok().map_or(1_000, |text| text.parse().expect("UDACONNECT_LAW_CASES"))
}

fn config() -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        failure_persistence: None,
        max_shrink_iters: 500,
        cases: cases(),
        ..Default::default()
    }
}
