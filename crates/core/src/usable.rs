//! Whether Baileys could use a value: the shapes that its code reads without throwing.
//!
//! A value can be whole JSON and of no use, as a session of `{}` (seen where programs "cleaned" files). Types that
//! Baileys does not have, and whatever is too deep to be looked into, pass.

use serde_json::Value as Json;

/// What is wrong with a value of this type, and in which field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The field; empty for the value itself.
    pub field: &'static str,
    /// What it should be.
    pub should_be: &'static str,
}

/// Looks whether Baileys 7.0.0-rc14 could use this value of this type.
#[must_use]
pub fn unusable(key_type: &str, text: &[u8]) -> Option<Unusable> {
    let json: Json = serde_json::from_str(&String::from_utf8_lossy(text)).ok()?;
    let field = |name| json.get(name).unwrap_or(&Json::Null);
    let require = |ok: bool, field, should_be| (!ok).then_some(Unusable { field, should_be });
    match key_type {
        "session" => require(
            bytes(&json).is_some() || field("_sessions").as_object().is_some_and(|all| !all.is_empty()),
            "_sessions",
            "a session record with at least one session",
        ),
        "pre-key" => require(is_key(field("public")), "public", "a key of 32 bytes")
            .or_else(|| require(is_key(field("private")), "private", "a key of 32 bytes")),
        "identity-key" => require(is_key(&json), "", "a key of 32 bytes, with or without its version byte"),
        "sender-key" => require(
            bytes(&json).is_some_and(|length| length > 0) || json.is_array() || json.is_object(),
            "",
            "a sender key record",
        ),
        "sender-key-memory" => require(json.is_object(), "", "an object of device and true"),
        "app-state-sync-key" => require(
            bytes(field("keyData")).is_some_and(|length| length > 0),
            "keyData",
            "bytes: without it the app state cannot be read, and nothing can make it anew",
        ),
        "app-state-sync-version" => require(field("version").is_number(), "version", "a number")
            .or_else(|| require(bytes(field("hash")) == Some(128), "hash", "128 bytes"))
            .or_else(|| require(field("indexValueMap").is_object(), "indexValueMap", "an object")),
        "lid-mapping" => require(json.is_string(), "", "a user as text"),
        "device-list" => require(json.is_array(), "", "an array of devices"),
        "tctoken" => require(bytes(field("token")).is_some(), "token", "bytes"),
        _ => None,
    }
}

fn is_key(json: &Json) -> bool {
    matches!(bytes(json), Some(32 | 33))
}

/// How many bytes this is, in any form that a Buffer is stored in; `None` when it is none.
fn bytes(json: &Json) -> Option<usize> {
    let base64 = |text: &str| text.trim_end_matches('=').len() * 3 / 4;
    match json {
        Json::String(text) => Some(base64(text)),
        Json::Object(object) => {
            let buffer = object.get("type").is_some_and(|kind| kind == "Buffer")
                || object.get("buffer") == Some(&Json::Bool(true));
            if !buffer {
                let numbered =
                    object.iter().all(|(key, value)| key.parse::<usize>().is_ok() && value.is_number());
                return (numbered && !object.is_empty()).then_some(object.len());
            }
            match object.get("data").or_else(|| object.get("value"))? {
                Json::String(text) => Some(base64(text)),
                Json::Array(bytes) => Some(bytes.len()),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_baileys_writes_is_usable() {
        let key = format!("{{\"type\":\"Buffer\",\"data\":\"{}=\"}}", "A".repeat(43));
        let pair = format!("{{\"private\":{key},\"public\":{key}}}");
        for (key_type, text) in [
            ("session", "{\"_sessions\":{\"B\":{}},\"version\":\"v1\"}"),
            ("pre-key", &*pair),
            ("identity-key", &*key),
            ("sender-key", "{\"type\":\"Buffer\",\"data\":\"W10=\"}"),
            ("sender-key-memory", "{}"),
            ("app-state-sync-key", "{\"keyData\":\"AAAA\",\"timestamp\":\"1\"}"),
            ("lid-mapping", "\"123\""),
            ("device-list", "[\"0\"]"),
            ("tctoken", "{\"token\":{\"type\":\"Buffer\",\"data\":\"AA==\"}}"),
            ("unknown", "{}"),
        ] {
            assert_eq!(unusable(key_type, text.as_bytes()), None, "{key_type} {text}");
        }
    }

    #[test]
    fn what_it_would_throw_on_is_not() {
        for (key_type, text, field) in [
            ("session", "{}", "_sessions"),
            ("session", "{\"_sessions\":{},\"version\":\"v1\"}", "_sessions"),
            ("pre-key", "{\"public\":{\"type\":\"Buffer\",\"data\":\"AA==\"}}", "public"),
            ("app-state-sync-key", "{}", "keyData"),
            ("app-state-sync-version", "{\"version\":1}", "hash"),
            ("device-list", "{}", ""),
        ] {
            assert_eq!(
                unusable(key_type, text.as_bytes()).map(|fault| fault.field),
                Some(field),
                "{key_type}"
            );
        }
    }
}
