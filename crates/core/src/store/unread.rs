//! Reads that were made and are not done yet: a write that was made later waits for them where it has one of their keys,
//! for a `get` is not to see what was set after it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::backend::Write;
use crate::keys::Key;

/// With more comparisons than this it is not looked whether keys meet: they are taken to.
const MANY: usize = 4_096;

/// The reads under way, in the order in which they were made and are done.
#[derive(Default)]
pub struct Unread {
    made: u64,
    keys: VecDeque<Arc<[Key]>>,
}

impl Unread {
    /// Takes note of a read as it is made.
    pub fn add(&mut self, keys: Arc<[Key]>) {
        self.made += 1;
        self.keys.push_back(keys);
    }

    /// So many of them are done. Says how many reads that makes since the beginning.
    pub fn done(&mut self, count: usize) -> u64 {
        self.keys.drain(..count.min(self.keys.len()));
        self.finished()
    }

    /// None of them goes on.
    pub fn drop_all(&mut self) -> u64 {
        self.done(usize::MAX)
    }

    fn finished(&self) -> u64 {
        self.made - u64::try_from(self.keys.len()).unwrap_or(0)
    }

    /// How many reads since the beginning must be done before this write.
    pub fn before(&self, write: &Write) -> u64 {
        let meets = |keys: &[Key]| match write {
            Write::Clear => true,
            Write::Set(changes) if changes.len().saturating_mul(keys.len()) > MANY => true,
            Write::Set(changes) => {
                changes.iter().any(|(key, _)| keys.iter().any(|read| read.stem == key.stem))
            }
        };
        match self.keys.iter().rposition(|keys| meets(keys)) {
            Some(last) => self.finished() + u64::try_from(last).unwrap_or(0) + 1,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: &[&str]) -> Arc<[Key]> {
        ids.iter().map(|id| Key::new("t", *id).unwrap()).collect()
    }

    fn set(id: &str) -> Write {
        Write::Set(vec![(Key::new("t", id).unwrap(), None)])
    }

    #[test]
    fn a_write_waits_for_the_last_read_that_asks_for_its_key() {
        let mut unread = Unread::default();
        for ids in [&["a"][..], &["b", "c"], &["a"], &["d"]] {
            unread.add(keys(ids));
        }
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|id| unread.before(&set(id))),
            [3, 2, 2, 4, 0],
            "of the reads that were made"
        );
        assert_eq!(unread.before(&Write::Clear), 4);
        assert_eq!(unread.done(3), 3);
        assert_eq!(["a", "d"].map(|id| unread.before(&set(id))), [0, 4]);
        unread.add(keys(&["a"]));
        assert_eq!(unread.before(&set("a")), 5);
        assert_eq!(unread.drop_all(), 5);
        assert_eq!(unread.before(&Write::Clear), 0);
    }

    #[test]
    fn keys_that_are_too_many_to_compare_are_taken_to_meet() {
        let mut unread = Unread::default();
        let many: Vec<String> = (0..MANY).map(|n| n.to_string()).collect();
        unread.add(many.iter().map(|id| Key::new("t", id).unwrap()).collect());
        assert_eq!(unread.before(&set("x")), 0);
        let two = Write::Set(vec![(Key::new("t", "x").unwrap(), None), (Key::new("t", "y").unwrap(), None)]);
        assert_eq!(unread.before(&two), 1);
    }
}
