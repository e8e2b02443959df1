//! Texts on their way across the boundary, where another form of one is faster to make a value of, or to make of one.
//! `lib/transport.js` is the other half. White space before a text says which form it has: JSON texts that V8 writes have
//! none there, and a stored text that has some is revived, which is right for any.

mod app_state;
mod cursor;

use auth_core::error::Result;
use auth_core::value::Value;
use bytes::Bytes;

/// Read: something in it is to be revived.
const TO_REVIVE: char = ' ';
/// [`app_state`].
const MACS_APART: char = '\t';
/// Between the parts of a text in another form that is read: no JSON text has one in it.
const PART_READ: char = '\0';
/// Of one that is written, where that stands between fields: V8 writes none.
const PART_WRITTEN: char = '\n';

/// A text of this type that is read, as it crosses.
pub fn read(key_type: &str, Value { text, plain }: Value) -> String {
    let text = as_stored(text);
    if key_type == "app-state-sync-version"
        && let Some(apart) = app_state::apart(&text, PART_READ)
    {
        return marked(MACS_APART, &apart);
    }
    if plain && !text.starts_with([TO_REVIVE, MACS_APART]) { text } else { marked(TO_REVIVE, &text) }
}

/// The text alone. Invalid UTF-8 reads as U+FFFD, as in Node.
pub fn as_stored(text: Bytes) -> String {
    String::from_utf8(text.into())
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The text that is written, of one that crosses in another form.
///
/// # Errors
/// `Failed` for what `lib/` would not make.
pub fn written(crossing: &str) -> Option<Result<String>> {
    crossing.strip_prefix(MACS_APART).map(|parts| app_state::together(parts, PART_WRITTEN))
}

fn marked(mark: char, text: &str) -> String {
    let mut marked = String::with_capacity(text.len() + 1);
    marked.push(mark);
    marked.push_str(text);
    marked
}
