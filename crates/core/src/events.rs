//! What people should be told: things that heal or need a look.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should have a look.
    Warning,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// One word for each kind of event.
    pub event: &'static str,
    /// How much it matters.
    pub level: Level,
    /// The file or folder.
    pub path: String,
    /// For people.
    pub message: String,
}

impl Event {
    /// A warning about a file or folder.
    #[must_use]
    pub fn warning(event: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self { event, level: Level::Warning, path: path.display().to_string(), message: message.into() }
    }

    /// Something good to know about a file or folder.
    #[must_use]
    pub fn info(event: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self { level: Level::Info, ..Self::warning(event, path, message) }
    }
}

/// A JavaScript environment (the main thread, a worker thread): a number that no other has in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnvironmentId(pub u64);

/// Where an environment's events go. Cheap to clone; called on whatever thread the event happens.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(Event) + Send + Sync>);

impl Sink {
    /// A sink that calls this.
    pub fn new(deliver: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(deliver))
    }
}

/// The environments that have a store open: each hears of its events.
#[derive(Clone, Default)]
pub struct Listeners(Arc<Mutex<HashMap<EnvironmentId, Sink>>>);

impl Listeners {
    /// Adds an environment.
    pub fn add(&self, environment: EnvironmentId, sink: Sink) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(environment, sink);
    }

    /// Removes an environment.
    pub fn remove(&self, environment: EnvironmentId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&environment);
    }

    /// Tells them all.
    pub fn emit(&self, event: &Event) {
        let sinks: Vec<Sink> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for Sink(deliver) in sinks {
            deliver(event.clone());
        }
    }
}
