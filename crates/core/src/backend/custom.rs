//! A backend that the user wrote in JavaScript. What each of its functions is asked goes out as a [`Call`], with a
//! number under which the answer comes back; order, pending writes and the end are the store's, as everywhere.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Backend, Commit, Expected, Future, Write};
use crate::creds::Creds;
use crate::error::{Code, Error, Result};
use crate::events::{Event, Listeners};
use crate::keys::Key;
use crate::maintenance::Compacted;
use crate::value::{Value, is_plain};

/// A call that is not back after this is reported: whatever waits behind it waits with it.
const SLOW: Duration = Duration::from_secs(10);

/// What JavaScript is asked.
#[derive(Debug)]
pub enum Question {
    /// The credentials' text; none when nothing is stored.
    LoadCreds,
    /// Store these credentials.
    SaveCreds(String),
    /// The values of a type, in the order of the ids.
    Load(String, Vec<String>),
    /// Write these, all or nothing; `None` deletes.
    Commit(Vec<(Key, Option<Value>)>),
    /// The ids of a type.
    List(String),
    /// Delete every key.
    Clear,
    /// Let go. Not answered when nobody waits for it.
    Close,
    /// Nothing is asked of this backend any more. Not answered.
    Forget,
    /// Nobody speaks of the error with this number any more. Not answered.
    ForgetError(u32),
}

/// A question on its way to JavaScript.
#[derive(Debug)]
pub struct Call {
    /// Under which it is answered.
    pub number: u32,
    /// Which backend is asked.
    pub backend: u32,
    /// What it is asked.
    pub question: Question,
}

/// Texts, in the order in which they were asked for.
pub type Answer = Vec<Option<String>>;

type Waiting = HashMap<u32, oneshot::Sender<Result<Answer>>>;

/// The calls between Rust and one JavaScript environment.
pub struct Calls {
    /// `None` once the environment has ended.
    waiting: Mutex<Option<Waiting>>,
    made: AtomicU32,
    deliver: Box<dyn Fn(Call) -> bool + Send + Sync>,
}

impl Calls {
    /// Calls that are delivered by this; it says whether the environment is still there.
    pub fn new(deliver: impl Fn(Call) -> bool + Send + Sync + 'static) -> Arc<Self> {
        let waiting = Mutex::new(Some(HashMap::new()));
        Arc::new(Self { waiting, made: AtomicU32::new(0), deliver: Box::new(deliver) })
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks at once, whoever polls the answer and when.
    fn ask(
        &self,
        backend: u32,
        question: Question,
    ) -> impl std::future::Future<Output = Result<Answer>> + Send + use<> {
        let (send, receive) = oneshot::channel();
        let number = self.enter(send);
        if let Some(number) = number
            && !(self.deliver)(Call { number, backend, question })
        {
            self.end();
        }
        async { receive.await.unwrap_or_else(|_| Err(ended())) }
    }

    fn enter(&self, send: oneshot::Sender<Result<Answer>>) -> Option<u32> {
        let mut waiting = self.waiting();
        let waiting = waiting.as_mut()?;
        loop {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            if let Entry::Vacant(free) = waiting.entry(number) {
                free.insert(send);
                return Some(number);
            }
        }
    }

    fn tell(&self, backend: u32, question: Question) {
        // A number that nobody waits for; an environment that has ended needs to hear nothing.
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        (self.deliver)(Call { number, backend, question });
    }

    /// What a call has come to. A second answer to one call is nobody's.
    pub fn answer(&self, number: u32, answer: Result<Answer>) {
        let call = self.waiting().as_mut().and_then(|waiting| waiting.remove(&number));
        if let Some(call) = call {
            // Who asked may have stopped waiting.
            let _ = call.send(answer);
        }
    }

    /// The environment ends: nothing under way will be answered any more.
    pub fn end(&self) {
        let waiting = self.waiting().take();
        drop(waiting);
    }

    /// An error that JavaScript keeps under this number as long as anybody speaks of it.
    pub fn thrown(self: &Arc<Self>, number: u32) -> Arc<Thrown> {
        Arc::new(Thrown { number, calls: self.clone() })
    }
}

fn ended() -> Error {
    Error::new(Code::Closed, "the JavaScript environment of this custom backend has ended")
        .with(|details| details.outcome_unknown = true)
}

/// An error of the user's own, which JavaScript keeps.
pub struct Thrown {
    /// Under which it is kept.
    pub number: u32,
    calls: Arc<Calls>,
}

impl Drop for Thrown {
    fn drop(&mut self) {
        self.calls.tell(0, Question::ForgetError(self.number));
    }
}

impl std::fmt::Debug for Thrown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error {}", self.number)
    }
}

