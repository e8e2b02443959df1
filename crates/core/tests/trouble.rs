//! A folder on a disk that fails for a moment or for good, folds case, or cannot do what others can.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/trouble.rs"]
mod trouble;

use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use auth_core::backend::{
    Backend, Commit, Durability, Expected, FolderBackend, FolderOptions, Format, Write, hold,
};
use auth_core::error::{Code, Result};
use auth_core::events::{EnvironmentId, Listener, Listeners, News, Sink};
use auth_core::keys::Key;
use auth_core::runtime;
use auth_log::fs::Fs;
use common::{FORMATS, creds, disk, files, set};
use rustix::io::Errno;
use trouble::{Trouble, TroubledFs};

const FOLDER: &str = "/account";
const PASSING: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::INTR, Errno::STALE];

/// A disk in trouble, and what was said of it.
struct Bench {
    disk: auth_log::sim::SimFs,
    trouble: Trouble,
    said: Arc<Mutex<Vec<String>>>,
    listeners: Listeners,
}

fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (send, receive) = channel();
    runtime::spawn(async move { send.send(future.await).unwrap_or(()) }).unwrap();
    receive.recv_timeout(Duration::from_secs(20)).expect("no answer")
}

impl Bench {
    fn new(trouble: Trouble) -> Self {
        let (said, listeners) = (Arc::<Mutex<Vec<String>>>::default(), Listeners::default());
        let heard = said.clone();
        let sink = Sink::new(move |news, _| {
            if let News::Event(event) = news {
                heard.lock().unwrap().push(event.event.to_owned());
            }
        });
        listeners.add(&Listener { environment: EnvironmentId(1), number: 1, sink });
        Self { disk: disk(1), trouble, said, listeners }
    }

