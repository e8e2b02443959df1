//! The seam's traits over the simulated state.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::node::{Begun, DirNode, Entry, FileNode};
use super::{Body, Fault, Lie, Moment, ROOT, SimFs, State, error, names_of};
use crate::fs::{Dir, File, FileId, Fs, Kind, Stat};

/// The device number of every simulated file.
const DEVICE: u64 = 1;

/// When the simulated clock starts, in nanoseconds since 1970; every operation takes a millisecond.
const START_NS: i128 = 1_700_000_000_000_000_000;

struct SimDir {
    fs: SimFs,
    node: usize,
    epoch: u64,
}

struct SimFile {
    fs: SimFs,
    node: usize,
    epoch: u64,
    /// Which open file it is: locks are by that.
    open: u64,
}

impl State {
    fn stat(&self, node: usize) -> io::Result<Stat> {
        let found = self.nodes.get(node).ok_or_else(|| error(Errno::NOENT))?;
        let time = |operation: u64| START_NS + i128::from(operation) * 1_000_000;
        let (kind, size) = match &found.body {
            Body::File(file) => (Kind::File, file.cache().len()),
            Body::Dir(_) => (Kind::Dir, 0),
        };
        Ok(Stat {
            id: FileId { dev: DEVICE, ino: number(node) + 1 },
            kind,
            links: self.links(node),
            size: number(size),
            modified_ns: time(found.modified),
            changed_ns: time(found.changed),
            mode: found.mode,
            uid: found.uid,
            gid: found.gid,
        })
    }

    /// What is written of these bytes before there is no room for more.
    fn room(&mut self, node: usize, at: usize, count: usize) -> io::Result<usize> {
        let size = self.file(node)?.cache().len();
        let growth = at.saturating_add(count).saturating_sub(size);
        let Some(space) = self.space else { return Ok(count) };
        let taken = growth.min(space);
        let written = count - (growth - taken).min(count);
        if written > 0 {
            self.space = Some(space - taken);
        }
        Ok(written)
    }

    fn write(&mut self, epoch: u64, node: usize, bytes: &[u8], at: u64) -> io::Result<usize> {
        let fault = self.step(epoch, true, || format!("write {} at {at} of {node}", bytes.len()))?;
        if std::mem::take(&mut self.full) && fault.is_none() {
            return Err(error(Errno::NOSPC));
        }
        let at = usize::try_from(at).map_err(|_| error(Errno::FBIG))?;
        let count = match fault {
            Some(Fault::Kill | Fault::Power) => self.random.below(bytes.len() + 1),
            Some(Fault::Eio) => self.random.below(bytes.len()),
            Some(Fault::NoSpace(room)) => room.min(bytes.len().saturating_sub(1)),
            Some(Fault::Short) => 1 + self.random.below(bytes.len().saturating_sub(1)),
            _ => self.room(node, at, bytes.len())?,
        };
        let written = bytes.get(..count).unwrap_or(bytes);
        let zeros = self.lie == Some(Lie::ZerosNotKept) && written.iter().all(|byte| *byte == 0);
        let file = self.file(node)?;
        if zeros && at.saturating_add(count) <= file.cache().len() {
            file.write_to_the_cache_alone(at, written);
        } else {
            file.write(at, written);
        }
        self.touch(node);
        match fault {
            Some(Fault::Kill) => Err(self.kill()),
            Some(Fault::Power) => Err(self.power_cut()),
            Some(Fault::Eio) => Err(error(Errno::IO)),
            _ if count == 0 && !bytes.is_empty() => Err(error(Errno::NOSPC)),
            Some(Fault::NoSpace(_)) => {
                self.full = true;
                Ok(count)
            }
            _ => Ok(count),
        }
    }

    /// What a sync that begins now covers.
    fn begin_sync(&mut self, node: usize) -> Begun {
        self.file(node).map(|file| file.begin_sync()).unwrap_or_default()
    }

    fn sync(&mut self, epoch: u64, node: usize, begun: &Begun) -> io::Result<()> {
        let lie = self.lie == Some(Lie::SyncDoesNothing);
        let failed = match self.step(epoch, true, || format!("sync {node}"))? {
            Some(Fault::Kill) => return Err(self.kill()),
            Some(Fault::Power) => return Err(self.power_cut()),
            Some(Fault::Eio) => Some(Errno::IO),
            Some(Fault::NoSpace(_)) => Some(Errno::NOSPC),
            _ => None,
        };
        if let Some(Body::File(file)) = self.nodes.get_mut(node).map(|node| &mut node.body) {
            match failed {
                Some(_) => file.settle(&mut self.random),
                None if lie => {}
                None => file.end_sync(begun),
            }
        }
        failed.map_or(Ok(()), |errno| Err(error(errno)))
    }

