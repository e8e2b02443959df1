//! A store on a simulated disk, and beside it what must be true of it.
//!
//! [`World`] does things to the store and notes what was promised; [`World::open`] holds what an opening finds
//! against that: a prefix of what was attempted, with everything that was acknowledged, and nothing else.
#![allow(dead_code, reason = "each of the two programs uses its own part of it")]

mod generation;
pub mod history;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_log::fs::{Dir, DiskFs, Fs};
use auth_log::sim::SimFs;
use auth_log::{Change, Error, Log, Reader, Rules, Value};

pub const SALT: [u8; 8] = *b"\x01salt\xff\0z";
pub const FOLDER: &str = "/store";
pub const LOG: &str = "/store/keys.1.log";

/// Key to label, flags and value.
pub type State = BTreeMap<Vec<u8>, (Vec<u8>, u8, Vec<u8>)>;

/// What must never happen, and did.
pub type Violation = String;

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// Ten times as much with `BNA_FULL=1`; with `BNA_FEW=1` a fortieth, where one mistake after the other is looked for
/// (`.cargo/mutants.toml`).
pub fn scale(count: u64) -> u64 {
    match () {
        () if is_set("BNA_FULL") => 10 * count,
        () if is_set("BNA_FEW") => count.div_ceil(40),
        () => count,
    }
}

/// A simulated disk with an empty folder.
pub fn disk() -> (SimFs, Arc<dyn Dir>) {
    let fs = SimFs::new(5);
    fs.create_dir(FOLDER.as_ref(), 0o700).unwrap();
    fs.open_dir("/".as_ref()).unwrap().sync().unwrap();
    let folder = fs.open_dir(FOLDER.as_ref()).unwrap();
    (fs, folder)
}

/// One with a new log in it.
pub fn store() -> (SimFs, Arc<dyn Dir>, Log) {
    let (fs, folder) = disk();
    let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
    (fs, folder, log)
}

pub fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Change<'a> {
    Change::Put { key, label: b"", flags: 0, value }
}

/// A folder on the machine's own disk, which goes when this goes.
pub struct RealFolder {
    pub path: PathBuf,
    pub dir: Arc<dyn Dir>,
}

impl RealFolder {
    pub fn new(parent: &Path, name: &str) -> RealFolder {
        let path = parent.join(format!("auth-log-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        DiskFs.create_dir(&path, 0o700).unwrap();
        let dir = DiskFs.open_dir(&path).unwrap();
        RealFolder { path, dir }
    }
}

impl Drop for RealFolder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.path));
    }
}

#[derive(Clone, Debug)]
pub enum Act {
    Put(Vec<u8>, Vec<u8>, u8, Vec<u8>),
    Delete(Vec<u8>),
    Clear,
}

impl Act {
    pub fn change(&self) -> Change<'_> {
        match self {
            Act::Put(key, label, flags, value) => Change::Put { key, label, flags: *flags, value },
            Act::Delete(key) => Change::Delete { key },
            Act::Clear => Change::Clear,
        }
    }

    /// Applies it; says whether it changed anything.
    pub fn apply(&self, state: &mut State) -> bool {
        match self {
            Act::Put(key, label, flags, value) => {
                state.insert(key.clone(), (label.clone(), *flags, value.clone()));
                true
            }
            Act::Delete(key) => state.remove(key).is_some(),
            Act::Clear => {
                let some = !state.is_empty();
                state.clear();
                some
            }
        }
    }
}

/// Where a log's last frame ends.
pub fn end_of(log: &Log) -> usize {
    let sizes = log.sizes();
    64 + usize::try_from(sizes.live_bytes + sizes.dead_bytes).unwrap()
}

/// All of a log. In the order of the keys, so that the same seed makes the same calls.
pub fn read_log(log: &Log) -> Result<State, Error> {
    let mut labels = BTreeMap::new();
    log.for_each(&mut |key, label| drop(labels.insert(key.to_vec(), label.to_vec())));
    assert_eq!(labels.len(), log.len());
    read(labels, |key| log.get(key))
}