    fn open(&self, format: Format) -> Result<Arc<FolderBackend>> {
        let fs: Arc<dyn Fs> = Arc::new(TroubledFs(Arc::new(self.disk.clone()), self.trouble.clone()));
        let listeners = self.listeners.clone();
        wait(async move {
            let folder = hold(fs, FOLDER.into(), true, listeners).await?;
            let options = FolderOptions {
                format,
                create: true,
                lock: true,
                durability: Durability::Sync,
                lock_timeout: Duration::ZERO,
            };
            FolderBackend::open(folder, options).await.map(Arc::new)
        })
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}

fn me() -> Expected {
    Expected::Account { current: Some([1; 32]), loaded: None }
}

fn save(backend: &Arc<FolderBackend>, step: u32) -> Result<bool> {
    let backend = backend.clone();
    wait(async move { backend.save_creds(creds(1, true, step), me()).await })
}

/// Several `set`s that were made together.
fn commit(backend: &Arc<FolderBackend>, writes: Vec<Write>) -> Vec<Result<()>> {
    let backend = backend.clone();
    let group = writes.into_iter().map(|write| Commit { write: Arc::new(write), expected: me() });
    let group = group.collect();
    wait(async move { backend.commit(group).await }).unwrap()
}

fn get(backend: &Arc<FolderBackend>, id: &str) -> Result<Option<String>> {
    let (backend, key) = (backend.clone(), Key::new("session", id).unwrap());
    let found = wait(async move { backend.read(vec![key]).await })?.remove(0)?;
    Ok(found.map(|value| String::from_utf8(value.text.to_vec()).unwrap()))
}

#[test]
fn what_fails_for_a_moment_is_tried_again_and_told_once_a_call() {
    for errno in PASSING {
        for format in FORMATS {
            let bench = Bench::new(Trouble::none());
            bench.trouble.fail("open_dir", FOLDER, errno, 3);
            let backend = bench.open(format).unwrap();
            assert_eq!(bench.said(), ["retried"], "{errno:?} at the open");
            save(&backend, 1).unwrap();
            bench.said();
            bench.trouble.fail("create", ".auth-", errno, 3);
            save(&backend, 2).unwrap();
            assert_eq!(bench.said(), ["retried"], "{errno:?} at a save");
            bench.trouble.fail("stat", "creds.json", errno, 3);
            assert!(commit(&backend, vec![set(&[("a", Some("1"))])])[0].is_ok());
            assert_eq!(bench.said(), ["retried"], "{errno:?} at a set's look");
        }
        let bench = Bench::new(Trouble::none());
        let backend = bench.open(Format::MultiFile).unwrap();
        bench.trouble.fail("create", ".auth-", errno, 3);
        assert!(commit(&backend, vec![set(&[("a", Some("1"))])])[0].is_ok());
        bench.trouble.fail("open", "session-a", errno, 3);
        assert_eq!(get(&backend, "a").unwrap().as_deref(), Some("1"));
        bench.trouble.fail("names", ".", errno, 3);
        let listing = backend.clone();
        assert_eq!(wait(async move { listing.list("session".to_owned()).await }).unwrap(), ["a"]);
        assert_eq!(bench.said(), ["retried"; 3], "{errno:?}");
    }
}

#[test]
fn sets_keep_their_order_when_one_of_them_is_tried_again() {
    let bench = Bench::new(Trouble::none());
    let backend = bench.open(Format::MultiFile).unwrap();
    bench.trouble.fail("rename", "session-a", Errno::MFILE, 4);
    let writes = ["1", "2", "3"].map(|text| set(&[("a", Some(text)), ("b", Some(text))]));
    assert!(commit(&backend, writes.into()).iter().all(Result::is_ok));
    assert_eq!(get(&backend, "a").unwrap().as_deref(), Some("3"));
    assert_eq!(get(&backend, "b").unwrap().as_deref(), Some("3"));
}

#[test]
fn what_does_not_pass_rejects_after_five_seconds_and_is_reported_and_is_never_missing() {
    let bench = Bench::new(Trouble::none());
    let backend = bench.open(Format::MultiFile).unwrap();
    assert!(commit(&backend, vec![set(&[("a", Some("1"))])])[0].is_ok());
    bench.trouble.fail("open", "session-a", Errno::MFILE, usize::MAX);
    let begun = Instant::now();
    let error = get(&backend, "a").unwrap_err();
    assert_eq!((error.code(), error.details().errno.as_deref()), (Code::Io, Some("EMFILE")));
    assert!((4..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(bench.said(), ["retried"]);
    // The set that fails alone rejects; the one behind it is tried.
    bench.trouble.fail("rename", "session-b", Errno::MFILE, usize::MAX);
    let answers = commit(&backend, vec![set(&[("b", Some("1"))]), set(&[("c", Some("1"))])]);
    assert_eq!(answers[0].as_ref().unwrap_err().code(), Code::Io);
    assert!(answers[1].is_ok());
    assert_eq!(get(&backend, "c").unwrap().as_deref(), Some("1"));
}

#[test]
fn what_never_passes_is_an_error_at_once_and_never_missing() {
    for errno in [Errno::IO, Errno::ACCESS] {
        let bench = Bench::new(Trouble::none());
        let backend = bench.open(Format::MultiFile).unwrap();
        assert!(commit(&backend, vec![set(&[("a", Some("1"))])])[0].is_ok());
        save(&backend, 1).unwrap();
        let begun = Instant::now();
        for operation in ["open", "read"] {
            bench.trouble.fail(operation, "session-a", errno, usize::MAX);
            assert_eq!(get(&backend, "a").unwrap_err().code(), Code::Io, "{operation}");
        }
        for format in FORMATS {
            let bench = Bench::new(Trouble::none());
            save(&bench.open(format).unwrap(), 1).unwrap();
            for operation in ["open", "read", "open_dir"] {
                bench.trouble.fail(operation, "", errno, usize::MAX);
                assert_eq!(bench.open(format).map(drop).unwrap_err().code(), Code::Io, "{operation}");
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn a_file_that_cannot_be_renamed_over_is_written_in_place_with_one_warning() {
    for errno in [Errno::BUSY, Errno::XDEV] {
        for format in FORMATS {
            let bench = Bench::new(Trouble::none());
            let backend = bench.open(format).unwrap();
            save(&backend, 1).unwrap();
            bench.said();
            bench.trouble.fail("rename", "creds.json", errno, usize::MAX);
            for step in 2..5 {
                save(&backend, step).unwrap();
                let text = &files(&bench.disk, FOLDER)[&format!("{FOLDER}/creds.json")];
                assert_eq!(*text, creds(1, true, step).text);
            }
            assert_eq!(bench.said(), ["inplace"]);
            let left = files(&bench.disk, FOLDER);
            assert!(!left.keys().any(|path| path.contains(".auth-")), "{:?}", left.keys());
        }
    }
}

#[test]
fn a_disk_that_cannot_sync_folders_or_change_modes_will_do() {
    for format in FORMATS {
        let bench = Bench::new(Trouble::none());
        bench.trouble.set(|operation, name| match (operation, name) {
            ("sync", ".") => Some(Errno::INVAL),
            ("chmod" | "chown", _) => Some(Errno::PERM),
            _ => None,
        });
        let backend = bench.open(format).unwrap();
        save(&backend, 1).unwrap();
        assert!(commit(&backend, vec![set(&[("a", None)])])[0].is_ok());
        let closing = backend.clone();
        wait(async move { closing.close().await }).unwrap();
    }
}

#[test]
fn a_disk_that_folds_case_is_found_once() {
    let told = |bench: &Bench| bench.said().iter().filter(|event| *event == "folding").count();
    for (trouble, expected) in [(Trouble::folding(), 1), (Trouble::none(), 0)] {
        let bench = Bench::new(trouble);
        // On a fresh folder there is nothing to look at before the first save.
        let backend = bench.open(Format::MultiFile).unwrap();
        assert_eq!(told(&bench), 0);
        save(&backend, 1).unwrap();
        save(&backend, 2).unwrap();
        assert_eq!(told(&bench), expected);
        drop(backend);
        let backend = bench.open(Format::MultiFile).unwrap();
        save(&backend, 3).unwrap();
        assert_eq!(told(&bench), expected);
    }
}

#[test]
fn a_failing_write_leaves_no_temporary_and_the_old_content() {
    let bench = Bench::new(Trouble::none());
    let backend = bench.open(Format::MultiFile).unwrap();
    assert!(commit(&backend, vec![set(&[("a", Some("1"))])])[0].is_ok());
    for (operation, errno, code) in [
        ("write", Errno::NOSPC, Code::Full),
        ("write", Errno::DQUOT, Code::Full),
        ("rename", Errno::IO, Code::Io),
        ("create", Errno::ROFS, Code::Io),
    ] {
        bench.trouble.fail(operation, "", errno, usize::MAX);
        let answers = commit(&backend, vec![set(&[("a", Some("2"))])]);
        assert_eq!(answers[0].as_ref().unwrap_err().code(), code, "{operation} {errno:?}");
        let left: Vec<String> = files(&bench.disk, FOLDER).into_keys().collect();
        assert_eq!(left, [Path::new(FOLDER).join("session-a.json").display().to_string()]);
        bench.trouble.set(|_, _| None);
        assert_eq!(get(&backend, "a").unwrap().as_deref(), Some("1"));
    }
}
