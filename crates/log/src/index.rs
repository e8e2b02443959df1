//! Which key stands where: the whole index is in memory, the values are in the file.
//!
//! A store may have 50,000 keys, and a process 1,000 stores, so an entry is small: 20 bytes in a hash table,
//! and its key and label back to back with those of all others in one buffer.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::error::Error;
use crate::format::{FRAME_HEADER_BYTES, length, offset};
use crate::frame::{self, Change, Span};
use crate::fs::{File, read_full};

/// How many bytes of names may be dead before they are worth a rewriting, beside half of all.
const DEAD_NAMES_BYTES: usize = 4 << 10;

/// A value and the flags that were stored with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// As they were given to [`Change::Put`].
    pub flags: u8,
    /// The value.
    pub bytes: Vec<u8>,
}

/// What is told of each key: itself, its label, and the size of its record in bytes.
pub type VisitSizes<'v> = dyn FnMut(&[u8], &[u8], u64) + 'v;

/// Where a record stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub offset: u64,
    pub length: usize,
}

impl Place {
    /// The place in the file of a record whose place in its frame is known.
    pub fn in_frame(frame: u64, span: Span) -> Place {
        Place { offset: frame.saturating_add(offset(span.start)), length: span.length }
    }

    /// Where it ends.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(offset(self.length))
    }
}

/// A number below 2^48, in six bytes: no file is that large.
#[derive(Clone, Copy)]
struct Short([u16; 3]);

impl Short {
    fn of(number: u64) -> Short {
        let part = |shift: u32| u16::try_from(number >> shift & 0xffff).unwrap_or_default();
        Short([part(0), part(16), part(32)])
    }

    fn get(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        high << 32 | middle << 16 | low
    }
}

/// A key that is there.
struct Entry {
    offset: Short,
    /// Where key and label stand in the names.
    name: Short,
    /// A record is shorter than 4 GiB: its frame is.
    length: u32,
    /// Half of the key's hash: enough to find it, and to grow the table without reading the names.
    hash: u32,
}

impl Entry {
    fn place(&self) -> Place {
        Place { offset: self.offset.get(), length: length(self.length.into()) }
    }
}

/// The table takes its place from the low bits, and seven bits of a check from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) * 0x1_0000_0001
}

/// Keys and labels back to back, each behind its length.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    dead: usize,
}

impl Names {
    fn add(&mut self, key: &[u8], label: &[u8]) -> Short {
        let at = Short::of(offset(self.bytes.len()));
        for part in [key, label] {
            let mut rest = part.len();
            while rest >= 0x80 {
                self.bytes.push(u8::try_from(rest & 0x7f).unwrap_or_default() + 0x80);
                rest >>= 7;
            }
            self.bytes.push(u8::try_from(rest).unwrap_or_default());
            self.bytes.extend_from_slice(part);
        }
        at
    }

    fn get(&self, at: Short) -> (&[u8], &[u8]) {
        let (key, behind) = self.part(length(at.get()));
        let (label, _) = self.part(behind);
        (key, label)
    }

    /// One part, and where the next one begins.
    fn part(&self, mut at: usize) -> (&[u8], usize) {
        let (mut count, mut shift) = (0usize, 0);
        while let Some(byte) = self.bytes.get(at) {
            count |= usize::from(byte & 0x7f) << shift;
            (at, shift) = (at + 1, shift + 7);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let end = at.saturating_add(count);
        (self.bytes.get(at..end).unwrap_or_default(), end)
    }

    /// The name at this place is not used any more.
    fn forget(&mut self, at: Short) {
        let at = length(at.get());
        let (_, label) = self.part(at);
        let (_, end) = self.part(label);
        self.dead = self.dead.saturating_add(end.saturating_sub(at));
    }
}

/// The keys that are there.
#[derive(Default)]
pub(crate) struct Index {
    table: HashTable<Entry>,
    names: Names,
    /// The bytes of the records that count.
    live_bytes: u64,
    /// Seeded from the operating system: who chooses keys cannot choose where they collide.
    hasher: RandomState,
}

impl Index {
    fn hash(&self, key: &[u8]) -> u32 {
        u32::try_from(self.hasher.hash_one(key) >> 32).unwrap_or_default()
    }

    fn entry(&self, key: &[u8]) -> Option<&Entry> {
        let hash = self.hash(key);
        self.table.find(spread(hash), |entry| entry.hash == hash && self.names.get(entry.name).0 == key)
    }

    /// What a change does once it is written.
    pub fn apply(&mut self, change: &Change<'_>, place: Place) {
        match *change {
            Change::Put { key, label, .. } => self.put(key, label, place),
            Change::Delete { key } => self.delete(key),
            Change::Clear => {
                self.table = HashTable::new();
                self.names = Names::default();
                self.live_bytes = 0;
            }
        }
    }

