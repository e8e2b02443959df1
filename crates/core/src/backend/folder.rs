//! A folder as a [`Backend`]: the account's blocking calls in their lanes, and the second looks a moment later,
//! by timer, that tell a torn or emptied folder from one that is just being written.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth_log::fs::Fs;

use super::patience::{Patience, is_passing, persist, second_look};
use super::{
    Account, Backend, Commit, Durability, Expected, Format, Found, Future, Judged, Locking, judge, lock_store,
};
use crate::creds::{Creds, Summary};
use crate::error::{Code, Error, Result};
use crate::events::{Event, Listeners};
use crate::folder::{Folder, Look, no_account};
use crate::keys::Key;
use crate::maintenance::Compacted;
use crate::runtime::{Client, Lane, run, run_for, share};
use crate::value::Value;

/// The one key type whose loss Signal cannot mend by itself.
const NO_SECOND_SOURCE: &str = "app-state-sync-key";

/// So many keys are read by two threads.
const MANY: usize = 64;

/// What a look leaves open until a second one sees the same.
#[derive(Clone, Copy, Debug, Default)]
struct Doubts {
    gone: bool,
    torn: bool,
    /// The store's own files are away, and the credentials are there.
    displaced: bool,
}

/// How a folder is opened.
#[derive(Clone, Debug)]
pub struct FolderOptions {
    /// How its keys are stored.
    pub format: Format,
    /// Make a new identity (and the folder) where there is none.
    pub create: bool,
    /// Native: take the store's lock.
    pub lock: bool,
    /// Native: when a `set` is answered.
    pub durability: Durability,
    /// Native: how long to wait for whoever holds it.
    pub lock_timeout: Duration,
}

/// An account in a folder.
pub struct FolderBackend {
    account: Arc<Account>,
    /// Who has the second thread, beside the one that reads: a folder that hangs holds no third. It is the store's calls',
    /// or helps with a large read when it is free.
    second: Arc<tokio::sync::Mutex<()>>,
}

/// Opens the folder, or makes it.
///
/// # Errors
/// `NotADirectory`, `Io`.
pub async fn hold(fs: Arc<dyn Fs>, path: PathBuf, create: bool, events: Listeners) -> Result<Arc<Folder>> {
    let client = Arc::new(Client { listeners: events.clone(), path: path.clone() });
    let opening = move || {
        let folder = if create {
            Folder::open_or_create(fs.as_ref(), &path, &events)?
        } else {
            Folder::open(fs.as_ref(), &path, &events)?.ok_or_else(|| no_account(&path))?
        };
        Ok(Arc::new(folder))
    };
    persist(Lane::Open, &client, opening).await
}

impl FolderBackend {
    /// Opens the account in a held folder. Nothing is made in it before its credentials are judged.
    ///
    /// # Errors
    /// As [`judge`] and [`Account::open`]; `Locked`, at once.
    pub async fn open(folder: Arc<Folder>, options: FolderOptions) -> Result<Self> {
        let FolderOptions { format, create, lock, durability, .. } = options;
        let client = folder.client.clone();
        let opening = move |again: bool| {
            let judged = judge(&folder, format, create);
            if !again && is_doubtful(&judged) {
                return Ok(None);
            }
            let mut judged = judged?;
            let mut held = None;
            if lock && format == Format::Native {
                held = match lock_store(&folder)? {
                    Locking::Mine(lock) => Some(lock),
                    Locking::Theirs(error) => return Err(error),
                };
                // Somebody may have written it before it was locked; and no lock is made where opening is refused.
                judged = judge(&folder, format, create)?;
            }
            Account::open(folder.clone(), format, judged, held, durability).map(Some)
        };
        let first = opening.clone();
        let mut account = persist(Lane::Open, &client, move || first(false)).await?;
        if account.is_none() {
            second_look().await;
            account = persist(Lane::Open, &client, move || opening(true)).await?;
        }
        let account = account.ok_or_else(|| Error::internal("an open without an account"))?;
        Ok(Self { account: Arc::new(account), second: Arc::default() })
    }

