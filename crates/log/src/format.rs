//! The numbers of format version 1: sizes, offsets, names. `docs/format.md` draws them.
//!
//! All integers are little-endian and of fixed width, except inside a record, which is MessagePack.

/// The first bytes of every log file.
pub const FILE_MAGIC: [u8; 8] = *b"BNALOG\r\n";

/// The format version that this crate writes, and the highest that it reads.
pub const VERSION: u32 = 1;

/// Size of the file header, in bytes; the first frame stands behind it.
pub const FILE_HEADER_BYTES: usize = 64;

/// The same as an offset: where the first frame stands, and up to where a named file always counts as attested.
pub const FIRST_FRAME: u64 = 64;

/// The first bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = *b"BNAF";

/// Size of a frame's header, in bytes.
pub const FRAME_HEADER_BYTES: usize = 48;

/// Size of a checksum, in bytes.
pub const CHECKSUM_BYTES: usize = 4;

/// What a frame has beside its payload, in bytes.
pub const FRAME_OVERHEAD_BYTES: usize = FRAME_HEADER_BYTES + CHECKSUM_BYTES;

/// The most that a frame's payload may have, in bytes: 256 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 256 << 20;

/// Permission bits of new files.
pub const FILE_MODE: u32 = 0o600;

/// The name under which a new log is written until it is complete.
pub const TEMPORARY: &str = "keys.tmp";

/// The lock file's name.
pub const LOCK: &str = "keys.lock";

/// A name that this crate gives to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `keys.<n>.log`: a complete log.
    Log(u64),
    /// `keys.<n>.aside`: a log that was set aside.
    Aside(u64),
    /// `keys.tmp`: a log that is not complete.
    Temporary,
    /// `keys.lock`.
    Lock,
}

impl Name {
    /// Reads a name; `None` when it is none of ours. Every name has one spelling: `keys.01.log` is foreign.
    pub fn parse(name: &str) -> Option<Name> {
        match name {
            TEMPORARY => return Some(Name::Temporary),
            LOCK => return Some(Name::Lock),
            _ => {}
        }
        let (number, suffix) = name.strip_prefix("keys.")?.split_once('.')?;
        let parsed = match suffix {
            "log" => Name::Log(number.parse().ok()?),
            "aside" => Name::Aside(number.parse().ok()?),
            _ => return None,
        };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Log(generation) => write!(f, "keys.{generation}.log"),
            Name::Aside(generation) => write!(f, "keys.{generation}.aside"),
            Name::Temporary => f.write_str(TEMPORARY),
            Name::Lock => f.write_str(LOCK),
        }
    }
}

/// What the header of a log file says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// Random, new with each generation: frames of another log are never taken for this one's. A secret: who
    /// knows it can make values that look like frames.
    pub salt: [u8; 8],
    /// The number in the file's name.
    pub generation: u64,
}

/// Why 64 bytes are no header that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// Whole, of this newer version.
    Version(u32),
    /// Anything else.
    Damaged(&'static str),
}

impl FileHeader {
    /// The header as it stands in the file.
    pub fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES);
        bytes.extend_from_slice(&FILE_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.resize(FILE_HEADER_BYTES - CHECKSUM_BYTES, 0);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let mut header = [0; FILE_HEADER_BYTES];
        for (to, from) in header.iter_mut().zip(bytes) {
            *to = from;
        }
        header
    }

    /// Reads a header from the first bytes of a file.
    ///
    /// # Errors
    /// [`BadHeader`], also when there are fewer than 64 bytes.
    pub fn decode(bytes: &[u8]) -> Result<FileHeader, BadHeader> {
        const SHORT: BadHeader = BadHeader::Damaged("the file ends inside its header");
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(SHORT)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (zeros, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (salt, rest) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
        let (generation, rest) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
        let (more_zeros, rest) = rest.split_first_chunk::<28>().ok_or(SHORT)?;
        let (checksum, _) = rest.split_first_chunk::<CHECKSUM_BYTES>().ok_or(SHORT)?;
        if *magic != FILE_MAGIC {
            return Err(BadHeader::Damaged("this is no log"));
        }
        let covered = bytes.get(..FILE_HEADER_BYTES - CHECKSUM_BYTES).ok_or(SHORT)?;
        if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
            return Err(BadHeader::Damaged("the header's checksum is wrong"));
        }
        match u32::from_le_bytes(*version) {
            VERSION => {}
            0 => return Err(BadHeader::Damaged("there is no such format version")),
            newer => return Err(BadHeader::Version(newer)),
        }
        if zeros.iter().chain(more_zeros).any(|byte| *byte != 0) {
            return Err(BadHeader::Damaged("the header has bytes that this version leaves zero"));
        }
        Ok(FileHeader { salt: *salt, generation: u64::from_le_bytes(*generation) })
    }
}

/// A length as an offset. Lossless on every platform that this crate builds for.
pub(crate) fn offset(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// An offset within a buffer as a length: what does not fit is beyond any buffer.
pub(crate) fn length(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_spelling() {
        for name in ["keys.1.log", "keys.18446744073709551615.log", "keys.7.aside", "keys.tmp", "keys.lock"] {
            assert_eq!(Name::parse(name).unwrap().to_string(), name);
        }
        for name in [
            "keys.01.log",
            "keys.+1.log",
            "keys..log",
            "keys.1.log.bak",
            "keys.log",
            "Keys.1.log",
            "keys.18446744073709551616.log",
            "keys.1.tmp",
            "creds.json",
            "",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_header_is_read_back_and_every_flipped_bit_is_found() {
        let header = FileHeader { salt: *b"saltsalt", generation: 3 };
        let bytes = header.encode();
        assert!(FileHeader::decode(&bytes) == Ok(header));
        for bit in 0..8 * FILE_HEADER_BYTES {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(FileHeader::decode(&bad), Err(BadHeader::Damaged(_))), "bit {bit}");
        }
        for short in 0..FILE_HEADER_BYTES {
            assert!(matches!(FileHeader::decode(&bytes[..short]), Err(BadHeader::Damaged(_))));
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = FileHeader { salt: [7; 8], generation: 1 }.encode();
        bytes[8] = 2;
        let checksum = crc32fast::hash(&bytes[..60]).to_le_bytes();
        bytes[60..].copy_from_slice(&checksum);
        assert!(FileHeader::decode(&bytes) == Err(BadHeader::Version(2)));
    }
}
