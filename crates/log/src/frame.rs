//! Frames and records as bytes: pure, no I/O.
//!
//! A frame is one commit under one checksum, which stands last; a record is one change in it, with a checksum
//! of its own, so that reading one value checks one value.

use rmp::{decode, encode};

use crate::format::{
    CHECKSUM_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, FRAME_OVERHEAD_BYTES, MAX_PAYLOAD_BYTES, length, offset,
};

/// One change of a commit. Keys, labels, flags and values are opaque to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Gives a key a value, a new one or another one.
    Put {
        /// The key.
        key: &'a [u8],
        /// Goes with the key, and is in memory as it is: for [`Log::for_each`](crate::Log::for_each).
        label: &'a [u8],
        /// Goes with the value.
        flags: u8,
        /// The value.
        value: &'a [u8],
    },
    /// Removes a key. One that is not there is no change at all.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Removes every key.
    Clear,
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const CLEAR: u8 = 3;

/// A record as it stands in a payload: a MessagePack array of these six.
struct Record<'a> {
    kind: u8,
    flags: u8,
    key: &'a [u8],
    label: &'a [u8],
    value: &'a [u8],
    checksum: u32,
}

const RECORD_FIELDS: u32 = 6;

/// Takes a MessagePack binary from the front.
fn take_binary<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = usize::try_from(decode::read_bin_len(bytes).ok()?).ok()?;
    let (binary, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(binary)
}

/// Takes a MessagePack integer from the front: of those that stand in every record none goes through the general way, which
/// takes as long as all else of a record.
fn take_integer(bytes: &mut &[u8]) -> Option<u32> {
    match **bytes {
        [small @ 0..=0x7f, ref rest @ ..] => {
            *bytes = rest;
            Some(small.into())
        }
        [0xce, a, b, c, d, ref rest @ ..] => {
            *bytes = rest;
            Some(u32::from_be_bytes([a, b, c, d]))
        }
        _ => decode::read_int(bytes).ok(),
    }
}

impl<'a> Record<'a> {
    fn new(change: &Change<'a>) -> Record<'a> {
        let (kind, flags, key, label, value): (u8, u8, &[u8], &[u8], &[u8]) = match *change {
            Change::Put { key, label, flags, value } => (PUT, flags, key, label, value),
            Change::Delete { key } => (DELETE, 0, key, &[], &[]),
            Change::Clear => (CLEAR, 0, &[], &[], &[]),
        };
        let mut record = Record { kind, flags, key, label, value, checksum: 0 };
        record.checksum = record.own_checksum();
        record
    }

    /// The lengths are in it, so that no byte can move from one field to the next.
    fn own_checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[self.kind, self.flags]);
        for field in [self.key, self.label] {
            hasher.update(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
            hasher.update(field);
        }
        hasher.update(self.value);
        hasher.finalize()
    }

    /// What has the form of a record at the start of these bytes, its checksum not looked at.
    fn decode(mut bytes: &'a [u8]) -> Option<Record<'a>> {
        let from = &mut bytes;
        if decode::read_array_len(from).ok()? != RECORD_FIELDS {
            return None;
        }
        Some(Record {
            kind: take_integer(from)?.try_into().ok()?,
            flags: take_integer(from)?.try_into().ok()?,
            key: take_binary(from)?,
            label: take_binary(from)?,
            value: take_binary(from)?,
            checksum: take_integer(from)?,
        })
    }

    /// Adds it to a frame.
    fn encode(&self, to: &mut Vec<u8>) -> Result<(), encode::ValueWriteError> {
        encode::write_array_len(to, RECORD_FIELDS)?;
        encode::write_uint(to, self.kind.into())?;
        encode::write_uint(to, self.flags.into())?;
        for field in [self.key, self.label, self.value] {
            encode::write_bin(to, field)?;
        }
        encode::write_uint(to, self.checksum.into())?;
        Ok(())
    }

    fn change(&self) -> Option<Change<'a>> {
        match (self.kind, self.flags) {
            (PUT, flags) => Some(Change::Put { key: self.key, label: self.label, flags, value: self.value }),
            (DELETE, 0) if self.label.is_empty() && self.value.is_empty() => {
                Some(Change::Delete { key: self.key })
            }
            (CLEAR, 0) if self.key.is_empty() && self.label.is_empty() && self.value.is_empty() => {
                Some(Change::Clear)
            }
            _ => None,
        }
    }

