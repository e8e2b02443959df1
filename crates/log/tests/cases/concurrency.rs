//! Threads that share a log: reads wait for nobody, commits for each other.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use auth_log::fs::{Dir, File, Stat};
use auth_log::{Attempt, Holder, Log, Reader, try_lock, verify};

use crate::common::{SALT, disk, end_of, put};

/// A disk whose syncs, once it is armed, say that they began and end only when they are told to.
struct Slow<T: ?Sized> {
    inner: Arc<T>,
    gate: Arc<Gate>,
}

struct Gate {
    armed: Mutex<bool>,
    began: Mutex<Sender<()>>,
    may_end: Mutex<Receiver<()>>,
    /// What others do right after a file was opened.
    meanwhile: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    /// Reads as zeros once: its owner is just writing it.
    late: Mutex<Option<Range<usize>>>,
}

impl Gate {
    fn pass(&self) {
        if *self.armed.lock().unwrap() {
            self.began.lock().unwrap().send(()).unwrap();
            self.may_end.lock().unwrap().recv().unwrap();
        }
    }
}

impl Slow<dyn Dir> {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Slow { inner: file, gate: Arc::clone(&self.gate) })
    }
}

impl Dir for Slow<dyn Dir> {
    fn stat(&self) -> io::Result<Stat> {
        self.inner.stat()
    }
    fn names(&self) -> io::Result<Vec<String>> {
        self.inner.names()
    }
    fn stat_name(&self, name: &str) -> io::Result<Option<Stat>> {
        self.inner.stat_name(name)
    }
    fn read_link(&self, name: &str) -> io::Result<PathBuf> {
        self.inner.read_link(name)
    }
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        self.inner.open_dir(path)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.inner.open(name)?))
    }
    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = self.inner.open_write(name);
        if let Some(meanwhile) = self.gate.meanwhile.lock().unwrap().pop() {
            meanwhile();
        }
        Ok(self.file(file?))
    }
    fn create(&self, name: &str, mode: u32) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.inner.create(name, mode)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }
    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        self.inner.set_owner(uid, gid)
    }
}

impl File for Slow<dyn File> {
    fn stat(&self) -> io::Result<Stat> {
        self.inner.stat()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.inner.read_at(buffer, offset)?;
        let from = usize::try_from(offset).unwrap();
        let here = |late: &mut Range<usize>| from < late.end && late.start < from + read;
        if let Some(late) = self.gate.late.lock().unwrap().take_if(here) {
            buffer[late.start.saturating_sub(from)..(late.end - from).min(read)].fill(0);
        }
        Ok(read)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(bytes, offset)
    }
    fn set_len(&self, size: u64) -> io::Result<()> {
        self.inner.set_len(size)
    }
    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.inner.set_mode(mode)
    }
    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        self.inner.set_owner(uid, gid)
    }
}

type Parts = (Arc<dyn Dir>, Arc<Gate>, Receiver<()>, Sender<()>);

fn slow(inner: Arc<dyn Dir>) -> Parts {
    let (began, has_begun) = channel();
    let (let_end, may_end) = channel();
    let gate = Gate {
        armed: false.into(),
        began: began.into(),
        may_end: may_end.into(),
        meanwhile: Mutex::default(),
        late: Mutex::default(),
    };
    let gate = Arc::new(gate);
    (Arc::new(Slow { inner, gate: Arc::clone(&gate) }), gate, has_begun, let_end)
}

#[test]
fn a_get_does_not_wait_for_a_sync_and_does_not_see_what_it_has_not_synced() {
    let (slow, gate, has_begun, let_end) = slow(disk().1);
    let (log, _) = Log::open(slow, SALT).unwrap();
    log.commit(&[put(b"a", b"old")]).unwrap();
    *gate.armed.lock().unwrap() = true;
    thread::scope(|scope| {
        let commit = scope.spawn(|| log.commit(&[put(b"a", b"new"), put(b"b", b"new")]));
        has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        // The commit hangs in its sync.
        assert_eq!(log.get(b"a").unwrap().unwrap().bytes, b"old");
        assert_eq!(log.get(b"b").unwrap(), None);
        assert_eq!((log.len(), log.contains(b"b")), (1, false));
        assert!(!commit.is_finished());
        let_end.send(()).unwrap();
        commit.join().unwrap().unwrap();
        assert_eq!(log.get(b"b").unwrap().unwrap().bytes, b"new");
    });
}

#[test]
fn a_frame_that_its_owner_is_just_writing_is_no_damage_to_who_reads_beside_it() {
    let (slow, gate, ..) = slow(disk().1);
    let (log, _) = Log::open(Arc::clone(&slow), SALT).unwrap();
    log.commit(&[put(b"a", b"1")]).unwrap();
    let late = end_of(&log)..end_of(&log) + 20;
    log.commit(&[put(b"b", b"2")]).unwrap();
    // It says that what is before it was on disk.
    log.commit(&[put(b"c", b"3")]).unwrap();
    *gate.late.lock().unwrap() = Some(late.clone());
    assert_eq!(verify(&*slow, &mut |_| ()).unwrap().faults, []);
    assert_eq!(*gate.late.lock().unwrap(), None);
    *gate.late.lock().unwrap() = Some(late);
    assert_eq!(Reader::open(&*slow).unwrap().unwrap().len(), 3);
}

