//! Baileys' auth state without Node.
//!
//! From below: [`value`] and [`keys`] know what is stored and under which names, [`creds`] whose it is.
//! [`folder`] is the held folder that both formats stand on. A [`backend`] stores an account; a
//! [`store`] gives it call order, pending writes and handles, and the [`registry`] sees to it that there is one a
//! folder. [`migration`] moves accounts. Blocking work is done on [`runtime`]; the disk is reached through
//! `auth_log::fs` alone, so that all of it is crashed on a simulated one.

pub mod backend;
pub mod creds;
pub mod error;
pub mod events;
pub mod folder;
pub mod keys;
pub mod maintenance;
pub mod migration;
pub mod registry;
pub mod runtime;
pub mod store;
mod threads;
pub mod usable;
pub mod value;
mod watchdog;