    /// How many bytes it has as MessagePack writes it, in its shortest form.
    fn encoded_bytes(&self) -> usize {
        let integer = |value: u32| match value {
            0..=0x7f => 1,
            0x80..=0xff => 2,
            0x100..=0xffff => 3,
            _ => 5,
        };
        let binary = |bytes: &[u8]| {
            let head: usize = match bytes.len() {
                0..=0xff => 2,
                0x100..=0xffff => 3,
                _ => 5,
            };
            head.saturating_add(bytes.len())
        };
        [
            1,
            integer(self.kind.into()),
            integer(self.flags.into()),
            binary(self.key),
            binary(self.label),
            binary(self.value),
            integer(self.checksum),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }
}

/// Where a record stands in its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte, from the start of the payload.
    pub start: usize,
    /// How many bytes it has.
    pub length: usize,
}

/// The changes of a payload, in order, each with its place; `None` instead of the first that does not parse,
/// and nothing after it.
pub struct Records<'a> {
    payload: &'a [u8],
    at: usize,
}

/// The records of a payload whose frame passed its checksum.
pub fn records(payload: &[u8]) -> Records<'_> {
    Records { payload, at: 0 }
}

impl<'a> Records<'a> {
    fn read(&mut self) -> Option<(Change<'a>, Span)> {
        let record = Record::decode(self.payload.get(self.at..)?)?;
        let span = Span { start: self.at, length: record.encoded_bytes() };
        if record.checksum != record.own_checksum() {
            return None;
        }
        self.at = span.start.saturating_add(span.length);
        if self.at > self.payload.len() {
            return None; // not in the shortest form, so not written by us
        }
        Some((record.change()?, span))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<(Change<'a>, Span)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        let read = self.read();
        if read.is_none() {
            self.at = self.payload.len();
        }
        Some(read)
    }
}

/// The one change that these bytes are, its checksum proven; `None` when they are anything else.
pub fn record(bytes: &[u8]) -> Option<Change<'_>> {
    let (change, span) = records(bytes).next()??;
    (span.length == bytes.len()).then_some(change)
}

/// The first byte of every record: an array of six.
pub const RECORD_START: u8 = 0x96;

/// What bytes of which nothing is known begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim<'a> {
    /// A record that proves itself, of this many bytes.
    Sound(Change<'a>, usize),
    /// What has the form of a record of this many bytes, and does not prove itself.
    Damaged(usize),
    /// Nothing.
    None,
}

/// Looks for a record at the start of these bytes.
pub fn claim(bytes: &[u8]) -> Claim<'_> {
    if let Some(Some((change, span))) = records(bytes).next() {
        return Claim::Sound(change, span.length);
    }
    match Record::decode(bytes) {
        // No longer than what was read: that may not be in the shortest form.
        Some(record) => Claim::Damaged(record.encoded_bytes()),
        _ => Claim::None,
    }
}

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The log's salt.
    pub salt: [u8; 8],
    /// 1 for the first frame of a generation, then one more with each.
    pub sequence: u64,
    /// Up to which offset the log was on disk when this frame was written.
    pub attested: u64,
    /// Size of the payload, in bytes; at most [`MAX_PAYLOAD_BYTES`].
    pub payload_bytes: usize,
    /// Whether the fields that this version leaves zero (space, cipher, key id) are zero.
    pub reserved_zero: bool,
}

