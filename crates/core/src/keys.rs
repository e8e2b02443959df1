//! Key types and ids, and the file names that Baileys makes of them: built and parsed here, nowhere else.
//!
//! Baileys stores `<type>-<id>.json` with `/` as `__` and `:` as `-` (`fixFileName` in its
//! `use-multi-file-auth-state`). Without `.json` that is a key's *stem*, its identity in every backend: two ids
//! with one stem are one key.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::error::{Code, Error, Result};

/// The key types that Baileys is known to write: the ten of 7.0.0-rc14 and two of its branches, longest
/// first, so that `sender-key-memory-x` is not taken for the `sender-key` `memory-x`.
pub const KNOWN_TYPES: [&str; 12] = [
    "app-state-sync-version",
    "app-state-sync-key",
    "sender-key-memory",
    "status-sender-key",
    "tctoken-sender-ts",
    "identity-key",
    "lid-mapping",
    "device-list",
    "sender-key",
    "pre-key",
    "session",
    "tctoken",
];

/// Each byte, to be had as a slice: most labels are one.
static BYTES: LazyLock<[u8; 256]> = LazyLock::new(|| std::array::from_fn(|n| u8::try_from(n).unwrap_or(0)));

/// Longest file name that file systems hold, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 255;
const SUFFIX: &str = ".json";

/// A key: the type and id that the caller said, and the stem that they make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The type, as `session`.
    pub key_type: String,
    /// The id within the type.
    pub id: String,
    /// `<type>-<id>` as a file name, without `.json`.
    pub stem: String,
}

impl Key {
    /// A key by its type and id.
    ///
    /// # Errors
    /// `InvalidArg` when a folder could not hold it: the name is longer than 255 bytes, has a NUL in it, or
    /// begins with a dot (such files are other programs').
    pub fn new(key_type: impl Into<String>, id: impl Into<String>) -> Result<Self> {
        let (key_type, id) = (key_type.into(), id.into());
        let stem = [&*file_name_part(&key_type), "-", &*file_name_part(&id)].concat();
        let fault = if stem.contains('\0') {
            "has a NUL character in it"
        } else if stem.starts_with('.') {
            "begins with a dot"
        } else if is_foreign(&stem) {
            "has the file name of another tool's"
        } else if stem.len() + SUFFIX.len() > MAX_NAME_BYTES {
            "is longer than a file name can be (255 bytes with type and .json)"
        } else {
            return Ok(Self { key_type, id, stem });
        };
        let shown: String = id.chars().take(40).collect();
        Err(Error::new(Code::InvalidArg, format!("the key {key_type} {shown:?} {fault}"))
            .of_key(&key_type, &id))
    }

    /// Our own record in a log: where the store came from. No key of a caller begins with a dot.
    #[must_use]
    pub fn origin() -> Self {
        Self { key_type: ".migrated".to_owned(), id: "from".to_owned(), stem: ".migrated-from".to_owned() }
    }

    /// Whether this is a record of our own, and no key of the account.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.stem.starts_with('.')
    }

    /// The same key in a store that has no file names: two ids are two keys, whatever names they would make.
    #[must_use]
    pub fn exact(self) -> Self {
        Self { stem: format!("{}\0{}", self.key_type, self.id), ..self }
    }

    /// A key by the stem of its file name: the longest known type, else what stands before the first dash.
    /// `None` without a dash.
    #[must_use]
    pub fn from_stem(stem: &str) -> Option<Self> {
        let (key_type, rest) = match known_type(stem) {
            Some(known) => (known, stem.get(known.len() + 1..)?),
            None => stem.split_once('-')?,
        };
        let id = match key_type {
            "sender-key" => rest.replace("--", "::"),
            "app-state-sync-key" => rest.replace("__", "/"),
            _ => rest.to_owned(),
        };
        Some(Self { key_type: key_type.to_owned(), id, stem: stem.to_owned() })
    }

    /// The name of its file in a multi-file folder.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}{SUFFIX}", self.stem)
    }

    /// Type and id as few bytes, to be stored beside the stem: the length of the type, where stem and type
    /// show the id as it is, else a zero, the type, a zero and the id.
    #[must_use]
    pub fn label(&self) -> Cow<'static, [u8]> {
        let (key_type, id) = (self.key_type.as_bytes(), self.id.as_bytes());
        let length = key_type.len();
        let verbatim = self.stem.len() == length + 1 + id.len()
            && self.stem.starts_with(&self.key_type)
            && self.stem.ends_with(&self.id);
        match BYTES.get(length..=length) {
            Some(byte) if verbatim && length > 0 => Cow::Borrowed(byte),
            _ => Cow::Owned([&[0], key_type, &[0], id].concat()),
        }
    }

    /// The key of a stem and a label; `None` when they do not fit.
    #[must_use]
    pub fn from_label(stem: &str, label: &[u8]) -> Option<Self> {
        let (key_type, id) = match label {
            [0, names @ ..] => std::str::from_utf8(names).ok()?.split_once('\0')?,
            [length] => {
                let length = usize::from(*length);
                (stem.get(..length)?, stem.get(length + 1..)?)
            }
            _ => return None,
        };
        Some(Self { key_type: key_type.to_owned(), id: id.to_owned(), stem: stem.to_owned() })
    }
}

