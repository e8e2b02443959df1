//! Halves of a migration whose other half is JavaScript's: a folder that is read, or one that is written, in batches.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use auth_log::fs::{DiskFs, Fs};

use super::source::Source;
use super::target::{Copy, Target, Writer};
use super::{Aim, Plan, Remark, check_apart, check_closed, retire};
use crate::backend::Format;
use crate::creds::Creds;
use crate::error::{Error, Result};
use crate::keys::Key;
use crate::maintenance::{existing, on_accounts, reach};
use crate::registry::Closed;
use crate::runtime::{Lane, run};
use crate::value::{Value, is_plain};

/// A key and its value.
pub type Entry = (Key, Value);

/// A folder that is read.
#[derive(Clone)]
pub struct Reading(Arc<Shared>);

struct Shared {
    plan: Plan,
    head: (Creds, Format, usize),
    /// Until it is closed.
    state: Mutex<Option<Open>>,
}

struct Open {
    source: Source,
    /// How far it is read.
    at: usize,
    /// Nobody opens it in this process meanwhile.
    _closed: Option<Closed>,
}

impl Reading {
    /// Begins to read the source of a plan, under its lock.
    ///
    /// # Errors
    /// As the opening of a migration's source.
    pub async fn begin(plan: Plan) -> Result<Self> {
        let fs: Arc<dyn Fs> = Arc::new(DiskFs);
        reach(&[&plan.from]).await?;
        let closed = check_closed(&fs, &plan).await?;
        run(Lane::Move, move || {
            let source = Source::open(existing(fs.as_ref(), &plan.from)?, &plan)?;
            let head = (source.creds().clone(), source.format(), source.len());
            Ok(Self(Arc::new(Shared {
                plan,
                head,
                state: Mutex::new(Some(Open { source, at: 0, _closed: closed })),
            })))
        })
        .await?
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Plan, &mut Open) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.0.clone();
        run(Lane::Move, move || {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            work(&shared.plan, state.as_mut().ok_or_else(over)?)
        })
        .await?
    }

    /// The credentials, the format, and how many keys there are, about.
    #[must_use]
    pub fn head(&self) -> (Creds, Format, usize) {
        self.0.head.clone()
    }

    /// The next keys; `None` at the end.
    ///
    /// # Errors
    /// As a migration's reading.
    pub async fn next(&self, count: usize) -> Result<Option<Vec<Entry>>> {
        self.with(move |_, Open { source, at, .. }| {
            if *at >= source.len() {
                return Ok(None);
            }
            let mut entries = Vec::with_capacity(count);
            source.read(*at, count, &mut |key, value, _| {
                entries.push((key.clone(), value));
                Ok(())
            })?;
            *at += count;
            Ok(Some(entries))
        })
        .await
    }

    /// Everything was read: nothing was written meanwhile. What is left where it is.
    ///
    /// # Errors
    /// `Changed`.
    pub async fn end(&self) -> Result<Vec<Remark>> {
        self.with(|_, Open { source, .. }| {
            source.check_unchanged()?;
            Ok(source.remarks())
        })
        .await
    }

    /// Lets go of the folder and its lock.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub async fn close(&self) -> Result<()> {
        let shared = self.0.clone();
        run(Lane::Move, move || drop(shared.state.lock().unwrap_or_else(PoisonError::into_inner).take()))
            .await
    }

    /// Renames the folder; says where it is, or why it could not be.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub async fn retire(&self) -> Result<Result<String, Remark>> {
        self.with(|plan, Open { source, .. }| Ok(retire(&DiskFs, &plan.from, source))).await
    }
}

/// A folder that is written.
#[derive(Clone)]
pub struct Writing(Arc<Mutex<State>>);

struct State {
    creds: Creds,
    target: Option<Target>,
    writer: Option<Writer>,
    copy: Option<Copy>,
    /// Two ids with one file name would be one key.
    stems: HashSet<String>,
}

impl Writing {
    /// Begins a target for these credentials, apart from the folder that is read.
    ///
    /// # Errors
    /// As the opening of a migration's target.
    pub async fn begin(from: Option<PathBuf>, to: PathBuf, format: Format, creds: Creds) -> Result<Self> {
        on_accounts(&[&to.clone()], move || {
            if let Some(from) = from {
                check_apart(&DiskFs, &from, &to)?;
            }
            let target = Target::begin(&DiskFs, &to, format, &creds, Aim::Move)?;
            let writer = Some(target.writer()?);
            let (copy, stems) = (None, HashSet::new());
            Ok(Self(Arc::new(Mutex::new(State { creds, target: Some(target), writer, copy, stems }))))
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let state = self.0.clone();
        run(Lane::Move, move || work(&mut state.lock().unwrap_or_else(PoisonError::into_inner))).await?
    }

    /// Writes keys, and finds out which of their values are plain.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub async fn put(&self, entries: Vec<Entry>) -> Result<()> {
        self.with(|state| {
            let Some(writer) = &mut state.writer else { return Err(over()) };
            for (key, mut value) in entries {
                if !state.stems.insert(key.stem.clone()) {
                    writer.merge(&key);
                    continue;
                }
                value.plain = is_plain(&value.text);
                writer.put(key, value)?;
            }
            Ok(())
        })
        .await
    }

    /// All keys are written: syncs them.
    ///
    /// # Errors
    /// `Exists` of keys that have one file name; `Io`, `Full`.
    pub async fn finish(&self) -> Result<()> {
        self.with(|state| {
            state.writer.take().ok_or_else(over)?.finish(None)?;
            state.copy = Some(state.target.as_ref().ok_or_else(over)?.read_back()?);
            Ok(())
        })
        .await
    }

    /// What is stored under these keys.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub async fn read(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        self.with(move |state| {
            let copy = state.copy.as_ref().ok_or_else(over)?;
            let value = |text: Vec<u8>| Value { text: text.into(), plain: false };
            keys.iter().map(|key| Ok(copy.get(key)?.map(value))).collect()
        })
        .await
    }

    /// Writes the credentials: from here on the account opens.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub async fn publish(&self) -> Result<()> {
        self.with(|state| state.target.take().ok_or_else(over)?.publish(&state.creds)).await
    }

    /// Takes back what was made.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub async fn abandon(&self) -> Result<()> {
        self.with(|state| {
            (state.writer, state.copy) = (None, None);
            if let Some(target) = state.target.take() {
                target.abandon(&DiskFs);
            }
            Ok(())
        })
        .await
    }
}

fn over() -> Error {
    Error::internal("a half of a migration that is over was used")
}
