//! What the simulated disk keeps of one file and of one directory: what the cache shows, what is durable, and
//! everything in between that a crash may pick from.

use std::collections::BTreeMap;

use super::random::Random;

/// A file. What the page cache shows and what the disk holds part ways with every write, with every failed
/// sync, and meet at a successful one.
#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    sector: usize,
    cache: Vec<u8>,
    /// Whole sectors; beyond `durable_size` they may hold what a larger size would show.
    durable: Vec<u8>,
    durable_size: usize,
    /// Every content that a sector had since the last sync, oldest first. A sector that is here is dirty.
    versions: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Every size since the last sync, oldest first.
    sizes: Vec<usize>,
}

/// How much had been written of a file when a sync of it began.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun {
    versions: BTreeMap<usize, usize>,
    sizes: usize,
}

/// How a disorderly end chooses among what is possible.
#[derive(Clone, Copy)]
enum Bias {
    Newest,
    Oldest,
    Any,
}

impl Bias {
    /// All or nothing now and then: the extremes are rare among independent choices.
    fn draw(random: &mut Random) -> Bias {
        match random.below(4) {
            0 => Bias::Newest,
            1 => Bias::Oldest,
            _ => Bias::Any,
        }
    }

    fn pick(self, count: usize, random: &mut Random) -> usize {
        match self {
            Bias::Newest => count.saturating_sub(1),
            Bias::Oldest => 0,
            Bias::Any => random.below(count),
        }
    }
}

impl FileNode {
    pub fn new(sector: usize) -> FileNode {
        FileNode { sector: sector.max(1), ..FileNode::default() }
    }

    /// What a read sees.
    pub fn cache(&self) -> &[u8] {
        &self.cache
    }

    /// What a power cut would leave if nothing more were written back.
    pub fn durable(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        bytes.resize(self.durable_size, 0);
        bytes
    }

    /// Makes the file hold this, durably.
    pub fn install(&mut self, bytes: &[u8]) {
        self.cache = bytes.to_vec();
        self.durable = bytes.to_vec();
        self.durable_size = bytes.len();
        self.versions.clear();
        self.sizes.clear();
    }

    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at.saturating_add(bytes.len());
        let old_size = self.cache.len();
        if end > old_size {
            self.cache.resize(end, 0);
        }
        if let Some(range) = self.cache.get_mut(at..end) {
            range.copy_from_slice(bytes);
        }
        for sector in at / self.sector..=(end - 1) / self.sector {
            self.touch(sector);
        }
        // Rewriting the end of the file makes its size be written again, too.
        let newest = self.sizes.last().copied().unwrap_or(self.durable_size);
        if self.cache.len() != old_size && self.cache.len() != newest {
            self.sizes.push(self.cache.len());
        } else if end > newest {
            self.sizes.push(end);
        }
    }

    /// A write that the disk claims to have and has not.
    pub fn write_to_the_cache_alone(&mut self, at: usize, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len());
        if let Some(range) = self.cache.get_mut(at..end) {
            range.copy_from_slice(bytes);
        }
    }

    pub fn set_len(&mut self, size: usize) {
        let old_size = self.cache.len();
        let last = self.durable.len().max(old_size).max(size).div_ceil(self.sector);
        self.cache.resize(size, 0);
        for sector in size.min(old_size) / self.sector..last {
            self.touch(sector);
        }
        if self.sizes.last().copied().unwrap_or(self.durable_size) != size {
            self.sizes.push(size);
        }
    }

    fn touch(&mut self, sector: usize) {
        let content = self.cached_sector(sector);
        let versions = self.versions.entry(sector).or_default();
        if versions.last() != Some(&content) {
            versions.push(content);
        }
    }

    fn cached_sector(&self, sector: usize) -> Vec<u8> {
        sector_of(&self.cache, sector, self.sector)
    }

    fn set_durable(&mut self, sector: usize, content: &[u8]) {
        let start = sector * self.sector;
        let end = start + self.sector;
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        if let Some(range) = self.durable.get_mut(start..end) {
            range.copy_from_slice(content);
        }
    }

    /// What a sync that begins now covers.
    pub fn begin_sync(&self) -> Begun {
        let versions = self.versions.iter().map(|(sector, versions)| (*sector, versions.len())).collect();
        Begun { versions, sizes: self.sizes.len() }
    }

    /// The successful end of a sync: what was written since it began is as dirty as it was.
    pub fn end_sync(&mut self, begun: &Begun) {
        for (sector, count) in &begun.versions {
            let Some(versions) = self.versions.get_mut(sector) else { continue };
            let covered: Vec<Vec<u8>> = versions.drain(..(*count).min(versions.len())).collect();
            if versions.is_empty() {
                self.versions.remove(sector);
            }
            if let Some(newest) = covered.last() {
                self.set_durable(*sector, newest);
            }
        }
        let sizes: Vec<usize> = self.sizes.drain(..begun.sizes.min(self.sizes.len())).collect();
        if let Some(size) = sizes.last() {
            self.durable_size = *size;
        }
    }

    /// A successful sync, beside which nobody writes.
    pub fn sync(&mut self) {
        for (sector, mut versions) in std::mem::take(&mut self.versions) {
            if let Some(newest) = versions.pop() {
                self.set_durable(sector, &newest);
            }
        }
        if let Some(size) = self.sizes.pop() {
            self.durable_size = size;
            self.sizes.clear();
        }
    }

    /// The end of a power cut, and of a sync that fails: for each dirty sector any content since the last
    /// sync, or, since a write may be cut at any byte, the beginning of one and the end of another; any size.
    /// All is clean then; the cache still shows the newest.
    pub fn settle(&mut self, random: &mut Random) {
        let bias = Bias::draw(random);
        for (sector, versions) in std::mem::take(&mut self.versions) {
            let mut choices = vec![sector_of(&self.durable, sector, self.sector)];
            choices.extend(versions);
            let mut content = choices.get(bias.pick(choices.len(), random)).cloned().unwrap_or_default();
            if matches!(bias, Bias::Any) && random.once_in(3) {
                let other = choices.get(random.below(choices.len())).cloned().unwrap_or_default();
                let torn = random.below(self.sector);
                for (to, from) in content.iter_mut().zip(other).skip(torn) {
                    *to = from;
                }
            }
            self.set_durable(sector, &content);
        }
        let mut sizes = vec![self.durable_size];
        sizes.append(&mut self.sizes);
        self.durable_size = sizes.get(bias.pick(sizes.len(), random)).copied().unwrap_or_default();
    }

    /// After a power cut: the cache is empty, so it shows the disk; what lay beyond the size is gone.
    pub fn reload(&mut self) {
        self.cache = self.durable();
        self.durable.clone_from(&self.cache);
    }

    /// Drops clean pages (two sectors each) that differ from the disk out of the cache: all, or some of them.
    pub fn evict(&mut self, mut chosen: impl FnMut() -> bool) {
        let page = 2 * self.sector;
        let durable = self.durable();
        for (number, cached) in self.cache.chunks_mut(page).enumerate() {
            let dirty = [2 * number, 2 * number + 1].iter().any(|sector| self.versions.contains_key(sector));
            let disk = sector_of(&durable, number, page);
            if !dirty && disk.get(..cached.len()) != Some(&*cached) && chosen() {
                for (to, from) in cached.iter_mut().zip(disk) {
                    *to = from;
                }
            }
        }
    }
}