/// What Baileys makes of a text to use it as a file name.
#[must_use]
pub fn file_name_part(text: &str) -> Cow<'_, str> {
    if text.contains(['/', ':']) { text.replace('/', "__").replace(':', "-").into() } else { text.into() }
}

/// The longest known type that this stem begins with.
#[must_use]
pub fn known_type(stem: &str) -> Option<&'static str> {
    KNOWN_TYPES.into_iter().find(|known| stem.strip_prefix(known).is_some_and(|rest| rest.starts_with('-')))
}

/// The stem of a file name that could be a key's, of whatever type: `*-*.json`, not hidden, not a name that
/// belongs to other tools.
#[must_use]
pub fn stem_of_file(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(SUFFIX)?;
    (!is_foreign(stem) && stem.contains('-')).then_some(stem)
}

/// Whether the file with this stem is another program's, though it looks like a key's.
fn is_foreign(stem: &str) -> bool {
    stem.starts_with('.') || stem == "package-lock" || stem.starts_with("tsconfig-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(key_type: &str, id: &str) -> Key {
        let key = Key::new(key_type, id).unwrap();
        assert_eq!(Key::from_label(&key.stem, &key.label()).as_ref(), Some(&key));
        Key::from_stem(&key.stem).unwrap()
    }

    #[test]
    fn file_names_are_those_of_baileys_and_lead_back_to_the_ids_that_it_makes() {
        for (key_type, id, name) in [
            ("session", "12345.0", "session-12345.0.json"),
            ("pre-key", "17", "pre-key-17.json"),
            ("sender-key", "1@g.us::55::0", "sender-key-1@g.us--55--0.json"),
            ("sender-key-memory", "1@g.us", "sender-key-memory-1@g.us.json"),
            ("app-state-sync-key", "AAAA/b//c=", "app-state-sync-key-AAAA__b____c=.json"),
            ("tctoken", "__index", "tctoken-__index.json"),
            ("lid-mapping", "55_reverse", "lid-mapping-55_reverse.json"),
            ("custom", "a-b", "custom-a-b.json"),
        ] {
            let key = Key::new(key_type, id).unwrap();
            assert_eq!(key.file_name(), name);
            assert_eq!(round(key_type, id), key, "{name}");
        }
    }

    #[test]
    fn labels_keep_types_and_ids_that_the_stem_does_not_show() {
        for (key_type, id) in [("a-b", "c"), ("a", "b-c"), ("a:b", "c/d"), ("", ""), ("x", ""), ("", "é")] {
            round(key_type, id);
        }
        assert_eq!(Key::from_label("abc", &[3]), None);
        assert_eq!(Key::from_label("é-x", &[1]), None);
    }

    #[test]
    fn names_that_a_folder_cannot_hold_are_refused() {
        for (key_type, id) in [("session", "a\0b"), (".hidden", "x"), ("session", &*"é".repeat(130))] {
            assert_eq!(Key::new(key_type, id).unwrap_err().code(), Code::InvalidArg);
        }
        assert!(Key::new("session", "x".repeat(255 - "session-.json".len())).is_ok());
    }

    #[test]
    fn foreign_files_are_no_keys() {
        for name in ["package-lock.json", "tsconfig-x.json", "creds.json", "._session-1.json", "a-b.txt"] {
            assert_eq!(stem_of_file(name), None, "{name}");
        }
        assert_eq!(stem_of_file("creds-backup.json"), Some("creds-backup"));
    }
}