/// An account behind the user's own functions.
pub struct CustomBackend {
    calls: Arc<Calls>,
    number: u32,
    listeners: Listeners,
    closed: AtomicBool,
}

impl CustomBackend {
    /// The backend with this number. It tells JavaScript when it is dropped.
    #[must_use]
    pub fn new(calls: Arc<Calls>, number: u32, listeners: Listeners) -> Self {
        Self { calls, number, listeners, closed: AtomicBool::new(true) }
    }

    async fn ask(&self, doing: &str, question: Question) -> Result<Answer> {
        let answer = self.calls.ask(self.number, question);
        self.wait(doing, answer).await
    }

    async fn wait(
        &self,
        doing: &str,
        answer: impl std::future::Future<Output = Result<Answer>> + Send,
    ) -> Result<Answer> {
        let mut answer = std::pin::pin!(answer);
        match tokio::time::timeout(SLOW, answer.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = format!(
                    "the custom backend has not answered for {} s ({doing}); what waits for it goes on waiting",
                    SLOW.as_secs()
                );
                self.listeners.emit(&Event::warning("stuck", "".as_ref(), message));
                answer.await
            }
        }
    }
}

impl CustomBackend {
    /// A store is made over it: from here on the user's `close` is owed.
    #[must_use]
    pub fn in_use(mut self) -> Self {
        *self.closed.get_mut() = false;
        self
    }
}

impl Drop for CustomBackend {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            self.calls.tell(self.number, Question::Close);
        }
        self.calls.tell(self.number, Question::Forget);
    }
}

/// The changes of a set, of two for one key the last.
fn last_of_each(changes: &[(Key, Option<Value>)]) -> Vec<(Key, Option<Value>)> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, (key, _)) in changes.iter().enumerate() {
        places.insert(&key.stem, place);
    }
    let last = |(place, (key, _)): &(usize, &(Key, _))| places.get(&*key.stem) == Some(place);
    changes.iter().enumerate().filter(last).map(|(_, change)| change.clone()).collect()
}

impl Backend for CustomBackend {
    fn fails_together(&self) -> bool {
        // What is queued behind a failed commit is tried.
        false
    }

    fn synced_at_commit(&self) -> bool {
        // What is durable then is the user's to say.
        true
    }

    fn sync(&self) -> Future<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn read_now(&self, _: &Key) -> Option<Option<Value>> {
        None
    }

