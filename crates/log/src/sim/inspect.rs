//! Past the seam: what tests see and do without a call of the store's.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::node::{DirNode, Entry, FileNode};
use super::{Body, ROOT, SimFs, error, names_of};

impl SimFs {
    /// What is durable of a file, under the names that are durable; `None` when it is not there.
    pub fn durable(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.lock();
        let node = state.walk(ROOT, path.as_ref(), DirNode::durable).ok()?;
        match &state.nodes.get(node)?.body {
            Body::File(file) => Some(file.durable()),
            Body::Dir(_) => None,
        }
    }

    /// What a read of a file would see; `None` when it is not there.
    pub fn cached(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.lock();
        let node = state.walk(ROOT, path.as_ref(), DirNode::cache).ok()?;
        match &state.nodes.get(node)?.body {
            Body::File(file) => Some(file.cache().to_vec()),
            Body::Dir(_) => None,
        }
    }

    /// Makes a file that holds this, or makes the one that is there hold it, durably; directories on the way
    /// too. No operation.
    ///
    /// # Errors
    /// When the path leads through a file, or names a directory.
    pub fn install(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let mut at = ROOT;
        let mut names = names_of(path.as_ref())?;
        let file = names.pop().ok_or_else(|| error(Errno::ISDIR))?;
        for name in names {
            at = match state.child(at, &name)? {
                Some(node) => node,
                None => {
                    let made = state.add(Body::Dir(DirNode::under(at)), 0o700);
                    state.dir(at)?.change_durably(&Entry::Set(name, made));
                    made
                }
            };
        }
        let node = match state.child(at, &file)? {
            Some(node) => node,
            None => {
                let sector = state.sector;
                let made = state.add(Body::File(FileNode::new(sector)), 0o600);
                state.dir(at)?.change_durably(&Entry::Set(file, made));
                made
            }
        };
        state.file(node)?.install(bytes);
        Ok(())
    }

    /// Removes a file or a directory with all that is in it, as `rm -rf` does. No operation; not durable.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove_tree(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.lock();
        let mut names = names_of(path.as_ref())?;
        let name = names.pop().ok_or_else(|| error(Errno::BUSY))?;
        let parent = state.walk_names(ROOT, &names, DirNode::cache)?;
        let node = state.child(parent, &name)?.ok_or_else(|| error(Errno::NOENT))?;
        state.empty(node);
        state.dir(parent)?.change(Entry::Remove(name));
        Ok(())
    }

    /// The names in a directory. No operation.
    pub fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let state = self.lock();
        let node = state.walk(ROOT, path.as_ref(), DirNode::cache);
        match node.ok().and_then(|node| state.nodes.get(node)).map(|node| &node.body) {
            Some(Body::Dir(dir)) => dir.cache().keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Everything that is there: each file with what the cache shows and what is durable. For comparing runs.
    pub fn image(&self) -> Vec<(String, Vec<u8>, Vec<u8>)> {
        let state = self.lock();
        let mut image = Vec::new();
        let mut todo = vec![(String::new(), ROOT)];
        while let Some((path, node)) = todo.pop() {
            match state.nodes.get(node).map(|node| &node.body) {
                Some(Body::Dir(dir)) => {
                    todo.extend(dir.cache().iter().map(|(name, node)| (format!("{path}/{name}"), *node)));
                }
                Some(Body::File(file)) => image.push((path, file.cache().to_vec(), file.durable())),
                None => {}
            }
        }
        image.sort();
        image
    }
}