#[test]
fn commits_of_many_threads_are_all_there() {
    let (_, folder) = disk();
    let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
    thread::scope(|scope| {
        for writer in 0..4u8 {
            let log = &log;
            scope.spawn(move || {
                for round in 0..100u8 {
                    log.commit(&[put(&[writer, round], &[writer; 50]), put(&[writer], &[round])]).unwrap();
                    assert_eq!(log.get(&[writer]).unwrap().unwrap().bytes, [round]);
                }
            });
        }
    });
    log.close().unwrap();
    let (log, _) = Log::open(folder, SALT).unwrap();
    assert_eq!(log.len(), 404);
    for writer in 0..4 {
        assert_eq!(log.get(&[writer]).unwrap().unwrap().bytes, [99]);
        assert_eq!(log.get(&[writer, 42]).unwrap().unwrap().bytes, [writer; 50]);
    }
}

#[test]
fn a_lock_file_that_is_replaced_while_it_is_locked_is_not_the_lock() {
    let (_, inner) = disk();
    let (slow, gate, _began, _end) = slow(Arc::clone(&inner));
    let me = Holder { pid: 1, host: "here".into(), started: "now".into() };
    inner.create("keys.lock", 0o600).unwrap();
    let replace = {
        let inner = Arc::clone(&inner);
        move || {
            inner.remove("keys.lock").unwrap();
            inner.create("keys.lock", 0o600).unwrap();
        }
    };
    for times in [1, 5] {
        gate.meanwhile.lock().unwrap().extend((0..times).map(|_| Box::new(replace.clone()) as Box<_>));
        let Attempt::Acquired(lock) = try_lock(&*slow, &me).unwrap() else { panic!("nobody has it") };
        assert!(lock.is_current(&*slow).unwrap());
        assert!(matches!(try_lock(&*inner, &me).unwrap(), Attempt::Held(Some(_))));
    }
    gate.meanwhile.lock().unwrap().extend((0..100).map(|_| Box::new(replace.clone()) as Box<_>));
    assert!(try_lock(&*slow, &me).is_err(), "not for ever");
}

#[test]
fn a_lock_file_that_another_one_makes_at_the_same_time_is_tried_as_it_is() {
    let (_, inner) = disk();
    let (slow, gate, _began, _end) = slow(Arc::clone(&inner));
    let me = Holder { pid: 1, host: "here".into(), started: "now".into() };
    let make = {
        let inner = Arc::clone(&inner);
        move || drop(inner.create("keys.lock", 0o600).unwrap())
    };
    gate.meanwhile.lock().unwrap().push(Box::new(make));
    let Attempt::Acquired(lock) = try_lock(&*slow, &me).unwrap() else { panic!("nobody has it") };
    assert!(lock.is_current(&*slow).unwrap());
}

#[test]
fn only_one_sync_runs_at_a_time_and_appends_go_on_beside_it() {
    let (slow, gate, has_begun, let_end) = slow(disk().1);
    let (log, _) = Log::open(slow, SALT).unwrap();
    log.append(&[put(b"a", b"1")]).unwrap();
    *gate.armed.lock().unwrap() = true;
    thread::scope(|scope| {
        let first = scope.spawn(|| log.sync());
        has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        log.append(&[put(b"b", b"1")]).unwrap();
        assert!(log.unsynced());
        let second = scope.spawn(|| log.sync());
        let commit = scope.spawn(|| log.commit(&[put(b"c", b"1")]));
        assert!(has_begun.recv_timeout(Duration::from_millis(100)).is_err(), "they wait");
        let_end.send(()).unwrap();
        first.join().unwrap().unwrap();
        (0..2).for_each(|_| let_end.send(()).unwrap());
        second.join().unwrap().unwrap();
        commit.join().unwrap().unwrap();
        assert!(!log.unsynced());
    });
    assert_eq!(log.len(), 3);
}

#[test]
fn a_write_without_room_is_taken_back_after_a_sync_that_runs_and_nothing_is_written_behind_it_before() {
    let (fs, inner) = disk();
    let (slow, gate, has_begun, let_end) = slow(inner);
    let (log, _) = Log::open(Arc::clone(&slow), SALT).unwrap();
    log.append(&[put(b"a", b"1")]).unwrap();
    *gate.armed.lock().unwrap() = true;
    thread::scope(|scope| {
        let sync = scope.spawn(|| log.sync());
        has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        fs.set_space(Some(100));
        let big = scope.spawn(|| log.append(&[put(b"big", &[7; 50_000])]));
        thread::yield_now();
        while fs.cached("/store/keys.1.log").unwrap().iter().all(|byte| *byte != 7) {
            thread::yield_now();
        }
        // This one fits in what the file has.
        let behind = scope.spawn(|| log.append(&[put(b"b", b"1")]));
        assert!(has_begun.recv_timeout(Duration::from_millis(100)).is_err(), "it waits for the sync");
        assert!(!big.is_finished() && !behind.is_finished());
        let_end.send(()).unwrap();
        sync.join().unwrap().unwrap();
        has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        let_end.send(()).unwrap();
        assert!(matches!(big.join().unwrap(), Err(auth_log::Error::Full { .. })));
        behind.join().unwrap().unwrap();
        *gate.armed.lock().unwrap() = false;
        fs.set_space(None);
    });
    assert!(log.sync().is_ok() && log.len() == 2);
    drop(log);
    let (log, opened) = Log::open(slow, SALT).unwrap();
    assert_eq!(
        (opened.records, opened.dropped_bytes, log.get(b"b").unwrap().unwrap().bytes),
        (2, 0, b"1".to_vec())
    );
}
