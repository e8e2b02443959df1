//! Keys and values on their way across the boundary. A call with one long string takes a fraction of the time of one with
//! many, so what is written crosses as one: joined by NULs, which no JSON text has in it, nor any key that can be stored
//! (`lib/keys.js` sees to that). Texts that are read are long already, and cross one by one.

use auth_core::error::{Error, Result};
use auth_core::keys::Key;
use auth_core::store::Handle;
use auth_core::value::Value;
use bytes::Bytes;
use napi::bindgen_prelude::Either3;

use crate::transport;

const BETWEEN: char = '\0';

/// What was read: the text of the only id, or those of all in their order; `null` for what is missing.
pub type Texts = Either3<String, (), Vec<Option<String>>>;

/// The ids that a `get` asks for.
pub struct Asked {
    key_type: String,
    /// What cannot be stored is missing.
    storable: Vec<bool>,
    /// The texts alone, for who does not make values of them.
    as_stored: bool,
}

impl Asked {
    /// The keys of a type by their ids, joined by NULs; without those that cannot be stored.
    pub fn keys(handle: &Handle, key_type: &str, ids: Option<&str>, as_stored: bool) -> (Self, Vec<Key>) {
        let ids: Vec<&str> = ids.into_iter().flat_map(|ids| ids.split(BETWEEN)).collect();
        Self::these(handle, key_type, &ids, as_stored)
    }

    /// The same, so many at a time.
    pub fn parts(handle: &Handle, key_type: &str, ids: &str, part: u32) -> Vec<(Self, Vec<Key>)> {
        let ids: Vec<&str> = ids.split(BETWEEN).collect();
        let size = usize::try_from(part).unwrap_or(usize::MAX).max(1);
        ids.chunks(size).map(|ids| Self::these(handle, key_type, ids, false)).collect()
    }

    fn these(handle: &Handle, key_type: &str, ids: &[&str], as_stored: bool) -> (Self, Vec<Key>) {
        let keys: Vec<Option<Key>> = ids.iter().map(|id| handle.key(key_type, *id).ok()).collect();
        let storable = keys.iter().map(Option::is_some).collect();
        (Self { key_type: key_type.to_owned(), storable, as_stored }, keys.into_iter().flatten().collect())
    }

    /// Puts what was found where it was asked for.
    pub fn answer(&self, values: Vec<Option<Value>>) -> Texts {
        let mut values = values.into_iter();
        let mut text_of = |storable: &bool| {
            let value = if *storable { values.next().flatten() } else { None };
            value.map(|value| self.text(value))
        };
        match self.storable.as_slice() {
            [only] => text_of(only).map_or(Either3::B(()), Either3::A),
            all => Either3::C(all.iter().map(text_of).collect()),
        }
    }

    fn text(&self, value: Value) -> String {
        if self.as_stored { transport::as_stored(value.text) } else { transport::read(&self.key_type, value) }
    }
}

/// The changes that a `set` makes, whose fields are joined: of each key its type, its id and its text, empty to delete; the
/// texts as they are to be stored, or as they cross ([`transport`]).
///
/// # Errors
/// `InvalidArg` for a key that cannot be stored.
pub fn changes_of(handle: &Handle, fields: String, as_stored: bool) -> Result<Vec<(Key, Option<Value>)>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    // Of all values there is this one copy.
    let shared = Bytes::from(fields);
    let all = std::str::from_utf8(&shared).map_err(|_| Error::internal("a string that is none"))?;
    let mut fields = all.split(BETWEEN);
    let mut changes = Vec::new();
    while let (Some(key_type), Some(id), Some(text)) = (fields.next(), fields.next(), fields.next()) {
        let written = if as_stored { None } else { transport::written(text) };
        let text = match written {
            Some(written) => Bytes::from(written?),
            None => shared.slice_ref(text.as_bytes()),
        };
        let value = (!text.is_empty()).then_some(Value { text, plain: false });
        changes.push((handle.key(key_type, id)?, value));
    }
    Ok(changes)
}