    fn put(&mut self, key: &[u8], label: &[u8], place: Place) {
        let hash = self.hash(key);
        let size = u32::try_from(place.length).unwrap_or(u32::MAX);
        self.live_bytes = self.live_bytes.saturating_add(size.into());
        let names = &mut self.names;
        let same = |entry: &Entry| entry.hash == hash && names.get(entry.name).0 == key;
        if let Some(entry) = self.table.find_mut(spread(hash), same) {
            self.live_bytes = self.live_bytes.saturating_sub(entry.length.into());
            (entry.offset, entry.length) = (Short::of(place.offset), size);
            if names.get(entry.name).1 != label {
                names.forget(entry.name);
                entry.name = names.add(key, label);
                self.tidy();
            }
            return;
        }
        let name = names.add(key, label);
        let entry = Entry { offset: Short::of(place.offset), name, length: size, hash };
        self.table.insert_unique(spread(hash), entry, |entry| spread(entry.hash));
    }

    fn delete(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        let names = &self.names;
        let same = |entry: &Entry| entry.hash == hash && names.get(entry.name).0 == key;
        let Ok(found) = self.table.find_entry(spread(hash), same) else { return };
        let (entry, _) = found.remove();
        self.live_bytes = self.live_bytes.saturating_sub(entry.length.into());
        self.names.forget(entry.name);
        self.tidy();
    }

    /// A part of all is in it, and the rest is likely to be like that: makes room for it at once, where growing would
    /// leave holes in memory.
    pub fn expect(&mut self, part: u64, all: u64) {
        let rest =
            |count: usize| length(offset(count).saturating_mul(all.saturating_sub(part)) / part.max(1));
        // A guess: where it cannot be had it grows all the same.
        let _ = self.table.try_reserve(rest(self.table.len()), |entry| spread(entry.hash));
        let _ = self.names.bytes.try_reserve(rest(self.names.bytes.len()));
    }

    /// Gives back what it may still grow into. A store is mostly read from: what is in it stays.
    pub fn settle(&mut self) {
        self.names.bytes.shrink_to_fit();
        self.table.shrink_to_fit(|entry| spread(entry.hash));
    }

    /// Keeps memory near what the keys that are there need, however many came and went.
    fn tidy(&mut self) {
        if self.names.dead < DEAD_NAMES_BYTES || self.names.dead < self.names.bytes.len() / 2 {
            return;
        }
        let mut names = Names::default();
        names.bytes.reserve(self.names.bytes.len().saturating_sub(self.names.dead));
        for entry in &mut self.table {
            let (key, label) = self.names.get(entry.name);
            entry.name = names.add(key, label);
        }
        self.names = names;
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to_fit(|entry| spread(entry.hash));
        }
    }

    /// Applies every record of a frame that is in the file.
    ///
    /// # Errors
    /// `Corrupt` when the payload does not parse: the frame's checksum was right, so no crash did that.
    pub fn apply_frame(&mut self, name: &str, frame: u64, payload: &[u8]) -> Result<(), Error> {
        let start = frame.saturating_add(offset(FRAME_HEADER_BYTES));
        for record in frame::records(payload) {
            let (change, span) = record.ok_or_else(|| Error::corrupt(name, frame, frame::NOT_RECORDS))?;
            self.apply(&change, Place::in_frame(start, span));
        }
        Ok(())
    }

    pub fn place(&self, key: &[u8]) -> Option<Place> {
        self.entry(key).map(Entry::place)
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The bytes of the records that count.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.for_each_size(&mut |key, label, _| visit(key, label));
    }

    /// Keys, labels and the sizes of the records, in bytes.
    pub fn for_each_size(&self, visit: &mut VisitSizes<'_>) {
        for entry in &self.table {
            let (key, label) = self.names.get(entry.name);
            visit(key, label, entry.length.into());
        }
    }

    /// The first `most` places within a part of the file, in the order of the file. What is held for it is
    /// bounded by `most`, and one pass over the index is quick.
    pub fn places(&self, part: std::ops::Range<u64>, most: usize) -> Vec<Place> {
        let mut places = Vec::new();
        for entry in &self.table {
            if part.contains(&entry.offset.get()) {
                places.push(entry.place());
                if places.len() >= most.saturating_mul(2) {
                    places.select_nth_unstable(most);
                    places.truncate(most);
                }
            }
        }
        places.sort_unstable();
        places.truncate(most);
        places
    }