    fn load_creds(&self) -> Future<'_, Result<Option<Creds>>> {
        Box::pin(async {
            let answer = self.ask("loadCredentials", Question::LoadCreds).await?;
            let Some(text) = answer.into_iter().next().flatten() else { return Ok(None) };
            Creds::judge(text.into_bytes()).map(Some).map_err(|fault| {
                let message = format!(
                    "what loadCredentials of the custom backend gave {fault}; nothing was changed. It gives undefined or \
                     null where nothing is stored"
                );
                Error::new(Code::Corrupt, message)
            })
        })
    }

    fn save_creds(&self, creds: Creds, expected: Expected) -> Future<'_, Result<bool>> {
        // The backend is its own judge of who owns it.
        Box::pin(async move {
            if let Expected::Nobody = expected {
                expected.allows(self.load_creds().await?.map(|creds| creds.summary))?;
            }
            let text = String::from_utf8_lossy(&creds.text).into_owned();
            self.ask("saveCredentials", Question::SaveCreds(text)).await.map(|_| true)
        })
    }

    fn read(&self, keys: Vec<Key>) -> Future<'_, Result<Vec<Result<Option<Value>>>>> {
        Box::pin(async move {
            // A call a type, all made at once.
            let mut types: Vec<(&str, Vec<String>)> = Vec::new();
            let mut places: HashMap<&str, (usize, usize)> = HashMap::new();
            for key in &keys {
                if places.contains_key(&*key.stem) {
                    continue;
                }
                let of_type = types.iter().position(|(name, _)| *name == key.key_type);
                let at = of_type.unwrap_or_else(|| {
                    types.push((&key.key_type, Vec::new()));
                    types.len() - 1
                });
                if let Some((_, ids)) = types.get_mut(at) {
                    places.insert(&key.stem, (at, ids.len()));
                    ids.push(key.id.clone());
                }
            }
            let asked: Vec<_> = types
                .into_iter()
                .map(|(name, ids)| self.calls.ask(self.number, Question::Load(name.to_owned(), ids)))
                .collect();
            let mut loaded = Vec::with_capacity(asked.len());
            for answer in asked {
                let answer = self.wait("loadKeys", answer).await;
                loaded.push(answer.map(|texts| texts.into_iter().map(to_value).collect::<Vec<_>>()));
            }
            let find = |key: &Key| -> Result<Option<Value>> {
                let found = places.get(&*key.stem).and_then(|(at, place)| Some((loaded.get(*at)?, *place)));
                match found {
                    Some((Ok(values), place)) => Ok(values.get(place).cloned().flatten()),
                    Some((Err(error), _)) => Err(error.clone()),
                    None => Err(Error::internal("a value that was not asked for")),
                }
            };
            Ok(keys.iter().map(find).collect())
        })
    }

    fn commit(&self, group: Vec<Commit>) -> Future<'_, Result<Vec<Result<()>>>> {
        Box::pin(async move {
            let mut results: Vec<Result<()>> = Vec::with_capacity(group.len());
            for commit in group {
                // Somebody else has it: the rest would only hear the same.
                if let Some(Err(error)) = results.last()
                    && error.is_final()
                {
                    results.push(Err(error.clone()));
                    continue;
                }
                let question = match &*commit.write {
                    Write::Set(changes) if changes.is_empty() => None,
                    Write::Set(changes) => Some(Question::Commit(last_of_each(changes))),
                    Write::Clear => Some(Question::Clear),
                };
                results.push(match question {
                    Some(question) => self.ask("saving keys", question).await.map(drop),
                    None => Ok(()),
                });
            }
            Ok(results)
        })
    }

    fn list(&self, key_type: String) -> Future<'_, Result<Vec<String>>> {
        Box::pin(async {
            let ids = self.ask("listKeys", Question::List(key_type)).await?;
            Ok(ids.into_iter().flatten().collect())
        })
    }

    fn close(&self) -> Future<'_, Result<()>> {
        Box::pin(async {
            self.closed.store(true, Ordering::Release);
            self.ask("close", Question::Close).await.map(drop)
        })
    }

    fn abandon(&self) -> Future<'_, ()> {
        // Reads go on; the user's `close` is called when it is dropped.
        Box::pin(async {})
    }

    fn look(&self) -> Future<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn wants_compaction(&self) -> bool {
        false
    }

    fn is_swollen(&self) -> bool {
        false
    }

    fn compact(&self) -> Future<'_, Result<Compacted>> {
        Box::pin(async { Ok(Compacted::default()) })
    }

    fn delete(&self, _: Option<PathBuf>) -> Future<'_, Result<()>> {
        Box::pin(async {
            let message =
                "an account of a custom backend is deleted where it is stored: there is no function for it";
            Err(Error::new(Code::InvalidArg, message))
        })
    }
}

fn to_value(text: Option<String>) -> Option<Value> {
    // V8 has just written it.
    text.map(|text| Value { plain: is_plain(text.as_bytes()), text: text.into_bytes().into() })
}
