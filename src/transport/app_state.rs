//! App-state versions, with their thousands of MACs beside the text, in one string of base64: V8 makes no two objects for
//! each then, nor strings.

use auth_core::error::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cursor::Cursor;

/// Of an HMAC-SHA256, in bytes.
const MAC: usize = 32;
const MAC_BASE64: usize = 44;
/// So many MACs have their memory together in JavaScript, as small Buffers do in Node's own pool.
const TOGETHER: usize = 256;
const MAP: &[u8] = b"indexValueMap";
const BEFORE: &str = "{\"valueMac\":{\"type\":\"Buffer\",\"data\":\"";
const BEHIND: &str = "\"}}";

/// For reading: the text with a number in the place of each value of `indexValueMap`, `between`, and the MACs in the order of
/// these numbers, [`TOGETHER`] of them after each other. `None` for what is not as Baileys writes it.
pub fn apart(text: &str, between: char) -> Option<String> {
    let mut cursor = Cursor::new(text.as_bytes());
    let mut out = String::with_capacity(text.len());
    let (mut macs, mut copied) = (Vec::new(), 0);
    cursor.pass(b"{")?;
    loop {
        let key = cursor.key()?;
        if key.contains(&b'\\') {
            return None;
        }
        if key != MAP {
            cursor.skip_value()?;
        } else if macs.is_empty() {
            cursor.pass(b"{")?;
            loop {
                cursor.key()?;
                out.push_str(text.get(copied..cursor.at())?);
                push_number(&mut out, macs.len() / MAC);
                mac(&mut cursor, &mut macs)?;
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
    for block in macs.chunks(TOGETHER * MAC) {
        STANDARD.encode_string(block, &mut out);
    }
    Some(out)
}

/// Passes the value of a key, and takes its bytes.
fn mac(cursor: &mut Cursor<'_>, macs: &mut Vec<u8>) -> Option<()> {
    cursor.pass(BEFORE.as_bytes())?;
    let base64 = cursor.take(MAC_BASE64)?;
    cursor.pass(BEHIND.as_bytes())?;
    let start = macs.len();
    macs.resize(start + MAC_BASE64 / 4 * 3, 0);
    let length = STANDARD.decode_slice(base64, macs.get_mut(start..)?).ok()?;
    macs.truncate(start + length);
    (length == MAC).then_some(())
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
    let (before, keys, behind, macs) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let macs = STANDARD.decode(macs).ok()?;
    let count = macs.len() / MAC;
    let mut text = String::with_capacity(
        before.len() + behind.len() + keys.len() + count * (BEFORE.len() + MAC_BASE64 + BEHIND.len() + 1),
    );
    text.push_str(before);
    let mut cursor = Cursor::new(keys.as_bytes());
    cursor.pass(b"[")?;
    for mac in macs.chunks(MAC) {
        let start = cursor.at();
        cursor.string()?;
        text.push_str(keys.get(start..cursor.at())?);
        text.push(':');
        text.push_str(BEFORE);
        STANDARD.encode_string(mac, &mut text);
        text.push_str(BEHIND);
        if cursor.next()? == b',' {
            text.push(',');
        }
    }
    text.push_str(behind);
    (count * MAC == macs.len() && cursor.is_at_end()).then_some(text)
}