impl FrameHeader {
    /// Reads a header; `None` when these bytes are none: too few, another magic, a length over the bound.
    pub fn decode(bytes: &[u8]) -> Option<FrameHeader> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (salt, rest) = rest.split_first_chunk::<8>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (attested, rest) = rest.split_first_chunk::<8>()?;
        let (payload, rest) = rest.split_first_chunk::<4>()?;
        let reserved = rest.first_chunk::<16>()?;
        let payload_bytes = usize::try_from(u32::from_le_bytes(*payload)).ok()?;
        (*magic == FRAME_MAGIC && payload_bytes <= MAX_PAYLOAD_BYTES).then_some(FrameHeader {
            salt: *salt,
            sequence: u64::from_le_bytes(*sequence),
            attested: u64::from_le_bytes(*attested),
            payload_bytes,
            reserved_zero: *reserved == [0; 16],
        })
    }

    /// Size of the whole frame, in bytes.
    pub fn frame_bytes(&self) -> usize {
        FRAME_OVERHEAD_BYTES.saturating_add(self.payload_bytes)
    }
}

/// The payload of a whole frame, if its checksum is right.
pub fn payload(frame: &[u8]) -> Option<&[u8]> {
    let (covered, checksum) = frame.split_last_chunk::<CHECKSUM_BYTES>()?;
    (crc32fast::hash(covered) == u32::from_le_bytes(*checksum)).then_some(covered.get(FRAME_HEADER_BYTES..)?)
}

/// How a frame's payload comes to be too large: its size, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge(pub u64);

/// What is wrong with a frame whose checksum is right and whose payload does not parse.
pub const NOT_RECORDS: &str = "the frame is whole, but its records are not";

/// Buffers that became larger than this are given back after use, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// Makes frames, one after the other, in the same memory.
#[derive(Default)]
pub struct Builder {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Builder {
    /// Forgets what is there, and begins a frame.
    pub fn start(&mut self) {
        self.spans.clear();
        self.bytes.clear();
        self.bytes.resize(FRAME_HEADER_BYTES, 0);
    }

    /// Begins a frame with these changes in it.
    ///
    /// # Errors
    /// [`TooLarge`] when the payload would have more than [`MAX_PAYLOAD_BYTES`]; nothing is allocated for it.
    pub fn fill(&mut self, changes: &[Change<'_>]) -> Result<(), TooLarge> {
        // Checksums are at most 5 bytes long, and are computed once, below.
        let bound = |change: &Change<'_>| {
            let (kind, key, label, value): (u8, &[u8], &[u8], &[u8]) = match *change {
                Change::Put { key, label, value, .. } => (PUT, key, label, value),
                Change::Delete { key } => (DELETE, key, &[], &[]),
                Change::Clear => (CLEAR, &[], &[], &[]),
            };
            offset(Record { kind, flags: u8::MAX, key, label, value, checksum: u32::MAX }.encoded_bytes())
        };
        let most = changes.iter().map(bound).fold(0, u64::saturating_add);
        if most > offset(MAX_PAYLOAD_BYTES) {
            return Err(TooLarge(most));
        }
        self.start();
        self.bytes.reserve(length(most).saturating_add(CHECKSUM_BYTES));
        for change in changes {
            let start = self.bytes.len();
            // Writing to memory fails only when a length does not fit, which the bound above excludes.
            if Record::new(change).encode(&mut self.bytes).is_err() {
                return Err(TooLarge(most));
            }
            self.spans.push(Span { start, length: self.bytes.len() - start });
        }
        Ok(())
    }

    /// Adds a record as it stood in another frame, and says where it is in this one.
    pub fn push_record(&mut self, record: &[u8]) -> Span {
        let span = Span { start: self.bytes.len(), length: record.len() };
        self.bytes.extend_from_slice(record);
        span
    }

    /// How many bytes of records there are.
    pub fn payload_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(FRAME_HEADER_BYTES)
    }