    fn sync_dir(&mut self, epoch: u64, node: usize) -> io::Result<()> {
        let lie = self.lie == Some(Lie::FolderSyncDoesNothing);
        let failed = match self.step(epoch, true, || format!("sync directory {node}"))? {
            Some(Fault::Kill) => return Err(self.kill()),
            Some(Fault::Power) => return Err(self.power_cut()),
            Some(Fault::Eio | Fault::NoSpace(_)) => true,
            _ => false,
        };
        if let Some(Body::Dir(dir)) = self.nodes.get_mut(node).map(|node| &mut node.body) {
            match failed {
                true => dir.sync_some(&mut self.random),
                false if lie => {}
                false => dir.sync(),
            }
        }
        if failed { Err(error(Errno::IO)) } else { Ok(()) }
    }

    fn sync_everything(&mut self, epoch: u64) -> io::Result<()> {
        self.whole(epoch, true, || "sync everything".into())?;
        let (files, dirs) = (Some(Lie::SyncDoesNothing), Some(Lie::FolderSyncDoesNothing));
        for node in &mut self.nodes {
            match &mut node.body {
                Body::File(file) if self.lie != files => file.sync(),
                Body::Dir(dir) if self.lie != dirs => dir.sync(),
                _ => {}
            }
        }
        Ok(())
    }

    fn set_owner(&mut self, node: usize, uid: u32, gid: u32) {
        if let Some(node) = self.nodes.get_mut(node) {
            (node.uid, node.gid, node.changed) = (uid, gid, self.operations);
        }
    }
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl SimFs {
    fn directory(&self, node: usize, epoch: u64) -> Arc<dyn Dir> {
        Arc::new(SimDir { fs: self.clone(), node, epoch })
    }
}

impl Fs for SimFs {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let mut state = self.lock();
        let epoch = state.epoch;
        state.whole(epoch, false, || format!("open directory {}", path.display()))?;
        let node = state.walk(ROOT, path, DirNode::cache)?;
        state.dir(node)?;
        Ok(self.directory(node, epoch))
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut state = self.lock();
        let epoch = state.epoch;
        state.whole(epoch, true, || format!("make directory {}", path.display()))?;
        let mut names = names_of(path)?;
        let name = names.pop().ok_or_else(|| error(Errno::EXIST))?;
        let parent = state.walk_names(ROOT, &names, DirNode::cache)?;
        if state.child(parent, &name)?.is_some() {
            return Err(error(Errno::EXIST));
        }
        let made = state.add(Body::Dir(DirNode::under(parent)), mode);
        state.change(parent, Entry::Set(name, made))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let epoch = state.epoch;
        state.whole(epoch, true, || format!("remove directory {}", path.display()))?;
        let mut names = names_of(path)?;
        let name = names.pop().ok_or_else(|| error(Errno::BUSY))?;
        let parent = state.walk_names(ROOT, &names, DirNode::cache)?;
        let node = state.child(parent, &name)?.ok_or_else(|| error(Errno::NOENT))?;
        if !state.dir(node)?.cache().is_empty() {
            return Err(error(Errno::NOTEMPTY));
        }
        state.change(parent, Entry::Remove(name))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let mut state = self.lock();
        let epoch = state.epoch;
        state.whole(epoch, false, || format!("canonical {}", path.display()))?;
        state.walk(ROOT, path, DirNode::cache)?;
        let mut whole = PathBuf::from("/");
        for name in names_of(path)? {
            if name == ".." {
                whole.pop();
            } else {
                whole.push(name);
            }
        }
        Ok(whole)
    }
}

impl SimDir {
    fn open_file(&self, name: &str, changes: bool) -> io::Result<Arc<dyn File>> {
        self.fs.pass(Moment::Open);
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("open {name}"))?;
        let node = state.child(self.node, name)?.ok_or_else(|| error(Errno::NOENT))?;
        if changes {
            state.file(node)?;
        }
        Ok(self.handle(&mut state, node))
    }

    fn handle(&self, state: &mut State, node: usize) -> Arc<dyn File> {
        state.opened += 1;
        Arc::new(SimFile { fs: self.fs.clone(), node, epoch: self.epoch, open: state.opened })
    }
}

