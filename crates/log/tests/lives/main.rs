//! Lives of a store: exhaustive ones, where every operation is the one that goes wrong, and random ones, by the
//! hundred thousand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a test fails by a panic, and hands files to other programs"
)]

#[path = "../common/mod.rs"]
mod common;

mod crash;
mod errors;
mod fuzz;
mod generation;
mod mutants;
