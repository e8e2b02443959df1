//! Writes that were made and are not in the backend yet: a `get` sees them.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::backend::Write;
use crate::keys::Key;
use crate::value::Value;

/// The place of a write in the order of all writes of a store.
pub type Sequence = u64;

/// Where the newest value of a key stands: nothing of the write is copied.
struct Place {
    hash: u64,
    sequence: Sequence,
    write: Arc<Write>,
    at: usize,
}

impl Place {
    fn change(&self) -> Option<&(Key, Option<Value>)> {
        match &*self.write {
            Write::Set(changes) => changes.get(self.at),
            Write::Clear => None,
        }
    }

    fn is_of(&self, key: &Key) -> bool {
        self.change().is_some_and(|(own, _)| own.stem == key.stem)
    }
}

/// The values that are on their way, the newest a key.
#[derive(Default)]
pub struct Pending {
    made: Sequence,
    hasher: RandomState,
    newest: HashTable<Place>,
    cleared: Option<Sequence>,
}

impl Pending {
    /// Takes note of a write as it is made.
    pub fn add(&mut self, write: &Arc<Write>) -> Sequence {
        self.made += 1;
        match &**write {
            Write::Set(changes) => {
                for (at, (key, _)) in changes.iter().enumerate() {
                    let hash = self.hasher.hash_one(&key.stem);
                    let place = Place { hash, sequence: self.made, write: write.clone(), at };
                    match self.newest.entry(hash, |other| other.is_of(key), |other| other.hash) {
                        Entry::Occupied(mut older) => *older.get_mut() = place,
                        Entry::Vacant(vacant) => drop(vacant.insert(place)),
                    }
                }
            }
            Write::Clear => {
                self.newest.clear();
                self.cleared = Some(self.made);
            }
        }
        self.made
    }

    /// What a key is going to be, `Some(None)` for missing; `None` when the backend has to be asked.
    pub fn get(&self, key: &Key) -> Option<Option<Value>> {
        // Mostly there is nothing on its way, and nothing to be hashed.
        let place = match self.newest.is_empty() {
            true => None,
            false => self.newest.find(self.hasher.hash_one(&key.stem), |place| place.is_of(key)),
        };
        match place.and_then(Place::change) {
            Some((_, value)) => Some(value.clone()),
            None => self.cleared.map(|_| None),
        }
    }

    /// Forgets a write that is in the backend, or has failed.
    pub fn settle(&mut self, sequence: Sequence, write: &Write) {
        match write {
            Write::Set(changes) => {
                for (key, _) in changes {
                    let hash = self.hasher.hash_one(&key.stem);
                    let own = |place: &Place| place.sequence == sequence && place.is_of(key);
                    if let Ok(place) = self.newest.find_entry(hash, own) {
                        place.remove();
                    }
                }
            }
            Write::Clear => {
                self.cleared = self.cleared.filter(|newest| *newest != sequence);
            }
        }
    }
}

/// Writes that are handed to the operating system and not on disk yet: their values stay pending.
#[derive(Default)]
pub struct Unsynced {
    writes: Vec<(Sequence, Arc<Write>)>,
    bytes: usize,
}

impl Unsynced {
    /// Adds a write that was acknowledged.
    pub fn push(&mut self, sequence: Sequence, write: &Arc<Write>) {
        self.bytes += write.bytes();
        self.writes.push((sequence, write.clone()));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many bytes of values they have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// They are on disk.
    pub fn settle(&mut self, pending: &mut Pending) {
        for (sequence, write) in self.writes.drain(..) {
            pending.settle(sequence, &write);
        }
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<Value> {
        Some(Value { text: text.to_owned().into(), plain: false })
    }

    fn set(entries: &[(&str, &str)]) -> Arc<Write> {
        let changes = entries.iter().map(|(id, text)| (Key::new("t", *id).unwrap(), value(text)));
        Arc::new(Write::Set(changes.collect()))
    }

    #[test]
    fn the_newest_write_of_a_key_is_seen_until_it_is_settled() {
        let mut pending = Pending::default();
        let (a, b) = (set(&[("x", "1")]), set(&[("x", "2"), ("y", "3")]));
        let (first, second) = (pending.add(&a), pending.add(&b));
        let x = Key::new("t", "x").unwrap();
        pending.settle(first, &a);
        assert_eq!(pending.get(&x), Some(value("2")));
        pending.settle(second, &b);
        assert_eq!(pending.get(&x), None);
        assert!(pending.newest.is_empty());
    }

    #[test]
    fn a_clear_hides_everything_that_was_written_before_it() {
        let mut pending = Pending::default();
        let (a, b) = (set(&[("x", "1")]), set(&[("y", "2")]));
        let first = pending.add(&a);
        let clear = pending.add(&Arc::new(Write::Clear));
        let second = pending.add(&b);
        let (x, y) = (Key::new("t", "x").unwrap(), Key::new("t", "y").unwrap());
        assert_eq!((pending.get(&x), pending.get(&y)), (Some(None), Some(value("2"))));
        pending.settle(first, &a);
        assert_eq!(pending.get(&x), Some(None));
        pending.settle(clear, &Write::Clear);
        assert_eq!((pending.get(&x), pending.get(&y)), (None, Some(value("2"))));
        pending.settle(second, &b);
        assert!(pending.newest.is_empty());
    }
}
