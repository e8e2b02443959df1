//! The store over a backend that does what a test tells it: order, pending writes, failures, the end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_core::backend::{Backend, Commit, Expected, Format, Future, Write};
use auth_core::creds::Creds;
use auth_core::error::{Code, Error, Result};
use auth_core::events::{EnvironmentId, Listener, Listeners, Sink};
use auth_core::keys::Key;
use auth_core::maintenance::Compacted;
use auth_core::runtime;
use auth_core::store::{Handle, NotOpened, Opened, Store};
use auth_core::value::Value;
use tokio::sync::Semaphore;

/// What the next commit does.
#[derive(Clone, Copy)]
enum Next {
    Fail(Code),
    Panic,
}

/// Shared between a test and its backend.
struct Told {
    /// Commits and saves need a permit: a test that holds them back sees what waits.
    gate: Semaphore,
    together: bool,
    interval: bool,
    next: Mutex<VecDeque<Next>>,
    /// What was done, in order.
    done: Mutex<Vec<String>>,
    keys: Mutex<BTreeMap<String, String>>,
    creds: Mutex<Option<Creds>>,
}

struct Fake(Arc<Told>);

impl Fake {
    fn note(&self, what: impl Into<String>) {
        self.0.done.lock().unwrap().push(what.into());
    }

    fn apply(&self, write: &Write) {
        let mut keys = self.0.keys.lock().unwrap();
        match write {
            Write::Clear => keys.clear(),
            Write::Set(changes) => {
                for (key, value) in changes {
                    match value {
                        Some(value) => {
                            let text = String::from_utf8(value.text.to_vec()).unwrap();
                            keys.insert(key.id.clone(), text)
                        }
                        None => keys.remove(&key.id),
                    };
                }
            }
        }
    }
}

impl Backend for Fake {
    fn fails_together(&self) -> bool {
        self.0.together
    }

    fn synced_at_commit(&self) -> bool {
        !self.0.interval
    }

    fn sync(&self) -> Future<'_, Result<()>> {
        Box::pin(async {
            self.note("sync");
            match self.0.next.lock().unwrap().pop_front() {
                Some(Next::Fail(code)) => Err(Error::new(code, "sync failed")),
                _ => Ok(()),
            }
        })
    }

    fn read_now(&self, _: &Key) -> Option<Option<Value>> {
        None
    }

    fn load_creds(&self) -> Future<'_, Result<Option<Creds>>> {
        Box::pin(async { Ok(self.0.creds.lock().unwrap().clone()) })
    }

    fn save_creds(&self, creds: Creds, expected: Expected) -> Future<'_, Result<bool>> {
        Box::pin(async move {
            self.0.gate.acquire().await.unwrap().forget();
            let stored = self.0.creds.lock().unwrap().as_ref().map(|creds| creds.summary);
            expected.allows_creds(stored, &creds.summary)?;
            self.note(format!("save {}", String::from_utf8_lossy(&creds.text).len()));
            *self.0.creds.lock().unwrap() = Some(creds);
            Ok(true)
        })
    }

    fn read(&self, keys: Vec<Key>) -> Future<'_, Result<Vec<Result<Option<Value>>>>> {
        Box::pin(async move {
            let stored = self.0.keys.lock().unwrap();
            let value = |text: &String| Value { text: text.to_owned().into(), plain: true };
            Ok(keys.iter().map(|key| Ok(stored.get(&key.id).map(value))).collect())
        })
    }

    fn commit(&self, group: Vec<Commit>) -> Future<'_, Result<Vec<Result<()>>>> {
        Box::pin(async move {
            self.0.gate.acquire().await.unwrap().forget();
            self.note(format!("commit of {}", group.len()));
            let next = self.0.next.lock().unwrap().pop_front();
            match next {
                Some(Next::Panic) => runtime::run(runtime::Lane::Commit, || panic!("a bug")).await,
                Some(Next::Fail(code)) if code == Code::Gone => Err(Error::new(code, "gone")),
                Some(Next::Fail(code)) => Ok(group.iter().map(|_| Err(Error::new(code, "failed"))).collect()),
                None => {
                    group.iter().for_each(|commit| self.apply(&commit.write));
                    Ok(group.iter().map(|_| Ok(())).collect())
                }
            }
        })
    }

    fn list(&self, _: String) -> Future<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(self.0.keys.lock().unwrap().keys().cloned().collect()) })
    }

    fn close(&self) -> Future<'_, Result<()>> {
        Box::pin(async {
            self.note("close");
            Ok(())
        })
    }

    fn abandon(&self) -> Future<'_, ()> {
        Box::pin(async { self.note("abandon") })
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
            self.note("delete");
            Ok(())
        })
    }
}

