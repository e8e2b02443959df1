//! Cases, one by one: each is over in a moment, and says what it is about. They run before the lives.

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

mod compaction;
mod concurrency;
mod damage;
mod disk;
mod errors;
mod figures;
mod folder;
mod generation;
mod golden;
mod lock;
mod model;
mod python;
mod reader;
mod survey;
