//! Values: JSON text that V8 writes and parses. Rust carries its bytes and never rebuilds them; all it finds
//! out is whether the text is JSON, and whether it is *plain*.

use bytes::Bytes;
use memchr::memchr2;
use serde::de::IgnoredAny;

/// Nesting from which a text counts as not plain.
const MAX_PLAIN_DEPTH: usize = 100;

/// A stored value: its text, and whether `JSON.parse` alone reads it as `JSON.parse` with a reviver would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The JSON text, as it was written; it may be a part of a larger one.
    pub text: Bytes,
    /// Nothing in it that Baileys' reviver, or the forms of Baileys 6, would turn into a Buffer. `false` when
    /// in doubt or not looked at yet.
    pub plain: bool,
}

impl Value {
    /// A value that was read: its text is checked and looked through. `None` when it is not JSON.
    #[must_use]
    pub fn check(text: &[u8]) -> Option<Self> {
        is_json(text).then(|| Self { plain: is_plain(text), text: Bytes::copy_from_slice(text) })
    }
}

/// Whether V8 would parse this text. Invalid UTF-8 within a string is no fault (V8 sees U+FFFD), a byte order
/// mark is one. Does not recurse.
#[must_use]
pub fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// One array or object that the scan is in.
struct Level {
    object: bool,
    /// The next string is a key.
    expects_key: bool,
    /// All keys so far may be `!isNaN(parseInt(key, 10))`.
    integer_keys: bool,
    /// A value is a number. With integer keys alone the reviver may make a Buffer of the object; may, for of two equal
    /// keys the last counts.
    any_number: bool,
}

/// Whether nothing in this JSON text would be revived. It may say `false` of a text that is plain: a key
/// `type` or `buffer`, escapes in keys and deep nesting are not looked into.
#[must_use]
pub fn is_plain(text: &[u8]) -> bool {
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let Some((content, escaped, after)) = string_at(text, at) else { return false };
                at = after;
                let key_of = levels.last_mut().filter(|level| level.object && level.expects_key);
                if let Some(level) = key_of {
                    if escaped || content == b"type" || content == b"buffer" {
                        return false;
                    }
                    level.integer_keys &= may_be_integer(content);
                }
            }
            b'{' | b'[' => {
                if levels.len() >= MAX_PLAIN_DEPTH {
                    return false;
                }
                let object = *byte == b'{';
                levels.push(Level { object, expects_key: object, integer_keys: object, any_number: false });
            }
            b'}' | b']' => {
                let Some(level) = levels.pop() else { return false };
                if level.integer_keys && level.any_number {
                    return false;
                }
            }
            b':' | b',' => {
                if let Some(level) = levels.last_mut() {
                    level.expects_key = level.object && *byte == b',';
                }
            }
            b'0'..=b'9' => {
                if let Some(level) = levels.last_mut() {
                    level.any_number = true;
                }
            }
            _ => {}
        }
    }
    true
}

/// The string that begins here (behind its quote): content, whether it has escapes, and where it ends.
fn string_at(text: &[u8], start: usize) -> Option<(&[u8], bool, usize)> {
    let mut at = start;
    let mut escaped = false;
    loop {
        let next = at + memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(next) == Some(&b'"') {
            return Some((text.get(start..next)?, escaped, next + 1));
        }
        escaped = true;
        at = next + 2;
    }
}

/// Whether `parseInt(key, 10)` may be a number. White space before the digits is not looked at closely.
fn may_be_integer(key: &[u8]) -> bool {
    let digits = match key {
        [b'+' | b'-', rest @ ..] => rest,
        _ => key,
    };
    digits.first().is_some_and(|first| first.is_ascii_digit() || *first <= b' ' || !first.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_reviver_would_touch_is_not_plain() {
        for text in [
            r#"{"type":"Buffer","data":"AAAA"}"#,
            r#"{"a":[{"type":"Buffer","data":[1]}]}"#,
            r#"{"\u0074ype":"Buffer","data":""}"#,
            r#"{"buffer":true,"value":"AA=="}"#,
            r#"{"0":1,"1":2}"#,
            r#"{"x":{"-1":1, " 2":-3.5e7}}"#,
            r#"{"0":null,"0":7}"#,
            r#"{"0":{},"0":7,"1":2}"#,
            "[[{\"\u{a0}7x\":0}]]",
        ] {
            assert!(is_json(text.as_bytes()), "{text}");
            assert!(!is_plain(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_it_would_leave_alone_is_plain() {
        for text in [
            "1",
            "\"type\"",
            "{}",
            r#"{"0":1,"a":2}"#,
            r#"{"0":{},"1":[]}"#,
            r#"[{"_sessions":{"Bx+/=":{"registrationId":1,"messageKeys":{"3":"a\"b"}}},"version":"v1"}]"#,
            r#"{"":1}"#,
        ] {
            assert!(is_plain(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn json_is_what_v8_takes_for_json() {
        for text in [&b"{\"a\":\"\xff\xfe\"}"[..], b"\"\\ud800\"", b" 1e999 ", b"{\"a\":1,\"a\":2}"] {
            assert!(is_json(text), "{}", String::from_utf8_lossy(text));
        }
        for text in
            [&b"\xef\xbb\xbf1"[..], b"", b"nul", b"{a:1}", b"01", b"1 2", b"\"\n\"", b"{\"a\":1,}", b"\xff"]
        {
            assert!(!is_json(text), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_counts_as_plain() {
        let text = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
        assert!(is_json(&text));
        assert!(!is_plain(&text));
    }
}