fn store(together: bool) -> (Arc<Store>, Arc<Told>) {
    store_with(together, false)
}

fn store_with(together: bool, interval: bool) -> (Arc<Store>, Arc<Told>) {
    let told = Arc::new(Told {
        gate: Semaphore::new(0),
        together,
        interval,
        next: Mutex::default(),
        done: Mutex::default(),
        keys: Mutex::default(),
        creds: Mutex::default(),
    });
    let format = if together { Format::Native } else { Format::MultiFile };
    let backend = Arc::new(Fake(told.clone()));
    (Store::new(backend, Some(format), PathBuf::from("/fake"), Listeners::default()), told)
}

/// The answer to a call, which must come, and come once.
fn answer<T>(receiver: &Receiver<Result<T>>) -> Result<T> {
    let answer = receiver.recv_timeout(Duration::from_secs(10)).expect("no answer");
    assert!(receiver.try_recv().is_err(), "a second answer");
    answer
}

fn opened(store: &Arc<Store>) -> Result<Opened, NotOpened> {
    let (send, receive) = channel();
    let store = store.clone();
    let listener = Listener { environment: EnvironmentId(1), number: 1, sink: Sink::new(|_, _| ()) };
    runtime::spawn(async move { send.send(store.open(listener).await).unwrap() }).unwrap();
    receive.recv_timeout(Duration::from_secs(10)).expect("no answer")
}

fn open(store: &Arc<Store>) -> Handle {
    opened(store).ok().expect("not opened").handle
}

fn until_released(store: &Arc<Store>) {
    let (send, released) = channel();
    let store = store.clone();
    runtime::spawn(async move {
        store.released().await;
        send.send(()).unwrap();
    })
    .unwrap();
    released.recv_timeout(Duration::from_secs(10)).expect("never let go");
}

fn write(handle: &Handle, write: Write) -> Receiver<Result<()>> {
    let (send, receive) = channel();
    handle.write(write, None, Box::new(move |result| send.send(result).unwrap()));
    receive
}

fn set(handle: &Handle, id: &str, text: &str) -> Receiver<Result<()>> {
    let value = Value { text: text.to_owned().into(), plain: false };
    write(handle, Write::Set(vec![(Key::new("t", id).unwrap(), Some(value))]))
}

fn get(handle: &Handle, id: &str) -> Option<String> {
    let (send, receive) = channel();
    handle.read(vec![Key::new("t", id).unwrap()], Box::new(move |result| send.send(result).unwrap()));
    let values = answer(&receive).unwrap();
    values[0].as_ref().map(|value| String::from_utf8(value.text.to_vec()).unwrap())
}

fn save(handle: &Handle, creds: Creds) -> Receiver<Result<()>> {
    let (send, receive) = channel();
    handle.save_creds(creds, Box::new(move |result| send.send(result).unwrap()));
    receive
}

fn close(handle: &Handle) -> Result<()> {
    let (send, receive) = channel();
    handle.close(Box::new(move |result| send.send(result).unwrap()));
    answer(&receive)
}

fn creds(identity: u8, padding: usize) -> Creds {
    let key = format!("{{\"type\":\"Buffer\",\"data\":[{}]}}", vec![identity.to_string(); 32].join(","));
    let text = format!(
        "{{\"signedIdentityKey\":{{\"private\":{key},\"public\":{key}}},\"x\":\"{}\"}}",
        "x".repeat(padding)
    );
    Creds::judge(text.into_bytes()).unwrap()
}

#[test]
fn a_get_sees_every_write_made_before_it() {
    let (store, told) = store(true);
    let handle = open(&store);
    let first = set(&handle, "a", "1");
    assert_eq!(get(&handle, "a").as_deref(), Some("1"));
    let second = set(&handle, "a", "2");
    assert_eq!(get(&handle, "a").as_deref(), Some("2"));
    let cleared = write(&handle, Write::Clear);
    assert_eq!(get(&handle, "a"), None);
    told.gate.add_permits(9);
    for receiver in [&first, &second, &cleared] {
        answer(receiver).unwrap();
    }
    assert_eq!(get(&handle, "a"), None);
}

#[test]
fn writes_that_wait_together_go_together_and_in_order() {
    let (store, told) = store(true);
    let handle = open(&store);
    let first = set(&handle, "a", "0");
    std::thread::yield_now();
    let waiting: Vec<_> = (1..=50).map(|n| set(&handle, "a", &n.to_string())).collect();
    told.gate.add_permits(99);
    answer(&first).unwrap();
    waiting.iter().for_each(|receiver| answer(receiver).unwrap());
    assert_eq!(get(&handle, "a").as_deref(), Some("50"));
    assert!(told.done.lock().unwrap().len() <= 3, "{:?}", told.done);
}