impl Dir for SimDir {
    fn stat(&self) -> io::Result<Stat> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("stat directory {}", self.node))?;
        state.stat(self.node)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.fs.pass(Moment::List);
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("list {}", self.node))?;
        Ok(state.dir(self.node)?.cache().keys().cloned().collect())
    }

    fn stat_name(&self, name: &str) -> io::Result<Option<Stat>> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("stat {name}"))?;
        state.child(self.node, name)?.map(|node| state.stat(node)).transpose()
    }

    fn read_link(&self, name: &str) -> io::Result<PathBuf> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("read link {name}"))?;
        Err(error(if state.child(self.node, name)?.is_some() { Errno::INVAL } else { Errno::NOENT }))
    }

    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("open directory {}", path.display()))?;
        let node = state.walk(self.node, path, DirNode::cache)?;
        state.dir(node)?;
        Ok(self.fs.directory(node, self.epoch))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open_file(name, false)
    }

    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open_file(name, true)
    }

    fn create(&self, name: &str, mode: u32) -> io::Result<Arc<dyn File>> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, true, || format!("create {name}"))?;
        if state.child(self.node, name)?.is_some() {
            return Err(error(Errno::EXIST));
        }
        if state.links(self.node) == 0 {
            return Err(error(Errno::NOENT)); // the directory was removed
        }
        let sector = state.sector;
        let made = state.add(Body::File(FileNode::new(sector)), mode);
        state.change(self.node, Entry::Set(name.to_owned(), made))?;
        let handle = self.handle(&mut state, made);
        drop(state);
        self.fs.pass(Moment::Made);
        Ok(handle)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fs.pass(Moment::Rename);
        let mut state = self.fs.lock();
        state.whole(self.epoch, true, || format!("rename {from} to {to}"))?;
        let node = state.child(self.node, from)?.ok_or_else(|| error(Errno::NOENT))?;
        if from == to {
            return Ok(());
        }
        state.change(self.node, Entry::Rename(from.to_owned(), to.to_owned(), node))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, true, || format!("remove {name}"))?;
        let node = state.child(self.node, name)?.ok_or_else(|| error(Errno::NOENT))?;
        state.file(node)?;
        state.change(self.node, Entry::Remove(name.to_owned()))
    }

    fn sync(&self) -> io::Result<()> {
        self.fs.lock().sync_dir(self.epoch, self.node)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.fs.lock().sync_everything(self.epoch)
    }

    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, true, || format!("chown directory {}", self.node))?;
        state.set_owner(self.node, uid, gid);
        Ok(())
    }
}

impl File for SimFile {
    fn stat(&self) -> io::Result<Stat> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("stat file {}", self.node))?;
        state.stat(self.node)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("read {} at {offset} of {}", buffer.len(), self.node))?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = state.file(self.node)?.cache().get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, byte) in buffer.iter_mut().zip(rest) {
            *to = *byte;
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.fs.pass(Moment::Write);
        self.fs.lock().write(self.epoch, self.node, bytes, offset)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, true, || format!("cut {} to {size}", self.node))?;
        let size = usize::try_from(size).map_err(|_| error(Errno::FBIG))?;
        state.file(self.node)?.set_len(size);
        state.touch(self.node);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let begun = self.fs.lock().begin_sync(self.node);
        self.fs.pass(Moment::Sync);
        self.fs.lock().sync(self.epoch, self.node, &begun)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, false, || format!("lock {}", self.node))?;
        Ok(*state.locks.entry(self.node).or_insert(self.open) == self.open)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, true, || format!("chmod {}", self.node))?;
        let now = state.operations;
        if let Some(node) = state.nodes.get_mut(self.node) {
            (node.mode, node.changed) = (mode, now);
        }
        Ok(())
    }

    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        let mut state = self.fs.lock();
        state.whole(self.epoch, true, || format!("chown {}", self.node))?;
        state.set_owner(self.node, uid, gid);
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.fs.lock();
        if state.locks.get(&self.node) == Some(&self.open) {
            state.locks.remove(&self.node);
        }
    }
}