pub fn read_reader(reader: &Reader) -> State {
    let mut labels = BTreeMap::new();
    reader.for_each(&mut |key, label| drop(labels.insert(key.to_vec(), label.to_vec())));
    assert_eq!(labels.len(), reader.len());
    read(labels, |key| reader.get(key)).unwrap()
}

fn read(
    labels: BTreeMap<Vec<u8>, Vec<u8>>,
    get: impl Fn(&[u8]) -> Result<Option<Value>, Error>,
) -> Result<State, Error> {
    let read = |(key, label): (Vec<u8>, Vec<u8>)| {
        let value = get(&key)?.expect("a key of the index has a value");
        Ok((key, (label, value.flags, value.bytes)))
    };
    labels.into_iter().map(read).collect()
}

/// How a write is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Handed to the operating system.
    Appended,
    /// On disk.
    Synced,
}

pub struct World {
    pub fs: SimFs,
    sector: usize,
    rules: Rules,
    pub log: Option<Arc<Log>>,
    /// A handle that latched and was not closed.
    pub zombie: Option<Arc<Log>>,
    /// What was attempted since the last opening: the state before, then the state after each attempt.
    attempted: Vec<State>,
    /// The attempts that must survive everything.
    durable: usize,
    /// The attempts that must survive a kill.
    handed_over: usize,
    /// Whether the store was there once.
    made: bool,
    /// What the live handle must show.
    shown: State,
    /// Whether the live handle shows something that no sync covered.
    unsynced: bool,
    /// The log has no name: nothing of it need be there.
    may_vanish: bool,
    power_cuts: u64,
    values: u64,
    /// Whether every key is read after every write.
    pub watching: bool,
}

impl World {
    pub fn new(seed: u64, sector: usize, rules: Rules) -> World {
        // Thousands of zeros now and then, else few: a small file tears in more interesting places.
        let ahead = [0, 40, 150, 700][seed as usize % 4];
        let rules = if seed % 16 == 5 && sector == 512 { rules } else { rules.with_ahead(ahead) };
        let fs = SimFs::new(seed).with_sector_size(sector);
        fs.create_dir(FOLDER.as_ref(), 0o700).unwrap();
        fs.open_dir("/".as_ref()).unwrap().sync().unwrap();
        World {
            fs,
            sector,
            rules,
            log: None,
            zombie: None,
            attempted: vec![State::new()],
            durable: 0,
            handed_over: 0,
            made: false,
            shown: State::new(),
            unsynced: false,
            may_vanish: false,
            power_cuts: 0,
            values: 0,
            watching: true,
        }
    }

    fn file_bytes(&self) -> usize {
        self.log.as_deref().map_or(0, end_of)
    }

    pub fn folder(&self) -> Result<Arc<dyn Dir>, std::io::Error> {
        self.fs.open_dir(FOLDER.as_ref())
    }

    /// After every call: did the machine stop in it?
    fn look(&mut self) -> bool {
        if self.fs.power_cuts() != self.power_cuts {
            self.power_cuts = self.fs.power_cuts();
            self.handed_over = self.durable;
        }
        if self.fs.is_down() {
            self.log = None;
            self.zombie = None;
        }
        self.fs.is_down()
    }

    pub fn kill(&mut self) {
        self.fs.kill();
        self.look();
    }

    pub fn power_cut(&mut self) {
        self.fs.power_cut();
        self.look();
    }

    /// A put of a value that was never put before.
    pub fn put(&mut self, key: &str, bytes: usize) -> Act {
        self.values += 1;
        let mut value = self.values.to_le_bytes().to_vec();
        value.resize(8 + bytes, u8::try_from(self.values % 251).unwrap());
        let flags = u8::try_from(self.values % 256).unwrap();
        Act::Put(key.into(), format!("label of {key}").into(), flags, value)
    }