#[test]
fn saves_that_wait_behind_one_in_progress_are_written_as_one_the_last() {
    let (store, told) = store(true);
    let handle = open(&store);
    let first = save(&handle, creds(1, 0));
    while told.gate.available_permits() == 0 && told.done.lock().unwrap().is_empty() {
        told.gate.add_permits(1);
        answer(&first).unwrap();
    }
    let blocked = set(&handle, "a", "1");
    let waiting: Vec<_> = (1..=20).map(|n| save(&handle, creds(1, n))).collect();
    told.gate.add_permits(9);
    answer(&blocked).unwrap();
    waiting.iter().for_each(|receiver| answer(receiver).unwrap());
    assert_eq!(told.done.lock().unwrap().len(), 3);
    assert_eq!(told.creds.lock().unwrap().as_ref().unwrap().text, creds(1, 20).text);
}

#[test]
fn a_full_disk_rejects_what_waits_behind_it_on_a_log_and_nothing_else_on_files() {
    for together in [true, false] {
        let (store, told) = store(together);
        let handle = open(&store);
        told.next.lock().unwrap().push_back(Next::Fail(Code::Full));
        let list = {
            // The queue is held by a save, so that the sets stand behind each other, not in one group.
            let before = save(&handle, creds(1, 0));
            let failing = set(&handle, "a", "1");
            let (send, list) = channel();
            handle.list("t".to_owned(), Box::new(move |ids| send.send(ids).unwrap()));
            let behind = set(&handle, "b", "2");
            let saved = save(&handle, creds(1, 1));
            told.gate.add_permits(99);
            answer(&before).unwrap();
            assert_eq!(answer(&failing).unwrap_err().code(), Code::Full);
            assert_eq!(
                answer(&behind).map_err(|error| error.code()),
                if together { Err(Code::Full) } else { Ok(()) }
            );
            answer(&saved).expect("saveCreds is never refused because of a key");
            list
        };
        assert!(answer(&list).unwrap().is_empty());
        assert_eq!(get(&handle, "a"), None, "get shows the last acknowledged state");
        assert_eq!(get(&handle, "b").is_some(), !together);
        answer(&set(&handle, "a", "3")).expect("it is not latched");
        assert_eq!(get(&handle, "a").as_deref(), Some("3"));
    }
}

#[test]
fn a_failed_log_takes_no_more_writes_and_still_reads() {
    let (store, told) = store(true);
    let handle = open(&store);
    told.gate.add_permits(99);
    answer(&set(&handle, "a", "1")).unwrap();
    told.next.lock().unwrap().push_back(Next::Fail(Code::Io));
    assert_eq!(answer(&set(&handle, "a", "2")).unwrap_err().code(), Code::Io);
    assert_eq!(answer(&set(&handle, "a", "3")).unwrap_err().code(), Code::Failed);
    answer(&save(&handle, creds(1, 0))).expect("creds are never refused because of a key");
    assert_eq!(get(&handle, "a").as_deref(), Some("1"));
    assert!(matches!(opened(&store), Err(NotOpened::Finished)), "the next open makes a new store");
    close(&handle).unwrap();
    let done = told.done.lock().unwrap().clone();
    assert_eq!(done.iter().rfind(|done| !done.starts_with("save")).map(String::as_str), Some("abandon"));
}

#[test]
fn a_write_that_is_answered_before_its_sync_is_synced_soon_and_seen_meanwhile() {
    let (store, told) = store_with(true, true);
    let handle = open(&store);
    told.gate.add_permits(99);
    answer(&set(&handle, "a", "1")).unwrap();
    answer(&set(&handle, "b", "2")).unwrap();
    // Not what the backend has: what is not on disk is read from memory.
    told.keys.lock().unwrap().clear();
    assert_eq!(get(&handle, "a").as_deref(), Some("1"));
    let synced = || told.done.lock().unwrap().iter().any(|done| done == "sync");
    assert!(!synced());
    std::thread::yield_now();
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !synced() || get(&handle, "a").is_some() {
        assert!(std::time::Instant::now() < deadline, "never synced");
        std::thread::yield_now();
    }
    assert_eq!(told.done.lock().unwrap().iter().filter(|done| *done == "sync").count(), 1);
}

#[test]
fn a_sync_that_fails_later_ends_the_store_and_what_was_acknowledged_is_still_read() {
    let (store, told) = store_with(true, true);
    let handle = open(&store);
    told.gate.add_permits(99);
    answer(&set(&handle, "a", "1")).unwrap();
    told.next.lock().unwrap().push_back(Next::Fail(Code::Io));
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !told.done.lock().unwrap().iter().any(|done| done == "abandon") {
        assert!(std::time::Instant::now() < deadline, "never failed");
        std::thread::yield_now();
    }
    told.keys.lock().unwrap().clear();
    assert_eq!(answer(&set(&handle, "b", "2")).unwrap_err().code(), Code::Failed);
    assert_eq!(get(&handle, "a").as_deref(), Some("1"));
}