    /// The size of the frame that was finished.
    pub fn frame_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Where the changes stand in the frame.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Puts header and checksum around what was added. The frame stays until the next one begins.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn finish(&mut self, salt: [u8; 8], sequence: u64, attested: u64) -> Result<&[u8], TooLarge> {
        let payload = self.payload_bytes();
        let Some(payload) = u32::try_from(payload).ok().filter(|_| payload <= MAX_PAYLOAD_BYTES) else {
            return Err(TooLarge(offset(payload)));
        };
        let header = FRAME_MAGIC
            .into_iter()
            .chain(salt)
            .chain(sequence.to_le_bytes())
            .chain(attested.to_le_bytes())
            .chain(payload.to_le_bytes());
        for (to, from) in self.bytes.iter_mut().zip(header) {
            *to = from; // space, cipher and key id stay zero
        }
        let checksum = crc32fast::hash(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        Ok(&self.bytes)
    }

    /// Gives memory back after a large frame: a process may have a thousand of these.
    pub fn settle(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        if self.spans.capacity() > KEPT_BYTES / size_of::<Span>() {
            self.spans = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(
        salt: [u8; 8],
        sequence: u64,
        attested: u64,
        changes: &[Change<'_>],
    ) -> Result<(Vec<u8>, Vec<Span>), TooLarge> {
        let mut builder = Builder::default();
        builder.fill(changes)?;
        let frame = builder.finish(salt, sequence, attested)?.to_vec();
        Ok((frame, builder.spans().to_vec()))
    }

    fn one(change: Change<'_>) -> Vec<u8> {
        let (frame, spans) = encode([7; 8], 3, 64, &[change]).unwrap();
        let payload = payload(&frame).unwrap();
        assert_eq!(spans[0], Span { start: FRAME_HEADER_BYTES, length: payload.len() });
        payload.to_vec()
    }

    #[test]
    fn a_record_is_read_back_whatever_its_lengths_and_has_the_size_that_was_foreseen() {
        let bytes = vec![0x5a; 70_000];
        for length in [0, 1, 31, 32, 255, 256, 257, 65_535, 65_536, 70_000] {
            for flags in [0, 127, 128, 255] {
                let some = &bytes[..length];
                for change in [
                    Change::Put { key: some, label: b"l", flags, value: b"v" },
                    Change::Put { key: b"k", label: some, flags, value: b"" },
                    Change::Put { key: b"k", label: b"", flags, value: some },
                    Change::Delete { key: some },
                ] {
                    let payload = one(change);
                    assert_eq!(record(&payload), Some(change));
                    let read: Vec<_> = records(&payload).collect();
                    assert_eq!(read, [Some((change, Span { start: 0, length: payload.len() }))]);
                }
            }
        }
        assert_eq!(record(&one(Change::Clear)), Some(Change::Clear));
    }

    #[test]
    fn a_frame_is_read_back_and_every_flipped_bit_of_it_is_found() {
        let changes = [Change::Clear, Change::Put { key: b"k", label: b"l", flags: 9, value: b"value" }];
        let (frame, _) = encode(*b"saltsalt", 5, 77, &changes).unwrap();
        let header = FrameHeader::decode(&frame).unwrap();
        assert_eq!((header.salt, header.sequence, header.attested), (*b"saltsalt", 5, 77));
        assert_eq!((header.frame_bytes(), header.reserved_zero), (frame.len(), true));
        let read: Vec<_> = records(payload(&frame).unwrap()).map(|record| record.unwrap().0).collect();
        assert_eq!(read, changes);
        for bit in 0..8 * frame.len() {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(payload(&bad), None, "bit {bit}");
        }
    }

    #[test]
    fn records_that_are_not_written_as_this_crate_writes_them_do_not_parse() {
        let good = one(Change::Put { key: b"k", label: b"", flags: 1, value: b"v" });
        let longer_integer = [&good[..2], &[0xcc, 1], &good[3..]].concat();
        let as_a_map = [&[0x86][..], &good[1..]].concat();
        let bytes_behind = [&good[..], &[0xc0]].concat();
        for bad in [longer_integer, as_a_map, bytes_behind, good[..good.len() - 1].to_vec(), vec![0]] {
            assert_eq!(records(&bad).last(), Some(None), "{bad:02x?}");
            assert_eq!(record(&bad), None);
        }
        let mut nothing = records(&[]);
        assert!(nothing.next().is_none());
    }

    #[test]
    fn what_has_another_magic_or_is_too_long_is_no_header() {
        let (mut frame, _) = encode(*b"saltsalt", 5, 77, &[Change::Clear]).unwrap();
        assert!(FrameHeader::decode(&frame[..FRAME_HEADER_BYTES]).is_some());
        assert!(FrameHeader::decode(&frame[..FRAME_HEADER_BYTES - 1]).is_none());
        for (payload, is_one) in [(MAX_PAYLOAD_BYTES, true), (MAX_PAYLOAD_BYTES + 1, false)] {
            frame[28..32].copy_from_slice(&u32::try_from(payload).unwrap().to_le_bytes());
            assert_eq!(FrameHeader::decode(&frame).is_some(), is_one);
        }
        frame[28..32].fill(0);
        frame[0] ^= 1;
        assert!(FrameHeader::decode(&frame).is_none());
    }

    #[test]
    fn a_checksum_of_any_length_is_read_back() {
        // They are random, and nearly all of five bytes; these take some ten thousand tries.
        for (least, most) in [(0x100, 0xffff), (0x1_0000, u32::MAX)] {
            let found = (0..u64::MAX).find_map(|number| {
                let number = number.to_le_bytes();
                let change = Change::Put { key: b"k", label: b"", flags: 0, value: &number };
                let record = Record::new(&change);
                (least..=most).contains(&record.checksum).then(|| (number, record.encoded_bytes()))
            });
            let (number, length) = found.unwrap();
            let change = Change::Put { key: b"k", label: b"", flags: 0, value: &number };
            let payload = one(change);
            assert_eq!((payload.len(), record(&payload)), (length, Some(change)));
        }
    }

    #[test]
    fn what_no_change_would_write_is_none_though_its_checksum_is_right() {
        let (some, none): (&[u8], &[u8]) = (b"x", b"");
        for (kind, flags, key, label, value) in [
            (DELETE, 0, some, some, none),
            (DELETE, 0, some, none, some),
            (DELETE, 1, some, none, none),
            (CLEAR, 0, some, none, none),
            (CLEAR, 0, none, some, none),
            (CLEAR, 0, none, none, some),
            (CLEAR, 1, none, none, none),
            (4, 0, none, none, none),
            (0, 0, none, none, none),
        ] {
            let mut odd = Record { kind, flags, key, label, value, checksum: 0 };
            odd.checksum = odd.own_checksum();
            let mut bytes = Vec::new();
            odd.encode(&mut bytes).unwrap();
            assert_eq!(record(&bytes), None, "{bytes:02x?}");
            assert_eq!(claim(&bytes), Claim::Damaged(bytes.len()));
            // Behind a good one, too; and nothing is looked for behind it.
            let good = one(Change::Clear);
            let payload = [&good[..], &bytes, &good].concat();
            assert_eq!(records(&payload).map(|r| r.is_some()).collect::<Vec<_>>(), [true, false]);
        }
    }

    #[test]
    fn what_claims_to_be_a_record_is_told_from_what_does_not() {
        let change = Change::Put { key: b"k", label: b"l", flags: 1, value: b"value" };
        let good = one(change);
        let behind = [&good[..], b"more"].concat();
        assert_eq!(claim(&behind), Claim::Sound(change, good.len()));
        let mut damaged = behind.clone();
        damaged[good.len() - 6] ^= 1;
        assert_eq!(claim(&damaged), Claim::Damaged(good.len()));
        for bad in [&good[..good.len() - 1], &good[1..], b""] {
            assert_eq!(claim(bad), Claim::None);
        }
    }

    #[test]
    fn large_buffers_are_given_back_and_small_ones_kept() {
        for (bytes, spans, kept) in [
            (KEPT_BYTES, KEPT_BYTES / size_of::<Span>(), true),
            (KEPT_BYTES + 1, KEPT_BYTES / size_of::<Span>() + 1, false),
        ] {
            let mut builder = Builder { bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(spans) };
            builder.settle();
            assert_eq!((builder.bytes.capacity() > 0, builder.spans.capacity() > 0), (kept, kept));
        }
        assert_eq!(KEPT_BYTES, 65_536);
    }

    #[test]
    fn what_is_too_large_is_refused_before_anything_is_allocated() {
        let value = vec![0; 1 << 20];
        let put = Change::Put { key: b"k", label: b"", flags: 0, value: &value };
        assert!(encode([0; 8], 1, 64, &[put; 256]).is_err());
    }
}
