//! What a world does around a new generation, and while a sync runs.

use std::sync::{Arc, Mutex};

use auth_log::fs::Fs;
use auth_log::sim::{Fault, Moment};
use auth_log::{Compaction, Error, Log};

use super::{Act, Durability, FOLDER, SALT, State, Violation, World, read_log};

/// What became of a write in the middle of something else.
type Done = Arc<Mutex<Option<(Result<(), Error>, Durability)>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appended {
    Yes,
    Unknown,
    Never,
}

impl World {
    /// An append while a sync runs, which does not cover it.
    pub fn sync_beside(&mut self, act: Act) -> Result<bool, Violation> {
        let Some(log) = self.log.take() else { return Ok(false) };
        let before = self.newest();
        let done = self.meanwhile(&log, Moment::Sync, &act, Durability::Appended);
        let result = log.sync();
        self.fs.forget_meanwhile();
        let appended = self.note(done, act)?;
        let down = self.look();
        match result {
            _ if down => return Ok(false),
            Ok(()) => {
                let durable = if appended == Appended::Never { self.newest() } else { before };
                self.durable = self.durable.max(durable);
                self.handed_over = self.handed_over.max(durable);
                self.unsynced = appended == Appended::Yes;
            }
            Err(error) if error.outcome_unknown() => self.handed_over = self.durable,
            Err(Error::Failed) => {}
            Err(error) => return Err(format!("a healthy store does not sync: {error}")),
        }
        self.log = Some(log);
        self.latch();
        self.check_shown()?;
        Ok(self.log.is_some())
    }

    /// A compaction, and maybe a commit or an append in the middle of it.
    pub fn compact(&mut self, beside: Option<(Act, Durability)>) -> Result<bool, Violation> {
        self.renew(beside, |log| log.compact().map(|done| done != Compaction::Stopped))
    }

    /// Somebody removes the log, and it is written anew.
    pub fn lose_and_write_anew(&mut self) -> Result<bool, Violation> {
        if self.log.is_none() {
            return Ok(false);
        }
        for name in self.fs.names(FOLDER) {
            drop(self.fs.remove_tree(format!("{FOLDER}/{name}")));
        }
        // Until it has a new name nothing can be promised.
        (self.durable, self.handed_over) = (0, 0);
        self.attempted.insert(0, State::new());
        self.may_vanish = true;
        let done = self.renew(None, |log| {
            assert!(!log.is_in_place().unwrap_or(false));
            log.write_anew().map(|()| true)
        })?;
        if done {
            self.may_vanish = false;
            self.attempted.remove(0);
            (self.durable, self.handed_over) = (self.newest(), self.newest());
        } else if self.log.is_some() {
            // What is nowhere named is not gone on with.
            self.log = None;
        }
        Ok(done)
    }

    fn renew(
        &mut self,
        beside: Option<(Act, Durability)>,
        how: impl Fn(&Log) -> Result<bool, Error>,
    ) -> Result<bool, Violation> {
        let Some(log) = self.log.take() else { return Ok(false) };
        let done =
            beside.as_ref().map(|(act, durability)| self.meanwhile(&log, Moment::Made, act, *durability));
        let result = how(&log);
        self.fs.forget_meanwhile();
        let mut latched = false;
        if let (Some(done), Some((act, _))) = (done, beside) {
            latched = self.note(done, act)? == Appended::Unknown;
        }
        if self.look() {
            return Ok(false);
        }
        match result {
            Ok(true) if latched => return Err("a log that latched was compacted".into()),
            Ok(true) => {
                (self.durable, self.handed_over, self.unsynced) = (self.newest(), self.newest(), false);
            }
            Ok(false) | Err(Error::Failed) if latched => {}
            Err(Error::Io { .. } | Error::Full { .. }) => {}
            other => return Err(format!("a healthy store is not compacted: {other:?}")),
        }
        let done = result.is_ok();
        self.log = Some(log);
        self.latch();
        self.check_shown()?;
        Ok(done && self.log.is_some())
    }

    /// Makes the log be written at a moment of what it is asked for next.
    fn meanwhile(&self, log: &Arc<Log>, moment: Moment, act: &Act, how: Durability) -> Done {
        let done = Done::default();
        let (slot, log, act) = (Arc::clone(&done), Arc::clone(log), act.clone());
        self.fs.at_next(
            moment,
            Box::new(move || {
                let changes = [act.change()];
                let result =
                    if how == Durability::Synced { log.commit(&changes) } else { log.append(&changes) };
                *slot.lock().unwrap() = Some((result, how));
            }),
        );
        done
    }

    /// Takes into account what was written meanwhile.
    fn note(&mut self, done: Done, act: Act) -> Result<Appended, Violation> {
        let Some((result, how)) = done.lock().unwrap().take() else { return Ok(Appended::Never) };
        let mut next = self.attempted[self.newest()].clone();
        if !act.apply(&mut next) {
            return Ok(Appended::Never);
        }
        self.attempted.push(next.clone());
        match result {
            Ok(()) => {
                self.shown = next;
                self.handed_over = self.newest();
                self.unsynced = how == Durability::Appended;
                if how == Durability::Synced {
                    self.durable = self.newest();
                }
                Ok(Appended::Yes)
            }
            Err(Error::Full { .. }) => {
                self.attempted.pop();
                Ok(Appended::Never)
            }
            Err(error) if error.outcome_unknown() || self.fs.is_down() => {
                self.handed_over = self.durable;
                Ok(Appended::Unknown)
            }
            Err(error) => Err(format!("a healthy store does not take a write: {error}")),
        }
    }

    /// A log latches just when it begins a compaction; a new store is opened and takes a commit; then the old
    /// one goes on.
    pub fn latch_in_compaction(&mut self) -> Result<(), Violation> {
        let Some(log) = self.log.take() else { return Ok(()) };
        let (lost, kept) = (self.put("a", 20), self.put("b", 20));
        type Found = Result<(State, Log), Violation>;
        let found: Arc<Mutex<Option<Found>>> = Arc::default();
        let (fs, slot, old, rules) = (self.fs.clone(), Arc::clone(&found), Arc::clone(&log), self.rules);
        let (first, second) = (lost.clone(), kept.clone());
        self.fs.at_next(
            Moment::List,
            Box::new(move || {
                fs.fail_at(fs.operations() + 2, Fault::Eio);
                let failed = old.commit(&[first.change()]);
                fs.heal();
                let open = || {
                    failed.err().ok_or("the commit did not fail")?;
                    let folder = fs.open_dir(FOLDER.as_ref()).map_err(|e| e.to_string())?;
                    let (new, _) = Log::open_with_rules(folder, SALT, rules).map_err(|e| e.to_string())?;
                    let state = read_log(&new).map_err(|e| e.to_string())?;
                    new.commit(&[second.change()]).map_err(|e| e.to_string())?;
                    Ok((state, new))
                };
                *slot.lock().unwrap() = Some(open());
            }),
        );
        drop(log.compact());
        let mut next = self.attempted[self.newest()].clone();
        lost.apply(&mut next);
        self.attempted.push(next);
        let (state, new) = found.lock().unwrap().take().ok_or("the compaction did not begin")??;
        self.handed_over = self.durable;
        self.judge(state)?;
        kept.apply(&mut self.shown);
        self.attempted.push(self.shown.clone());
        (self.durable, self.handed_over) = (1, 1);
        self.zombie = Some(log);
        self.log = Some(Arc::new(new));
        self.check_shown()
    }
}