    /// Opens, restarting the machine if it is down. `false` when that failed, as it may.
    pub fn open(&mut self) -> Result<bool, Violation> {
        if self.fs.is_down() {
            self.fs.restart();
        }
        self.log = None;
        let folder = self.folder();
        if self.look() {
            return Ok(false);
        }
        let Ok(folder) = folder else { return Ok(false) };
        let result = Log::open_with_rules(folder, SALT, self.rules);
        let down = self.look();
        let (log, opened) = match result {
            Ok(opened) => opened,
            Err(Error::Io { outcome_unknown: false, .. } | Error::Full { .. }) => {
                self.handed_over = self.durable;
                return Ok(false);
            }
            Err(error) => return Err(format!("a healthy store does not open: {error}")),
        };
        if down {
            return Ok(false);
        }
        if opened.created && self.made && !self.may_vanish {
            return Err("the store vanished".into());
        }
        self.made = true;
        let found = loop {
            match read_log(&log) {
                Ok(found) => break found,
                Err(_) if self.look() => return Ok(false),
                Err(Error::Io { .. }) => {}
                Err(error) => return Err(format!("what was opened cannot be read: {error}")),
            }
        };
        if opened.records != found.len() {
            return Err(format!("{} records, but {} keys", opened.records, found.len()));
        }
        self.judge(found)?;
        self.log = Some(Arc::new(log));
        Ok(true)
    }

    /// What was found must be one of the states from the last promise on.
    fn judge(&mut self, found: State) -> Result<(), Violation> {
        let known = self.attempted.iter().rposition(|state| *state == found);
        match known {
            None => return Err(format!("nobody made this: {found:?}, attempted {:?}", self.attempted)),
            Some(at) if at < self.handed_over => {
                return Err(format!("lost: found attempt {at}, promised {}", self.handed_over));
            }
            Some(_) => {}
        }
        self.attempted = vec![found.clone()];
        (self.durable, self.handed_over, self.unsynced, self.may_vanish) = (0, 0, false, false);
        self.shown = found;
        Ok(())
    }

    fn newest(&self) -> usize {
        self.attempted.len() - 1
    }

    /// Commits or appends. `Ok(false)` when it failed, as it may.
    pub fn write(&mut self, acts: &[Act], durable: bool) -> Result<bool, Violation> {
        let Some(log) = self.log.take() else { return Ok(false) };
        let mut next = self.attempted[self.newest()].clone();
        let mut effective = false;
        for act in acts {
            effective |= act.apply(&mut next);
        }
        let changes: Vec<Change<'_>> = acts.iter().map(Act::change).collect();
        let before = self.fs.operations();
        let result = if durable { log.commit(&changes) } else { log.append(&changes) };
        let down = self.look();
        if !effective && (result.is_err() || self.fs.operations() != before) {
            return Err(format!("nothing to do, but {result:?}"));
        }
        if !effective {
            self.log = Some(log);
            return Ok(true);
        }
        self.attempted.push(next.clone());
        match result {
            Ok(()) => {
                self.shown = next;
                self.handed_over = self.newest();
                if durable {
                    (self.durable, self.unsynced) = (self.newest(), false);
                } else {
                    self.unsynced = true;
                }
                self.log = Some(log);
                self.check_shown()?;
                Ok(true)
            }
            _ if down => Ok(false),
            Err(Error::Full { .. }) => {
                self.attempted.pop(); // a promise, too: it is not there
                self.log = Some(log);
                self.check_shown()?;
                Ok(false)
            }
            Err(error) if error.outcome_unknown() => {
                self.handed_over = self.durable;
                self.log = Some(log);
                if !self.unsynced {
                    self.check_shown()?;
                }
                self.latch();
                Ok(false)
            }
            Err(error) => Err(format!("a healthy store does not take a write: {error}")),
        }
    }

