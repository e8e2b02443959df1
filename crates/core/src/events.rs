//! What people are told: things that heal or need a look, and the end of a store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should have a look.
    Warning,
    /// An account cannot go on.
    Error,
}

impl Level {
    /// The logger's method for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warn",
            Level::Error => "error",
        }
    }
}

/// Something that happened. Every kind is in the union `AuthStateEvent` of `index.d.ts`.
#[derive(Clone, Debug)]
pub struct Event {
    /// One word for each kind of event.
    pub event: &'static str,
    /// How much it matters.
    pub level: Level,
    /// The file or folder, or `custom backend`.
    pub path: String,
    /// For people.
    pub message: String,
    /// What it says in numbers.
    pub numbers: Vec<(&'static str, u64)>,
}

impl Event {
    /// Something good to know about a file or folder.
    #[must_use]
    pub fn info(event: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self::new(event, Level::Info, path, message.into())
    }

    /// A warning about a file or folder.
    #[must_use]
    pub fn warning(event: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self::new(event, Level::Warning, path, message.into())
    }

    /// The end of a store.
    #[must_use]
    pub fn error(event: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self::new(event, Level::Error, path, message.into())
    }

    fn new(event: &'static str, level: Level, path: &Path, message: String) -> Self {
        let path = if path.as_os_str().is_empty() { Path::new("custom backend") } else { path };
        Self { event, level, path: path.display().to_string(), message, numbers: Vec::new() }
    }

    /// The same event with one more number.
    #[must_use]
    pub fn with(mut self, name: &'static str, number: u64) -> Self {
        self.numbers.push((name, number));
        self
    }
}

/// What a listener is told.
#[derive(Clone, Debug)]
pub enum News {
    /// Something happened.
    Event(Event),
    /// The store cannot go on: this is what every write gets from here on.
    Fatal(Error),
}

/// A JavaScript environment (the main thread, a worker thread): a number that no other has in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvironmentId(pub u64);

/// Where an environment's news go, with the numbers of the listeners whom they concern. Cheap to clone; called on
/// whatever thread it happens.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(News, Vec<u64>) + Send + Sync>);

impl Sink {
    /// A sink that calls this.
    pub fn new(deliver: impl Fn(News, Vec<u64>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(deliver))
    }
}

/// Who hears of a store: a handle, or a call that opens one.
#[derive(Clone)]
pub struct Listener {
    /// Where it is.
    pub environment: EnvironmentId,
    /// A number that no other listener has in its environment.
    pub number: u64,
    /// Where its news go.
    pub sink: Sink,
}

/// Who hears of one store. An environment hears each thing once, however many listeners it has.
#[derive(Clone, Default)]
pub struct Listeners(Arc<Mutex<Environments>>);

type Environments = BTreeMap<EnvironmentId, (Sink, Vec<u64>)>;

impl Listeners {
    /// Adds a listener, once.
    pub fn add(&self, listener: &Listener) {
        let mut environments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, numbers) =
            environments.entry(listener.environment).or_insert_with(|| (listener.sink.clone(), Vec::new()));
        if !numbers.contains(&listener.number) {
            numbers.push(listener.number);
        }
    }

    /// Removes a listener.
    pub fn remove(&self, listener: &Listener) {
        let mut environments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, numbers)) = environments.get_mut(&listener.environment) {
            numbers.retain(|number| *number != listener.number);
            if numbers.is_empty() {
                environments.remove(&listener.environment);
            }
        }
    }

    /// Tells of an event.
    pub fn emit(&self, event: &Event) {
        self.tell(&News::Event(event.clone()));
    }

    /// Tells that the store cannot go on.
    pub fn fatal(&self, error: &Error) {
        self.tell(&News::Fatal(error.clone()));
    }

    fn tell(&self, news: &News) {
        let environments: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for (Sink(deliver), numbers) in environments {
            deliver(news.clone(), numbers);
        }
    }
}
