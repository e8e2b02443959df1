//! Keys and values on their way across the boundary. A call with one long string takes a fraction of the time of one with
//! many, so what is written crosses as one: joined by NULs, which no JSON text has in it, nor any key that can be stored
//! (`lib/keys.js` sees to that). Texts that are read are long already, and cross one by one.

use auth_core::error::{Error, Result};
use auth_core::keys::Key;
use auth_core::store::Handle;
use auth_core::value::Value;
use bytes::Bytes;
use napi::bindgen_prelude::Either3;

const BETWEEN: char = '\0';
/// White space before a text says that something in it is to be revived. A plain text may have some of its own: then
/// nothing is found.
const TO_REVIVE: char = ' ';

/// What was read: the text of the only id, or those of all in their order; `null` for what is missing.
pub type Texts = Either3<String, (), Vec<Option<String>>>;

/// The ids that a `get` asks for.
pub struct Asked {
    /// What cannot be stored is missing.
    storable: Vec<bool>,
}

impl Asked {
    /// The keys of a type by their ids, without those that cannot be stored.
    pub fn keys(handle: &Handle, key_type: &str, ids: Option<&str>) -> (Self, Vec<Key>) {
        let ids = ids.into_iter().flat_map(|ids| ids.split(BETWEEN));
        let keys: Vec<Option<Key>> = ids.map(|id| handle.key(key_type, id).ok()).collect();
        let storable = keys.iter().map(Option::is_some).collect();
        (Self { storable }, keys.into_iter().flatten().collect())
    }

    /// Puts what was found where it was asked for.
    pub fn answer(&self, values: Vec<Option<Value>>) -> Texts {
        let mut values = values.into_iter();
        let mut text_of = |storable: &bool| {
            let value = if *storable { values.next().flatten() } else { None };
            value.map(text)
        };
        match self.storable.as_slice() {
            [only] => text_of(only).map_or(Either3::B(()), Either3::A),
            all => Either3::C(all.iter().map(text_of).collect()),
        }
    }
}

fn text(Value { text, plain }: Value) -> String {
    let mut text = match String::from_utf8(text.into()) {
        Ok(text) => text,
        // Invalid UTF-8 reads as U+FFFD, as in Node.
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    if !plain {
        text.insert(0, TO_REVIVE);
    }
    text
}

/// The changes that a `set` makes, whose fields are joined: of each key its type, its id and its text, empty to delete.
///
/// # Errors
/// `InvalidArg` for a key that cannot be stored.
pub fn changes_of(handle: &Handle, fields: String) -> Result<Vec<(Key, Option<Value>)>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    // Of all values there is this one copy.
    let shared = Bytes::from(fields);
    let all = std::str::from_utf8(&shared).map_err(|_| Error::internal("a string that is none"))?;
    let mut fields = all.split(BETWEEN);
    let mut changes = Vec::new();
    while let (Some(key_type), Some(id), Some(text)) = (fields.next(), fields.next(), fields.next()) {
        let value =
            (!text.is_empty()).then(|| Value { text: shared.slice_ref(text.as_bytes()), plain: false });
        changes.push((handle.key(key_type, id)?, value));
    }
    Ok(changes)
}