    /// Tries what may fail for a moment, and tells when it did.
    async fn persist<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl Fn(&Account) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let account = self.account.clone();
        let _second = self.second.lock().await;
        persist(lane, &self.account.folder().client, move || work(&account)).await
    }

    /// Does something on an account that is surely there, with what is stored now.
    async fn guarded<T: Send + 'static>(
        &self,
        work: impl Fn(&Account, Option<Summary>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let work = Arc::new(work);
        let mut before = Doubts::default();
        loop {
            let work = work.clone();
            let outcome = self.persist(Lane::Commit, move |account| {
                let mut now = Doubts::default();
                let stored = match account.look(before.torn)? {
                    Look::Here(stored) => stored,
                    Look::Gone if before.gone => return Err(gone(account)),
                    Look::Gone => return Ok(Err(Doubts { gone: true, ..now })),
                    Look::Torn => {
                        now.torn = true;
                        None
                    }
                };
                // `rm` takes the log first and `creds.json` a moment later: that would be a logout.
                now.displaced = !account.keys().in_place()?;
                if now.torn || (now.displaced && !before.displaced) {
                    return Ok(Err(now));
                }
                if now.displaced {
                    account.keys().put_back()?;
                }
                work(account, stored).map(Ok)
            });
            match outcome.await? {
                Ok(done) => return Ok(done),
                Err(doubts) => before = doubts,
            }
            second_look().await;
        }
    }

    /// Reads keys; those that fail for a moment, again.
    async fn find(&self, keys: Vec<Key>) -> Result<Vec<(Key, Result<Found>)>> {
        let failed = |found: &Result<Found>| found.as_ref().err().filter(|error| is_passing(error)).cloned();
        let mut found = self.find_once(keys).await?;
        let mut patience = Patience::new();
        let last = loop {
            let Some(error) = found.iter().find_map(|(_, found)| failed(found)) else { break None };
            if !patience.allows(&error).await {
                break Some(error);
            }
            self.find_again(&mut found, |found| failed(found).is_some()).await?;
        };
        patience.tell(&self.account.folder().client, last.as_ref());
        Ok(found)
    }

    /// Reads some of the keys again.
    async fn find_again(
        &self,
        found: &mut [(Key, Result<Found>)],
        which: impl Fn(&Result<Found>) -> bool,
    ) -> Result<()> {
        let wanted = found.iter_mut().filter(|(_, found)| which(found));
        let (keys, slots): (Vec<Key>, Vec<_>) = wanted.map(|slot| (slot.0.clone(), slot)).unzip();
        let again = self.find_once(keys).await?;
        slots.into_iter().zip(again).for_each(|(slot, again)| *slot = again);
        Ok(())
    }

    async fn find_once(&self, keys: Vec<Key>) -> Result<Vec<(Key, Result<Found>)>> {
        let (account, second) = (self.account.clone(), self.second.clone());
        run_for(Some(&self.account.folder().client), Lane::Read, move || {
            let second = if keys.len() < MANY { None } else { second.try_lock_owned().ok() };
            match second {
                Some(second) => share(Lane::Read, keys, second, move |key| read(&account, key)),
                None => keys.into_iter().map(|key| read(&account, &key)).collect(),
            }
        })
        .await
    }

    fn conclude(&self, key: &Key, found: Result<Found>) -> Result<Option<Value>> {
        let (error, stand_in, stamp, known) = match found? {
            Found::Missing => return Ok(None),
            Found::Value(value) => return Ok(Some(value)),
            Found::Odd { error, stand_in, stamp, known } => (error, stand_in, stamp, known),
        };
        if !known {
            self.account.keys().note_odd(key, stamp);
        }
        if stand_in.is_none() && key.key_type == NO_SECOND_SOURCE {
            return Err(error);
        }
        if !known {
            let path = self.account.folder().path_of(&key.file_name());
            let event = match &stand_in {
                Some(_) => Event::warning("healed", &path, error.to_string()),
                None => {
                    let message = format!("{error}; it counts as missing, so that Signal makes it anew");
                    Event::warning("corrupt", &path, message)
                }
            };
            self.account.folder().events.emit(&event);
        }
        Ok(stand_in)
    }
}

/// Whether somebody may just be writing the credentials: they are torn, or a companion stands in for them.
fn is_doubtful(judged: &Result<Judged>) -> bool {
    match judged {
        Ok(judged) => judged.healed.is_some(),
        Err(error) => error.code() == Code::Corrupt,
    }
}

fn read(account: &Account, key: &Key) -> (Key, Result<Found>) {
    (key.clone(), account.keys().read(key))
}

fn gone(account: &Account) -> Error {
    let path = account.folder().path.display();
    Error::new(
        Code::Gone,
        format!("{path} was removed or emptied while it was open (a logout?): open it again to begin anew"),
    )
    .at(&account.folder().path)
}

impl Backend for FolderBackend {
    fn fails_together(&self) -> bool {
        self.account.keys().fails_together()
    }

    fn synced_at_commit(&self) -> bool {
        self.account.keys().synced_at_commit()
    }