    /// A handle whose write failed: it stays around, and everything goes on without it.
    fn latch(&mut self) {
        if self.log.as_ref().is_some_and(|log| matches!(log.append(&[]), Err(Error::Failed))) {
            self.zombie = self.log.take();
        }
        self.look();
    }

    pub fn sync(&mut self) -> Result<bool, Violation> {
        let Some(log) = self.log.take() else { return Ok(false) };
        let result = log.sync();
        let down = self.look();
        match result {
            Ok(()) => {
                (self.durable, self.handed_over, self.unsynced) = (self.newest(), self.newest(), false);
                self.log = Some(log);
                Ok(true)
            }
            _ if down => Ok(false),
            Err(error) if error.outcome_unknown() => {
                self.handed_over = self.durable;
                self.log = Some(log);
                self.latch();
                Ok(false)
            }
            Err(error) => Err(format!("a healthy store does not sync: {error}")),
        }
    }

    pub fn close(&mut self) -> Result<bool, Violation> {
        let Some(log) = self.log.take() else { return Ok(false) };
        let result = log.close();
        let down = self.look();
        match result {
            Ok(()) if !down => {
                (self.durable, self.handed_over) = (self.newest(), self.newest());
                if !matches!(log.close(), Ok(())) || !matches!(log.get(b"a"), Err(Error::Closed)) {
                    return Err("it is not closed".into());
                }
                Ok(true)
            }
            _ if down => Ok(false),
            Err(Error::Io { .. }) => {
                self.handed_over = self.durable;
                Ok(false)
            }
            other => Err(format!("a healthy store does not close: {other:?}")),
        }
    }

    /// The latched handle is closed at last.
    pub fn close_zombie(&mut self) {
        if let Some(zombie) = self.zombie.take() {
            drop(zombie.close());
        }
        self.look();
    }

    fn check_shown(&mut self) -> Result<(), Violation> {
        let Some(log) = self.log.as_ref().filter(|_| self.watching) else { return Ok(()) };
        let result = read_log(log);
        if self.look() {
            return Ok(());
        }
        match result {
            Ok(state) if state == self.shown => Ok(()),
            Ok(state) => Err(format!("it shows {state:?} instead of {:?}", self.shown)),
            Err(Error::Io { .. }) => Ok(()),
            Err(error) => Err(format!("what was acknowledged cannot be read: {error}")),
        }
    }

    /// The end of every history: no more faults, one end of the process, an opening that must succeed,
    /// acknowledged commits on top, a power cut, an opening that must find them.
    pub fn settle(&mut self, power: bool) -> Result<(), Violation> {
        self.fs.heal();
        if power {
            self.power_cut()
        } else {
            self.kill()
        }
        for last in [false, true] {
            self.open_quietly()?;
            if !last {
                for bytes in [3, 90] {
                    let put = self.put("settled", bytes);
                    if !self.write(&[put], true)? {
                        return Err("a commit on a healthy disk failed".into());
                    }
                }
                self.power_cut();
            }
        }
        Ok(())
    }

    /// Opens where nothing goes wrong; a reader sees the same before, and changes nothing.
    fn open_quietly(&mut self) -> Result<(), Violation> {
        if self.fs.is_down() {
            self.fs.restart();
        }
        let folder = self.folder().map_err(|e| e.to_string())?;
        let before = self.fs.image();
        let reader = Reader::open(&*folder).map_err(|e| format!("a reader does not open: {e}"))?;
        let seen = reader.map(|reader| read_reader(&reader));
        if self.fs.image() != before {
            return Err("a reader changed the disk".into());
        }
        let (made, vanished) = (self.made, self.may_vanish);
        if !self.open()? {
            return Err("it does not open on a healthy disk".into());
        }
        match seen {
            Some(seen) if seen != self.shown => Err("a reader saw something else than the opening".into()),
            None if made && !vanished => Err("a reader saw no log".into()),
            _ => Ok(()),
        }
    }
}

pub fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}