    /// Those of these changes that change something, in order.
    pub fn effective<'c, 'a>(&self, changes: &'c [Change<'a>]) -> Cow<'c, [Change<'a>]> {
        if changes.iter().all(|change| matches!(change, Change::Put { .. })) {
            return Cow::Borrowed(changes);
        }
        // What the changes before this one made of the index.
        let mut count = self.len();
        let mut cleared = false;
        let mut touched: HashMap<&[u8], bool> = HashMap::new();
        let mut effective = Vec::with_capacity(changes.len());
        for change in changes {
            let there = |key: &[u8], touched: &HashMap<&[u8], bool>| match touched.get(key) {
                Some(there) => *there,
                None => !cleared && self.entry(key).is_some(),
            };
            match *change {
                Change::Put { key, .. } => {
                    count += usize::from(!there(key, &touched));
                    touched.insert(key, true);
                }
                Change::Delete { key } if there(key, &touched) => {
                    count -= 1;
                    touched.insert(key, false);
                }
                Change::Clear if count > 0 => {
                    touched.clear();
                    (count, cleared) = (0, true);
                }
                Change::Delete { .. } | Change::Clear => continue,
            }
            effective.push(*change);
        }
        Cow::Owned(effective)
    }
}

/// Reads the value of a key from its place, and proves that it is that key's.
///
/// # Errors
/// `Corrupt` with the record's offset, `Io`.
pub(crate) fn read_value(file: &dyn File, name: &str, key: &[u8], place: Place) -> Result<Value, Error> {
    let mut bytes = vec![0; place.length];
    let read = read_full(file, &mut bytes, place.offset).map_err(|e| Error::io("reading", name, e))?;
    if read < place.length {
        return Err(Error::corrupt(name, place.offset, "the file ends inside the record"));
    }
    value_of(bytes, key).map_err(|detail| Error::corrupt(name, place.offset, detail))
}