#[test]
fn a_panic_rejects_its_call_and_the_writes_behind_it() {
    let (store, told) = store(false);
    let handle = open(&store);
    told.next.lock().unwrap().push_back(Next::Panic);
    let (first, second) = (set(&handle, "a", "1"), save(&handle, creds(1, 0)));
    told.gate.add_permits(99);
    let error = answer(&first).unwrap_err();
    assert_eq!(error.code(), Code::Failed);
    assert!(error.details().outcome_unknown && error.to_string().contains("a bug"), "{error}");
    answer(&second).expect("creds are never refused because of a key");
    assert_eq!(answer(&set(&handle, "a", "2")).unwrap_err().code(), Code::Failed);
}

#[test]
fn a_folder_that_is_gone_rejects_everything_and_is_let_go() {
    let (store, told) = store(true);
    let handle = open(&store);
    told.gate.add_permits(99);
    told.next.lock().unwrap().push_back(Next::Fail(Code::Gone));
    assert_eq!(answer(&set(&handle, "a", "1")).unwrap_err().code(), Code::Gone);
    assert_eq!(answer(&save(&handle, creds(1, 0))).unwrap_err().code(), Code::Gone);
    let (send, receive) = channel();
    handle.read(vec![Key::new("t", "a").unwrap()], Box::new(move |result| send.send(result).unwrap()));
    assert_eq!(answer(&receive).unwrap_err().code(), Code::Gone);
    assert!(matches!(opened(&store), Err(NotOpened::Finished)));
    until_released(&store);
    assert_eq!(told.done.lock().unwrap().last().map(String::as_str), Some("abandon"));
}

#[test]
fn a_delete_comes_after_the_calls_before_it_and_leaves_handles_that_are_gone() {
    let (store, told) = store(true);
    let handle = open(&store);
    let before = set(&handle, "a", "1");
    let (send, deleted) = channel();
    let deleting = store.clone();
    runtime::spawn(async move { send.send(deleting.delete(None).await).unwrap() }).unwrap();
    told.gate.add_permits(99);
    answer(&before).unwrap();
    answer(&deleted).unwrap();
    assert_eq!(*told.done.lock().unwrap(), ["commit of 1", "delete", "abandon"]);
    assert_eq!(answer(&set(&handle, "a", "2")).unwrap_err().code(), Code::Gone);
}

#[test]
fn calls_behind_the_one_that_finds_the_folder_gone_say_so_too() {
    let (store, told) = store(true);
    let handle = open(&store);
    told.next.lock().unwrap().push_back(Next::Fail(Code::Gone));
    let first = set(&handle, "a", "1");
    let (send, list) = channel();
    handle.list("t".to_owned(), Box::new(move |ids| send.send(ids).unwrap()));
    told.gate.add_permits(99);
    assert_eq!(answer(&first).unwrap_err().code(), Code::Gone);
    assert_eq!(answer(&list).unwrap_err().code(), Code::Gone);
}

#[test]
fn a_stale_save_rejects_alone() {
    let (store, told) = store(true);
    *told.creds.lock().unwrap() = Some(creds(1, 0));
    let handle = open(&store);
    *told.creds.lock().unwrap() = Some(creds(2, 0));
    told.gate.add_permits(99);
    assert_eq!(answer(&save(&handle, creds(1, 5))).unwrap_err().code(), Code::Stale);
    answer(&set(&handle, "a", "1")).unwrap();
    answer(&save(&handle, creds(2, 5))).expect("creds of the stored identity may be saved");
}

#[test]
fn closing_waits_for_calls_made_before_and_the_last_handle_closes_the_backend() {
    let (store, told) = store(true);
    let (one, two) = (open(&store), open(&store));
    let pending = set(&one, "a", "1");
    let (send, closed) = channel();
    one.close(Box::new(move |result| send.send(result).unwrap()));
    assert!(closed.recv_timeout(Duration::from_millis(50)).is_err(), "it did not wait");
    told.gate.add_permits(9);
    answer(&pending).unwrap();
    answer(&closed).unwrap();
    assert_eq!(answer(&set(&one, "a", "2")).unwrap_err().code(), Code::Closed);
    answer(&set(&two, "a", "3")).expect("the other handle is open");
    drop(two);
    until_released(&store);
    assert_eq!(told.done.lock().unwrap().last().map(String::as_str), Some("close"));
    close(&one).expect("twice is fine");
}
