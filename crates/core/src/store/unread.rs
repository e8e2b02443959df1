//! Reads that were made and are not done yet: a write that was made later waits for them where it has one of their keys,
//! for a `get` is not to see what was set after it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::backend::Write;
use crate::keys::Key;

/// So many hashes are kept at least before it is looked which of them are of no use any more.
const FEW: usize = 1_024;

/// The reads under way, numbered in the order in which they are made and done.
#[derive(Default)]
pub struct Unread {
    made: u64,
    done: u64,
    hasher: RandomState,
    /// The last read that asks for a key, by the key's hash: two keys with one only make a write wait in vain.
    last: HashMap<u64, u64>,
    /// With so many hashes those of reads that are done go.
    most: usize,
}

impl Unread {
    /// Takes note of a read as it is made, and of the keys that it has to look for.
    pub fn add<'k>(&mut self, keys: impl Iterator<Item = &'k Key>) {
        self.made += 1;
        self.last.extend(keys.map(|key| (self.hasher.hash_one(&key.stem), self.made)));
        if self.last.len() > self.most.max(FEW) {
            self.last.retain(|_, number| *number > self.done);
            self.most = self.last.len() * 2;
        }
    }

    /// So many of them are done. Says how many that makes since the beginning.
    pub fn done(&mut self, count: usize) -> u64 {
        self.done = self.made.min(self.done.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
        if self.done == self.made {
            (self.last, self.most) = (HashMap::new(), 0);
        }
        self.done
    }

    /// None of them goes on.
    pub fn drop_all(&mut self) -> u64 {
        self.done(usize::MAX)
    }

    /// How many reads since the beginning must be done before this write.
    pub fn before(&self, write: &Write) -> u64 {
        let unread = |number: &u64| *number > self.done;
        match write {
            _ if self.made == self.done => 0,
            Write::Clear => self.made,
            Write::Set(changes) => {
                let last = |key: &Key| self.last.get(&self.hasher.hash_one(&key.stem)).copied();
                changes.iter().filter_map(|(key, _)| last(key)).filter(unread).max().unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(unread: &mut Unread, ids: &[&str]) {
        let keys: Vec<Key> = ids.iter().map(|id| Key::new("t", *id).unwrap()).collect();
        unread.add(keys.iter());
    }

    fn set(id: &str) -> Write {
        Write::Set(vec![(Key::new("t", id).unwrap(), None)])
    }

    #[test]
    fn a_write_waits_for_the_last_read_that_asks_for_its_key() {
        let mut unread = Unread::default();
        for ids in [&["a"][..], &["b", "c"], &["a"], &["d"]] {
            add(&mut unread, ids);
        }
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|id| unread.before(&set(id))),
            [3, 2, 2, 4, 0],
            "of the reads that were made"
        );
        assert_eq!(unread.before(&Write::Clear), 4);
        assert_eq!(unread.done(3), 3);
        assert_eq!(["a", "d"].map(|id| unread.before(&set(id))), [0, 4]);
        add(&mut unread, &["a"]);
        assert_eq!(unread.before(&set("a")), 5);
        assert_eq!(unread.drop_all(), 5);
        assert_eq!(unread.before(&Write::Clear), 0);
    }

    #[test]
    fn what_it_holds_is_bounded_by_the_reads_under_way() {
        let mut unread = Unread::default();
        for n in 0..20_000u32 {
            add(&mut unread, &[&n.to_string()]);
            if n > 2 {
                unread.done(1);
            }
        }
        assert!(unread.last.len() <= FEW + 1, "{}", unread.last.len());
        assert_eq!((unread.before(&set("19999")), unread.before(&set("19000"))), (20_000, 0));
        unread.drop_all();
        assert_eq!(unread.last.capacity(), 0);
    }
}