/// The value in the bytes of a key's record, whose memory it keeps.
pub(crate) fn value_of(mut bytes: Vec<u8>, key: &[u8]) -> Result<Value, &'static str> {
    let (flags, start, end) = match frame::record(&bytes) {
        Some(Change::Put { key: found, flags, value, .. }) if found == key => {
            let start = value.as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
            (flags, start, start.saturating_add(value.len()))
        }
        Some(_) => return Err("another record stands there"),
        None => return Err("the record is damaged"),
    };
    bytes.truncate(end);
    bytes.drain(..start.min(end));
    Ok(Value { flags, bytes })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PLACE: Place = Place { offset: 0, length: 0 };

    fn put(key: &[u8]) -> Change<'_> {
        Change::Put { key, label: b"", flags: 0, value: b"" }
    }

    #[test]
    fn an_entry_is_small_and_knows_every_place() {
        assert_eq!(size_of::<Entry>(), 20);
        for number in [0, 1, 0xffff, 0x1_0000, 0x1234_5678_9abc, 0xffff_ffff_ffff] {
            assert_eq!(Short::of(number).get(), number);
        }
    }

    #[test]
    fn a_change_without_effect_is_left_out() {
        let mut index = Index::default();
        let effective = |index: &Index, changes: &[Change<'static>]| index.effective(changes).into_owned();
        assert_eq!(effective(&index, &[Change::Delete { key: b"a" }, Change::Clear]), []);
        index.apply(&put(b"a"), PLACE);
        let delete = Change::Delete { key: b"a" };
        assert_eq!(effective(&index, &[delete, delete, Change::Clear]), [delete]);
        assert_eq!(effective(&index, &[delete, put(b"a"), delete]), [delete, put(b"a"), delete]);
        assert_eq!(effective(&index, &[put(b"b"), Change::Clear, delete]), [put(b"b"), Change::Clear]);
        assert_eq!(effective(&index, &[Change::Clear, Change::Clear, put(b"c")]), [Change::Clear, put(b"c")]);
        assert_eq!(effective(&index, &[Change::Clear, delete]), [Change::Clear]);
    }

    #[test]
    fn what_a_clear_clears_need_not_be_there_before() {
        let index = Index::default();
        let changes =
            [put(b"b"), Change::Clear, put(b"c"), Change::Delete { key: b"b" }, Change::Clear, Change::Clear];
        let effective = [put(b"b"), Change::Clear, put(b"c"), Change::Clear];
        assert_eq!(*index.effective(&changes), effective);
    }

    /// So many keys that some have the same hash of 32 bits, whatever its seed.
    #[test]
    fn keys_with_the_same_hash_are_told_apart() {
        assert_eq!((spread(0), spread(3), spread(u32::MAX)), (0, 0x3_0000_0003, u64::MAX));
        let mut index = Index::default();
        let place = |number: u32| Place { offset: number.into(), length: 1 };
        for number in 0..500_000u32 {
            index.apply(&put(&number.to_le_bytes()), place(number));
        }
        assert_eq!(index.len(), 500_000);
        for number in (0..500_000u32).step_by(2) {
            index.apply(&Change::Delete { key: &number.to_le_bytes() }, PLACE);
        }
        for number in 0..500_000u32 {
            assert_eq!(index.place(&number.to_le_bytes()), (number % 2 == 1).then(|| place(number)));
        }
    }

    #[test]
    fn names_are_tidied_when_half_of_them_is_dead_and_not_for_a_few_and_the_table_shrinks() {
        let mut index = Index::default();
        let key = |number: u32| [&number.to_le_bytes()[..], &[0; 94]].concat();
        (0..10_000).for_each(|number| index.apply(&put(&key(number)), PLACE));
        let (full, capacity) = (index.names.bytes.len(), index.table.capacity());
        assert_eq!(full, 10_000 * 100, "a length before each part");
        let delete = |index: &mut Index, number| index.apply(&Change::Delete { key: &key(number) }, PLACE);
        (0..4_999).for_each(|number| delete(&mut index, number));
        assert_eq!((index.names.bytes.len(), index.names.dead), (full, 499_900));
        delete(&mut index, 4_999);
        assert_eq!((index.names.bytes.len(), index.names.dead), (full / 2, 0));
        assert!(index.table.capacity() > capacity / 4 * 3, "more than a quarter of it is used");
        (5_000..9_990).for_each(|number| delete(&mut index, number));
        assert!(index.table.capacity() < capacity / 8 && index.names.bytes.len() < 2 * DEAD_NAMES_BYTES);
        let dead = index.names.dead;
        assert!(dead < DEAD_NAMES_BYTES);
        let mut few = Index::default();
        few.apply(&put(b"a"), PLACE);
        delete(&mut few, 0);
        few.apply(&Change::Delete { key: b"a" }, PLACE);
        assert_eq!((few.names.dead, DEAD_NAMES_BYTES), (3, 4096), "not worth it");
    }

    #[test]
    fn room_is_made_for_what_is_expected_and_given_back() {
        let mut index = Index::default();
        (0..1_000u32).for_each(|number| index.apply(&put(&number.to_le_bytes()), PLACE));
        let names = index.names.bytes.len();
        let room = |index: &Index| (index.table.capacity(), index.names.bytes.capacity());
        index.expect(10, 100);
        let (keys, bytes) = room(&index);
        assert!(
            (10_000..20_000).contains(&keys) && (names * 10..names * 20).contains(&bytes),
            "{keys}, {bytes}"
        );
        index.settle();
        assert!(room(&index).0 < 2_000 && room(&index).1 == names);
        let before = room(&index);
        [(100, 100), (100, 7), (0, 0)].into_iter().for_each(|(part, all)| index.expect(part, all));
        assert_eq!(room(&index), before);
        index.expect(1, u64::MAX);
        assert_eq!(room(&index), before, "more than there can be is not asked for");
        assert_eq!(index.place(&7u32.to_le_bytes()), Some(PLACE));
    }

    #[test]
    fn it_is_a_map_whatever_comes_and_goes_and_its_memory_stays_bounded() {
        let mut index = Index::default();
        let mut map = BTreeMap::new();
        for round in 0u64..30_000 {
            let mixed = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let key = vec![b'k'; usize::try_from(mixed % 300).unwrap()];
            let place = Place { offset: round, length: usize::try_from(mixed % 1000).unwrap() };
            if mixed % 7 == 0 {
                index.apply(&Change::Delete { key: &key }, PLACE);
                map.remove(&key);
            } else {
                let label = (mixed % 5).to_le_bytes();
                index.apply(&Change::Put { key: &key, label: &label, flags: 0, value: b"" }, place);
                map.insert(key.clone(), (label, place));
            }
            assert_eq!(index.place(&key), map.get(&key).map(|(_, place)| *place));
        }
        assert_eq!(index.len(), map.len());
        let live: usize = map.values().map(|(_, place)| place.length).sum();
        assert_eq!(index.live_bytes(), offset(live));
        index.for_each(&mut |key, label| assert_eq!(map[key].0, *label));
        assert!(index.names.bytes.len() < 300 * 300 * 2 + 2 * DEAD_NAMES_BYTES);
        let mut places: Vec<Place> = map.values().map(|(_, place)| *place).collect();
        places.sort();
        assert_eq!(index.places(0..u64::MAX, 10_000), places);
        assert_eq!(index.places(places[40].offset..places[90].offset, 7), places[40..47]);
        index.apply(&Change::Clear, PLACE);
        assert_eq!((index.len(), index.live_bytes()), (0, 0));
    }
}
