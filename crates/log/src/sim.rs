//! A file system in memory that loses power, is killed, fails and runs full, the same way for the same seed.
//!
//! - A **power cut** leaves of each file any content that each sector had since the last sync, or a mixture
//!   of two, and any size; of each directory any subset, in order, of the changes since its last sync.
//! - A **sync that fails** leaves such a mixture too, and everything counts as clean: later syncs succeed and
//!   do not write it again, while reads still show it, until the page is **evicted**.
//! - A **kill** loses nothing that was written; locks end with the process.
//!
//! After a power cut or a kill every call fails until [`SimFs::restart`], and handles from before stay dead.
//! Every call counts as one operation, reads too; [`SimFs::fail_at`] makes one of them fail. A write can be
//! cut off anywhere in its bytes.

mod handles;
mod inspect;
mod node;
mod random;

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use node::{DirNode, Entry, FileNode};
pub use random::Random;

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before it; in a write, after some of its bytes.
    Kill,
    /// The power goes before it; in a write or a sync, in the middle of it.
    Power,
    /// It fails with EIO: a write after some of its bytes, a sync with some of the content on disk.
    Eio,
    /// It fails with EIO, and so does everything that changes something after it, until
    /// [`SimFs::restart`] or [`SimFs::heal`].
    EioForGood,
    /// There is no room: a write takes this many bytes, and fails when it is asked for the rest.
    NoSpace(usize),
    /// A write takes fewer bytes than it was given. Not an error.
    Short,
    /// Some clean pages that differ from the disk leave the cache before it. Not an error.
    Evict,
}

/// How a disk breaks its promises. Every test that passes on such a disk tests nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The sync of a file does nothing.
    SyncDoesNothing,
    /// The sync of a directory does nothing.
    FolderSyncDoesNothing,
    /// Changes of directories are durable at once.
    NamesDurableAtOnce,
    /// A write of zeros over what is there reaches the cache alone.
    ZerosNotKept,
}

/// The simulated file system. Clones are the same one.
#[derive(Clone)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
    meanwhile: Arc<Mutex<Option<(Moment, Meanwhile)>>>,
}

/// What others do at a moment of a call.
pub type Meanwhile = Box<dyn FnOnce() + Send>;

/// A moment in a call at which others can do something, on the same thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the names of a directory are listed.
    List,
    /// After a file was made.
    Made,
    /// In the sync of a file: what is written now it does not cover.
    Sync,
    /// Before a file is written.
    Write,
    /// Before a file is renamed.
    Rename,
    /// Before a file is opened.
    Open,
}

struct State {
    random: Random,
    sector: usize,
    nodes: Vec<Node>,
    /// Counts restarts: handles of an earlier one are dead.
    epoch: u64,
    down: bool,
    operations: u64,
    power_cuts: u64,
    faults: BTreeMap<u64, Fault>,
    failing: bool,
    /// The last write ran out of room, so the next one begins without any.
    full: bool,
    /// How many bytes files may still grow by.
    space: Option<usize>,
    lie: Option<Lie>,
    /// Which open file holds the lock of a node.
    locks: BTreeMap<usize, u64>,
    opened: u64,
    trace: Option<Vec<String>>,
}

struct Node {
    body: Body,
    mode: u32,
    uid: u32,
    gid: u32,
    modified: u64,
    changed: u64,
}

enum Body {
    File(FileNode),
    Dir(DirNode),
}

/// The root directory's node.
const ROOT: usize = 0;

fn error(errno: Errno) -> io::Error {
    errno.into()
}

fn dead() -> io::Error {
    io::Error::other("simulated: the process is gone")
}

impl SimFs {
    /// An empty file system with sectors of 512 bytes.
    pub fn new(seed: u64) -> SimFs {
        let state = State {
            random: Random::new(seed),
            sector: 512,
            nodes: vec![Node::new(Body::Dir(DirNode::default()), 0o755, 0)],
            epoch: 0,
            down: false,
            operations: 0,
            power_cuts: 0,
            faults: BTreeMap::new(),
            failing: false,
            full: false,
            space: None,
            lie: None,
            locks: BTreeMap::new(),
            opened: 0,
            trace: None,
        };
        SimFs { state: Arc::new(Mutex::new(state)), meanwhile: Arc::default() }
    }

