//! Which key stands where: the whole index is in memory, the values are in the file.

use std::collections::HashMap;

use crate::error::Error;
use crate::format::{FRAME_HEADER_BYTES, offset};
use crate::frame::{self, Change, Span};
use crate::fs::{File, read_full};

/// A value and the flags that were stored with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// As they were given to [`Change::Put`].
    pub flags: u8,
    /// The value.
    pub bytes: Vec<u8>,
}

/// Where a record stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub offset: u64,
    pub length: usize,
}

impl Place {
    /// The place in the file of a record whose place in its frame is known.
    pub fn in_frame(frame: u64, span: Span) -> Place {
        Place { offset: frame.saturating_add(offset(span.start)), length: span.length }
    }
}

struct Entry {
    label: Box<[u8]>,
    place: Place,
}

/// The keys that are there.
#[derive(Default)]
pub(crate) struct Index {
    entries: HashMap<Box<[u8]>, Entry>,
}

impl Index {
    /// What a change does once it is written.
    pub fn apply(&mut self, change: &Change<'_>, place: Place) {
        match *change {
            Change::Put { key, label, .. } => match self.entries.get_mut(key) {
                Some(entry) => {
                    entry.place = place;
                    if *entry.label != *label {
                        entry.label = label.into();
                    }
                }
                None => {
                    self.entries.insert(key.into(), Entry { label: label.into(), place });
                }
            },
            Change::Delete { key } => {
                self.entries.remove(key);
            }
            Change::Clear => self.entries.clear(),
        }
    }

    /// Applies every record of a frame that is in the file.
    ///
    /// # Errors
    /// `Corrupt` when the payload does not parse: the frame's checksum was right, so no crash did that.
    pub fn apply_frame(&mut self, name: &str, frame: u64, payload: &[u8]) -> Result<(), Error> {
        let start = frame.saturating_add(offset(FRAME_HEADER_BYTES));
        for record in frame::records(payload) {
            let (change, span) = record
                .ok_or_else(|| Error::corrupt(name, frame, "the frame is whole, but its records are not"))?;
            self.apply(&change, Place::in_frame(start, span));
        }
        Ok(())
    }

    pub fn place(&self, key: &[u8]) -> Option<Place> {
        self.entries.get(key).map(|entry| entry.place)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (key, entry) in &self.entries {
            visit(key, &entry.label);
        }
    }

    /// Those of these changes that change something, in order.
    pub fn effective<'a>(&self, changes: &[Change<'a>]) -> Vec<Change<'a>> {
        if changes.iter().all(|change| matches!(change, Change::Put { .. })) {
            return changes.to_vec();
        }
        // What the changes before this one made of the index.
        let mut count = self.len();
        let mut cleared = false;
        let mut touched: HashMap<&[u8], bool> = HashMap::new();
        let mut effective = Vec::with_capacity(changes.len());
        for change in changes {
            let there = |key: &[u8], touched: &HashMap<&[u8], bool>| match touched.get(key) {
                Some(there) => *there,
                None => !cleared && self.entries.contains_key(key),
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
        effective
    }
}

/// Reads the value of a key from its place, and proves that it is that key's.
///
/// # Errors
/// `Corrupt` with the record's offset, `Io`.
pub(crate) fn read_value(file: &dyn File, name: &str, key: &[u8], place: Place) -> Result<Value, Error> {
    let mut bytes = vec![0; place.length];
    let read = read_full(file, &mut bytes, place.offset).map_err(|e| Error::io("reading", name, e))?;
    let record = bytes.get(..read).filter(|bytes| bytes.len() == place.length).and_then(frame::record);
    match record {
        Some(Change::Put { key: found, flags, value, .. }) if found == key => {
            Ok(Value { flags, bytes: value.to_vec() })
        }
        Some(_) => Err(Error::corrupt(name, place.offset, "another record stands there")),
        None => Err(Error::corrupt(name, place.offset, "the record is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { offset: 0, length: 0 };

    fn put(key: &[u8]) -> Change<'_> {
        Change::Put { key, label: b"", flags: 0, value: b"" }
    }

    #[test]
    fn a_change_without_effect_is_left_out() {
        let mut index = Index::default();
        assert_eq!(index.effective(&[Change::Delete { key: b"a" }, Change::Clear]), []);
        index.apply(&put(b"a"), PLACE);
        let delete = Change::Delete { key: b"a" };
        assert_eq!(index.effective(&[delete, delete, Change::Clear]), [delete]);
        assert_eq!(index.effective(&[delete, put(b"a"), delete]), [delete, put(b"a"), delete]);
        assert_eq!(index.effective(&[put(b"b"), Change::Clear, delete]), [put(b"b"), Change::Clear]);
        assert_eq!(index.effective(&[Change::Clear, Change::Clear, put(b"c")]), [Change::Clear, put(b"c")]);
        assert_eq!(index.effective(&[Change::Clear, delete]), [Change::Clear]);
    }
}