    fn sync(&self) -> Future<'_, Result<()>> {
        let account = self.account.clone();
        let client = self.account.folder().client.clone();
        Box::pin(async move { run_for(Some(&client), Lane::Commit, move || account.keys().sync()).await? })
    }

    fn read_now(&self, key: &Key) -> Option<Option<Value>> {
        self.account.keys().read_now(key)
    }

    fn load_creds(&self) -> Future<'_, Result<Option<Creds>>> {
        Box::pin(async {
            loop {
                let (loaded, known) =
                    self.guarded(|account, stored| Ok((account.load_creds()?, stored.is_some()))).await?;
                match loaded {
                    // It went between two looks: the next one tells whether that is a logout.
                    None if known => {}
                    loaded => return Ok(loaded),
                }
            }
        })
    }

    fn save_creds(&self, creds: Creds, expected: Expected) -> Future<'_, Result<bool>> {
        Box::pin(async move {
            self.guarded(move |account, stored| {
                account.allows_creds(&creds, &expected, stored)?;
                account.save_creds(&creds)
            })
            .await
        })
    }

    fn read(&self, keys: Vec<Key>) -> Future<'_, Result<Vec<Result<Option<Value>>>>> {
        Box::pin(async {
            let mut found = self.find(keys).await?;
            let in_doubt = |found: &Result<Found>| matches!(found, Ok(Found::Odd { known: false, .. }));
            if found.iter().any(|(_, found)| in_doubt(found)) {
                second_look().await;
                self.find_again(&mut found, in_doubt).await?;
            }
            Ok(found.into_iter().map(|(key, found)| self.conclude(&key, found)).collect())
        })
    }

    fn commit(&self, group: Vec<Commit>) -> Future<'_, Result<Vec<Result<()>>>> {
        Box::pin(async move {
            let group = Arc::new(group);
            let (mut answers, mut patience, mut last) = (Vec::new(), Patience::new(), None);
            while answers.len() < group.len() {
                let (group, done) = (group.clone(), answers.len());
                let rest = move |account: &Account, stored| {
                    Ok(account.commit(group.get(done..).unwrap_or_default(), stored))
                };
                let mut more = self.guarded(rest).await?;
                last = more.last().and_then(|answer| answer.as_ref().err().cloned());
                // A log that has failed says so from then on: what follows is no second try.
                if let Some(error) = last.as_ref().filter(|_| !self.fails_together())
                    && patience.allows(error).await
                {
                    // What stands behind it has not been tried: it goes first.
                    more.pop();
                } else if more.is_empty() {
                    return Err(Error::internal("a commit without an answer"));
                }
                answers.extend(more);
            }
            patience.tell(&self.account.folder().client, last.as_ref());
            Ok(answers)
        })
    }

    fn list(&self, key_type: String) -> Future<'_, Result<Vec<String>>> {
        Box::pin(self.persist(Lane::Read, move |account| account.keys().list(&key_type)))
    }

    fn close(&self) -> Future<'_, Result<()>> {
        let account = self.account.clone();
        let client = self.account.folder().client.clone();
        Box::pin(async move { run_for(Some(&client), Lane::Commit, move || account.keys().close()).await? })
    }

    fn abandon(&self) -> Future<'_, ()> {
        let account = self.account.clone();
        Box::pin(async {
            // It only drops a lock: a panic in there would have released it as well.
            let _ = run(Lane::Commit, move || account.keys().abandon()).await;
        })
    }

    fn look(&self) -> Future<'_, Result<()>> {
        Box::pin(self.guarded(|_, _| Ok(())))
    }

    fn wants_compaction(&self) -> bool {
        self.account.keys().wants_compaction()
    }

    fn is_swollen(&self) -> bool {
        self.account.keys().is_swollen()
    }

    fn compact(&self) -> Future<'_, Result<Compacted>> {
        let account = self.account.clone();
        Box::pin(async {
            // Not where somebody else writes by now.
            if let Err(error) = self.look().await
                && error.is_final()
            {
                return Err(error);
            }
            run(Lane::Compact, move || account.keys().compact()).await?
        })
    }

    fn delete(&self, keep: Option<PathBuf>) -> Future<'_, Result<()>> {
        Box::pin(async {
            if let Some(to) = keep {
                // A log that was removed under the store is put back first: it is a part of what is kept.
                self.look().await?;
                let account = self.account.clone();
                run(Lane::Move, move || account.keep(to)).await??;
            }
            self.persist(Lane::Commit, Account::delete).await
        })
    }
}