    /// The same with other sectors, in bytes: small ones make small files tear in many places. For files that
    /// are made from now on.
    pub fn with_sector_size(self, bytes: usize) -> SimFs {
        self.lock().sector = bytes;
        self
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Makes an operation fail, by its number; the first one is 1. One that is past never fails.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.lock().faults.insert(operation, fault);
    }

    /// Forgets every fault that is still to come, and [`Fault::EioForGood`], and gives room again.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.faults.clear();
        (state.failing, state.full, state.space) = (false, false, None);
    }

    /// Lets files grow by so many bytes in all, and then no more; `None`: without end.
    pub fn set_space(&self, bytes: Option<usize>) {
        self.lock().space = bytes;
    }

    /// Breaks a promise from now on.
    pub fn set_lie(&self, lie: Option<Lie>) {
        self.lock().lie = lie;
    }

    /// Cuts the power now.
    pub fn power_cut(&self) {
        self.lock().power_cut();
    }

    /// Kills the process now.
    pub fn kill(&self) {
        self.lock().kill();
    }

    /// Whether it was killed or lost power, and was not restarted.
    pub fn is_down(&self) -> bool {
        self.lock().down
    }

    /// How many power cuts there were.
    pub fn power_cuts(&self) -> u64 {
        self.lock().power_cuts
    }

    /// Starts a new process after a kill or a power cut. Faults that are still to come stay.
    pub fn restart(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        (state.down, state.failing, state.full) = (false, false, false);
        state.locks.clear();
        state.note(|| "restart".into());
    }

    /// Drops every clean page that differs from the disk out of the cache.
    pub fn evict(&self) {
        let mut state = self.lock();
        state.note(|| "evict".into());
        for node in &mut state.nodes {
            if let Body::File(file) = &mut node.body {
                file.evict(|| true);
            }
        }
    }

    /// Does this at the next such moment, once.
    pub fn at_next(&self, moment: Moment, meanwhile: Meanwhile) {
        *self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner) = Some((moment, meanwhile));
    }

    /// Forgets what was to be done; says whether it was not done yet.
    pub fn forget_meanwhile(&self) -> bool {
        self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Whoever does something now finds nothing locked.
    fn pass(&self, moment: Moment) {
        let taken = {
            let mut waiting = self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.take_if(|(at, _)| *at == moment)
        };
        if let Some((_, meanwhile)) = taken {
            meanwhile();
        }
    }

    /// Notes every operation from now on.
    pub fn record_trace(&self) {
        self.lock().trace.get_or_insert_default();
    }

    /// What was noted.
    pub fn trace(&self) -> Vec<String> {
        self.lock().trace.clone().unwrap_or_default()
    }

    /// A panic in another test thread leaves nothing half done here that matters.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation and finds out what goes wrong at it. `changes`: whether it changes something.
    fn step(
        &mut self,
        epoch: u64,
        changes: bool,
        what: impl FnOnce() -> String,
    ) -> io::Result<Option<Fault>> {
        if self.down || epoch != self.epoch {
            return Err(dead());
        }
        self.operations += 1;
        let mut fault = self.faults.remove(&self.operations);
        let number = self.operations;
        self.note(|| format!("{number} {}{}", what(), fault.map_or(String::new(), |f| format!(": {f:?}"))));
        if fault == Some(Fault::Evict) {
            self.evict_some();
            fault = None;
        }
        if fault == Some(Fault::EioForGood) {
            self.failing = true;
        }
        if self.failing && changes {
            fault = Some(Fault::Eio);
        }
        Ok(fault)
    }

    /// The same for an operation that happens whole or not at all.
    fn whole(&mut self, epoch: u64, changes: bool, what: impl FnOnce() -> String) -> io::Result<()> {
        match self.step(epoch, changes, what)? {
            Some(Fault::Kill) => Err(self.kill()),
            Some(Fault::Power) => Err(self.power_cut()),
            Some(Fault::Eio) => Err(error(Errno::IO)),
            Some(Fault::NoSpace(_)) if changes => Err(error(Errno::NOSPC)),
            _ => Ok(()),
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    fn kill(&mut self) -> io::Error {
        self.note(|| "killed".into());
        self.down = true;
        self.locks.clear();
        dead()
    }

    fn power_cut(&mut self) -> io::Error {
        self.note(|| "power cut".into());
        self.down = true;
        self.power_cuts += 1;
        self.locks.clear();
        for node in &mut self.nodes {
            match &mut node.body {
                Body::Dir(dir) => dir.settle(&mut self.random),
                Body::File(file) => {
                    file.settle(&mut self.random);
                    file.reload();
                }
            }
        }
        dead()
    }

    fn evict_some(&mut self) {
        let all = self.random.once_in(3);
        for node in &mut self.nodes {
            if let Body::File(file) = &mut node.body {
                file.evict(|| all || self.random.once_in(2));
            }
        }
    }

    fn add(&mut self, body: Body, mode: u32) -> usize {
        self.nodes.push(Node::new(body, mode, self.operations));
        self.nodes.len() - 1
    }

    fn dir(&mut self, node: usize) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(node).map(|node| &mut node.body) {
            Some(Body::Dir(dir)) => Ok(dir),
            _ => Err(error(Errno::NOTDIR)),
        }
    }

    fn file(&mut self, node: usize) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(node).map(|node| &mut node.body) {
            Some(Body::File(file)) => Ok(file),
            _ => Err(error(Errno::ISDIR)),
        }
    }

    fn child(&mut self, dir: usize, name: &str) -> io::Result<Option<usize>> {
        Ok(self.dir(dir)?.cache().get(name).copied())
    }

    fn change(&mut self, dir: usize, entry: Entry) -> io::Result<()> {
        if self.lie == Some(Lie::NamesDurableAtOnce) {
            self.dir(dir)?.change_durably(&entry);
        } else {
            self.dir(dir)?.change(entry);
        }
        self.touch(dir);
        Ok(())
    }

    fn touch(&mut self, node: usize) {
        let now = self.operations;
        if let Some(node) = self.nodes.get_mut(node) {
            (node.modified, node.changed) = (now, now);
        }
    }

    fn empty(&mut self, node: usize) {
        let Ok(dir) = self.dir(node) else { return };
        for (name, child) in dir.cache().clone() {
            self.empty(child);
            if let Ok(dir) = self.dir(node) {
                dir.change(Entry::Remove(name));
            }
        }
    }

    /// How many names lead to a node.
    fn links(&self, node: usize) -> u64 {
        let names = self.nodes.iter().filter_map(|node| match &node.body {
            Body::Dir(dir) => Some(dir.cache().values()),
            Body::File(_) => None,
        });
        let count = names.flatten().filter(|named| **named == node).count();
        u64::try_from(count).unwrap_or(u64::MAX) + u64::from(node == ROOT)
    }

    fn walk(
        &self,
        from: usize,
        path: &Path,
        of: fn(&DirNode) -> &BTreeMap<String, usize>,
    ) -> io::Result<usize> {
        let from = if path.is_absolute() { ROOT } else { from };
        self.walk_names(from, &names_of(path)?, of)
    }

    fn walk_names(
        &self,
        from: usize,
        names: &[String],
        of: fn(&DirNode) -> &BTreeMap<String, usize>,
    ) -> io::Result<usize> {
        names.iter().try_fold(from, |at, name| match self.nodes.get(at).map(|node| &node.body) {
            Some(Body::Dir(dir)) if name == ".." => Ok(dir.parent()),
            Some(Body::Dir(dir)) => of(dir).get(name).copied().ok_or_else(|| error(Errno::NOENT)),
            _ => Err(error(Errno::NOTDIR)),
        })
    }
}

impl Node {
    fn new(body: Body, mode: u32, now: u64) -> Node {
        Node { body, mode, uid: 0, gid: 0, modified: now, changed: now }
    }
}

/// The names on a path, `..` among them.
fn names_of(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                names.push(name.to_str().ok_or_else(|| error(Errno::ILSEQ))?.to_owned());
            }
            Component::ParentDir => names.push("..".to_owned()),
            Component::RootDir | Component::CurDir => {}
            Component::Prefix(_) => return Err(error(Errno::INVAL)),
        }
    }
    Ok(names)
}