fn sector_of(bytes: &[u8], sector: usize, size: usize) -> Vec<u8> {
    let mut content = vec![0; size];
    for (to, from) in content.iter_mut().zip(bytes.get(sector * size..).unwrap_or_default()) {
        *to = *from;
    }
    content
}

/// A change of a directory that is not durable yet.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Set(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

/// A directory.
#[derive(Clone, Debug, Default)]
pub(super) struct DirNode {
    parent: usize,
    cache: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Entry>,
}

impl DirNode {
    /// An empty one in another.
    pub fn under(parent: usize) -> DirNode {
        DirNode { parent, ..DirNode::default() }
    }

    /// The one that `..` means.
    pub fn parent(&self) -> usize {
        self.parent
    }

    /// The names, and which node each is of.
    pub fn cache(&self) -> &BTreeMap<String, usize> {
        &self.cache
    }

    pub fn durable(&self) -> &BTreeMap<String, usize> {
        &self.durable
    }

    pub fn change(&mut self, entry: Entry) {
        apply(&mut self.cache, &entry);
        self.pending.push(entry);
    }

    pub fn change_durably(&mut self, entry: &Entry) {
        apply(&mut self.cache, entry);
        apply(&mut self.durable, entry);
    }

    pub fn sync(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.cache);
    }

    /// A sync that fails: some changes are durable, the others still may become so.
    pub fn sync_some(&mut self, random: &mut Random) {
        let bias = Bias::draw(random);
        for entry in std::mem::take(&mut self.pending) {
            if bias.pick(2, random) == 1 {
                apply(&mut self.durable, &entry);
            } else {
                self.pending.push(entry);
            }
        }
    }

    /// A power cut: some changes are durable, the others are gone.
    pub fn settle(&mut self, random: &mut Random) {
        self.sync_some(random);
        self.pending.clear();
        self.cache.clone_from(&self.durable);
    }
}

fn apply(names: &mut BTreeMap<String, usize>, entry: &Entry) {
    match entry {
        Entry::Set(name, node) => {
            names.insert(name.clone(), *node);
        }
        Entry::Rename(from, to, node) => {
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), *node);
        }
        Entry::Remove(name) => {
            names.remove(name);
        }
    }
}
