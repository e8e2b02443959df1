//! App-state versions, with their thousands of MACs beside the text, in one string of base64: V8 makes no two objects for
//! each then, nor strings.
//!
//! A MAC has 32 bytes, in base64 43 characters and `=`. With another `A` in its place they are those of 33 bytes, the last
//! one of no meaning, and can stand in a row: nothing is decoded here.

use auth_core::error::{Error, Result};

use super::cursor::Cursor;

/// Characters of a MAC, without its `=`.
const CHARACTERS: usize = 43;
const IN_A_ROW: char = 'A';
const MAP: &[u8] = b"indexValueMap";
const BEFORE: &str = "{\"valueMac\":{\"type\":\"Buffer\",\"data\":\"";
const BEHIND: &str = "=\"}}";

/// For reading: the text with a number in the place of each value of `indexValueMap`, `between`, and the MACs in the order of
/// these numbers. `None` for what is not as Baileys writes it.
pub fn apart(text: &str, between: char) -> Option<String> {
    let mut cursor = Cursor::new(text);
    let mut out = String::with_capacity(text.len());
    let (mut macs, mut copied) = (String::new(), 0);
    cursor.pass("{")?;
    loop {
        let key = cursor.key()?;
        if key.contains(&b'\\') {
            return None;
        }
        if key != MAP {
            cursor.skip_value()?;
        } else if macs.is_empty() {
            cursor.pass("{")?;
            for number in 0_usize.. {
                cursor.key()?;
                out.push_str(text.get(copied..cursor.at())?);
                push_number(&mut out, number);
                cursor.pass(BEFORE)?;
                macs.push_str(base64(cursor.take(CHARACTERS)?)?);
                macs.push(IN_A_ROW);
                cursor.pass(BEHIND)?;
                copied = cursor.at();
                if cursor.next()? == b'}' {
                    break;
                }
            }
        } else {
            return None;
        }
        if cursor.next()? == b'}' {
            break;
        }
    }
    if macs.is_empty() || !cursor.is_at_end() {
        return None;
    }
    out.push_str(text.get(copied..)?);
    out.push(between);
    out.push_str(&macs);
    Some(out)
}

/// Node's decoder passes over other characters, and takes those of URLs too.
fn base64(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')).then_some(text)
}

fn push_number(out: &mut String, number: usize) {
    use std::fmt::Write as _;
    // Writing to a string does not fail.
    let _ = write!(out, "{number}");
}

/// For writing: the text, of what is before and behind the entries of its map, a JSON list of their keys, and their MACs.
///
/// # Errors
/// `Failed` where those do not fit together.
pub fn together(crossing: &str, between: char) -> Result<String> {
    joined(crossing, between)
        .ok_or_else(|| Error::internal("an app state whose keys and MACs do not fit together"))
}

fn joined(crossing: &str, between: char) -> Option<String> {
    let mut parts = crossing.split(between);
    let (before, keys, behind) = (parts.next()?, parts.next()?, parts.next()?);
    let mut macs = Cursor::new(parts.next()?);
    let count = macs.text().len() / (CHARACTERS + 1);
    let entry = BEFORE.len() + CHARACTERS + BEHIND.len() + 1;
    let mut text = String::with_capacity(before.len() + keys.len() + count * entry + behind.len());
    text.push_str(before);
    let mut keys = Cursor::new(keys);
    keys.pass("[")?;
    loop {
        let start = keys.at();
        keys.string()?;
        text.push_str(keys.text().get(start..keys.at())?);
        text.push(':');
        text.push_str(BEFORE);
        text.push_str(macs.take(CHARACTERS)?);
        macs.next()?;
        text.push_str(BEHIND);
        if keys.next()? != b',' {
            break;
        }
        text.push(',');
    }
    text.push_str(behind);
    (keys.is_at_end() && macs.is_at_end()).then_some(text)
}
