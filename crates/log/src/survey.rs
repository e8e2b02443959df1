//! What is sound in a log and what is not: verifying it, and getting out of a damaged one what can be had.
//!
//! Neither changes anything, and neither needs the lock: both look like a [`Reader`](crate::Reader), and go on
//! where it stops.

use std::collections::BTreeMap;
use std::sync::Arc;

use memchr::{memchr, memmem};

use crate::error::Error;
use crate::folder::generations;
use crate::format::{
    BadHeader, CHECKSUM_BYTES, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, Name, offset,
};
use crate::frame::{self, Change, Claim};
use crate::fs::{Dir, File, read_full};
use crate::index::{Index, Place};
use crate::scan::{self, Behind, Look, NO_FRAME, OTHER_NUMBER, Scan};
use crate::window::{WINDOW_BYTES, Window};

/// How many records are looked up at once.
const BATCH: usize = 16 << 10;

/// How often a log is looked for whose owner may just have written the next one.
const ATTEMPTS: usize = 8;

/// A record that counts, with its checksum proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// The key's label.
    pub label: &'a [u8],
    /// The flags.
    pub flags: u8,
    /// The value.
    pub value: &'a [u8],
    /// Where the record stands in the file, in bytes.
    pub offset: u64,
}

/// Something in a log that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub name: String,
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// Up to where nothing is known to be sound, in bytes from there; `None`: to the end of the file.
    pub length: Option<u64>,
    /// What is wrong there.
    pub detail: &'static str,
}

/// What verifying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is wrong, in the order of the file.
    pub faults: Vec<Fault>,
    /// Bytes behind the last frame that are not zero: a commit that a crash cut off, or that the owner is just
    /// writing. No fault.
    pub tail_bytes: u64,
    /// How many frames are sound.
    pub frames: u64,
    /// How many records are sound, those that do not count any more included.
    pub checked: u64,
    /// How many records count, and were visited.
    pub records: u64,
}

/// Its faults.
impl IntoIterator for Verified {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.faults.into_iter()
    }
}

/// What was got out of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// How many values.
    pub records: u64,
    /// What could not be used. A record may have been in it, or an older one may stand in its place.
    pub lost: Vec<Fault>,
    /// As in [`Verified`]: what an opening drops, this drops too.
    pub tail_bytes: u64,
}

/// Reads the highest log of a folder and checks every frame and every record in it, behind damage too, and then
/// visits the records that count, in the order of the file. Beside the owner too: what seems to be damage is
/// looked at again. Where there is no log there is nothing wrong with it.
///
/// # Errors
/// `UnsupportedVersion`, `Io`. Damage is none.
pub fn verify(dir: &dyn Dir, visit: &mut dyn FnMut(Record<'_>)) -> Result<Verified, Error> {
    let Some(survey) = Survey::of(dir, Purpose::Verify)? else { return Ok(Verified::default()) };
    let mut verified = Verified {
        tail_bytes: survey.tail_bytes,
        frames: survey.frames,
        checked: survey.checked,
        ..Verified::default()
    };
    let mut faults = survey.faults.clone();
    verified.records = survey.visit(&mut faults, visit)?;
    faults.sort_by_key(|fault| fault.offset);
    verified.faults = faults;
    Ok(verified)
}

/// Visits the newest sound value of every key of the highest log, in the order of the file. Also when its
/// header is damaged, as long as a frame is sound; and records whose own checksum is right count in a frame
/// that is damaged. Deletes and clears are applied where they are sound. Nothing, where there is no log.
///
/// # Errors
/// `UnsupportedVersion`, `Io`. Damage is none.
pub fn salvage(dir: &dyn Dir, visit: &mut dyn FnMut(Record<'_>)) -> Result<Salvaged, Error> {
    let Some(survey) = Survey::of(dir, Purpose::Salvage)? else { return Ok(Salvaged::default()) };
    let mut lost = survey.faults.clone();
    let records = survey.visit(&mut lost, visit)?;
    lost.sort_by_key(|fault| fault.offset);
    Ok(Salvaged { records, lost, tail_bytes: survey.tail_bytes })
}

/// What a survey is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Only what is in sound frames counts.
    Verify,
    /// So does what is sound in damaged ones.
    Salvage,
}

/// A log that was read to its end, whatever is in it.
struct Survey {
    file: Arc<dyn File>,
    name: String,
    purpose: Purpose,
    index: Index,
    faults: Vec<Fault>,
    tail_bytes: u64,
    frames: u64,
    checked: u64,
}

/// A log's number, name and open file.
pub(crate) type Found = (u64, String, Arc<dyn File>);

/// The highest log of a folder.
pub(crate) fn highest(dir: &dyn Dir) -> Result<Option<Found>, Error> {
    let mut attempt = 1;
    loop {
        let Some(generation) = generations(dir)?.pop() else { return Ok(None) };
        let name = Name::Log(generation).to_string();
        match dir.open(&name) {
            Ok(file) => return Ok(Some((generation, name, file))),
            Err(error) if attempt < ATTEMPTS && error.kind() == std::io::ErrorKind::NotFound => attempt += 1,
            Err(error) => return Err(Error::io("opening", &name, error)),
        }
    }
}

impl Survey {
    fn of(dir: &dyn Dir, purpose: Purpose) -> Result<Option<Survey>, Error> {
        let Some((generation, name, file)) = highest(dir)? else { return Ok(None) };
        let mut survey = Survey {
            file: Arc::clone(&file),
            name: name.clone(),
            purpose,
            index: Index::default(),
            faults: Vec::new(),
            tail_bytes: 0,
            frames: 0,
            checked: 0,
        };
        let size = file.stat().map_err(|e| Error::io("looking at", &name, e))?.size;
        let mut window = Window::new(&*file, size);
        let header_bytes = offset(FILE_HEADER_BYTES);
        let salt = match scan::header(&mut window, &name)? {
            Ok(header) => {
                if header.generation != generation {
                    survey.fault(0, Some(header_bytes), OTHER_NUMBER);
                }
                Some(header.salt)
            }
            Err(BadHeader::Version(version)) => return Err(Error::UnsupportedVersion { name, version }),
            Err(BadHeader::Damaged(detail)) => {
                survey.fault(0, Some(header_bytes.min(size)), detail);
                frames_salt(&mut window, &name)?
            }
        };
        match salt {
            Some(salt) => survey.read(Scan::of(&*file, &name, window, Look::Beside, salt))?,
            None if size > header_bytes => {
                survey.fault(header_bytes, None, "nothing in it is a frame of a known log");
            }
            None => {}
        }
        Ok(Some(survey))
    }

    fn fault(&mut self, offset: u64, length: Option<u64>, detail: &'static str) {
        self.faults.push(Fault { name: self.name.clone(), offset, length, detail });
    }

    fn read(&mut self, mut scan: Scan<'_>) -> Result<(), Error> {
        loop {
            while let Some(frame) = scan.next()? {
                let (at, length) = (frame.offset, offset(frame.bytes.len()));
                self.frames += 1;
                let start = at.saturating_add(offset(FRAME_HEADER_BYTES));
                if !self.take(start, frame.payload) {
                    self.fault(at, Some(length), frame::NOT_RECORDS);
                }
            }
            match scan.behind()? {
                Behind::Frame => {}
                Behind::Tail(bytes) => {
                    self.tail_bytes = bytes;
                    return Ok(());
                }
                Behind::Damage => {
                    let at = scan.end();
                    let next = scan.skip_damage()?;
                    let length = next.unwrap_or(scan.size()).saturating_sub(at);
                    self.fault(at, Some(length), NO_FRAME);
                    if self.purpose == Purpose::Salvage {
                        let bytes = scan.bytes(at, crate::format::length(length))?;
                        self.rescue(at, bytes);
                    }
                    if next.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes the records of a sound frame; says whether all of them are.
    fn take(&mut self, start: u64, payload: &[u8]) -> bool {
        let whole = frame::records(payload).all(|record| record.is_some());
        if !whole && self.purpose == Purpose::Salvage {
            self.rescue(start, payload);
        }
        for (change, span) in frame::records(payload).flatten().take_while(|_| whole) {
            self.checked += 1;
            self.index.apply(&change, Place::in_frame(start, span));
        }
        whole
    }

    /// Takes every record from damaged bytes that proves itself. One whose checksum is wrong is passed over as
    /// a whole where its lengths make sense: bytes in a value that look like a record are none.
    fn rescue(&mut self, start: u64, bytes: &[u8]) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..) {
            let Some(found) = memchr(frame::RECORD_START, rest) else { return };
            at += found;
            let claim = frame::claim(rest.get(found..).unwrap_or_default());
            match claim {
                Claim::Sound(change, length) => {
                    let place = Place { offset: start.saturating_add(offset(at)), length };
                    self.index.apply(&change, place);
                    at += length;
                }
                Claim::Damaged(length) if ends_well(bytes.get(at + length..).unwrap_or_default()) => {
                    at += length
                }
                Claim::Damaged(_) | Claim::None => at += 1,
            }
        }
    }

    /// Visits what counts.
    fn visit(&self, faults: &mut Vec<Fault>, visit: &mut dyn FnMut(Record<'_>)) -> Result<u64, Error> {
        let mut from = 0;
        let mut visited = 0;
        let mut bytes = Vec::new();
        loop {
            let places = self.index.places(from..u64::MAX, BATCH);
            let Some(last) = places.last() else { return Ok(visited) };
            from = last.end();
            for place in places {
                bytes.resize(place.length, 0);
                let read = read_full(&*self.file, &mut bytes, place.offset)
                    .map_err(|e| Error::io("reading", &self.name, e))?;
                match bytes.get(..read).and_then(frame::record) {
                    Some(Change::Put { key, label, flags, value }) => {
                        visited += 1;
                        visit(Record { key, label, flags, value, offset: place.offset });
                    }
                    _ => faults.push(Fault {
                        name: self.name.clone(),
                        offset: place.offset,
                        length: Some(offset(place.length)),
                        detail: "the record is damaged",
                    }),
                }
            }
        }
    }
}

/// Whether what follows can follow a record: another one, or a frame's checksum and the next frame or the end.
fn ends_well(behind: &[u8]) -> bool {
    let end =
        behind.get(CHECKSUM_BYTES..).is_none_or(|next| next.is_empty() || next.starts_with(&FRAME_MAGIC));
    end || frame::claim(behind) != Claim::None
}

/// The salt of a log whose header is damaged: the one that most of its frames have.
fn frames_salt(window: &mut Window<'_>, name: &str) -> Result<Option<[u8; 8]>, Error> {
    let reading = |e| Error::io("reading", name, e);
    let finder = memmem::Finder::new(&FRAME_MAGIC);
    let mut salts: BTreeMap<[u8; 8], u64> = BTreeMap::new();
    let mut at = 0;
    loop {
        let block = window.view(at, WINDOW_BYTES).map_err(reading)?;
        let last = block.len() < WINDOW_BYTES;
        let Some(found) = finder.find(block) else {
            if last {
                break;
            }
            at = at.saturating_add(offset(block.len() - FRAME_MAGIC.len() + 1));
            continue;
        };
        at = at.saturating_add(offset(found));
        let mut passed = 1;
        let header = frame::FrameHeader::decode(window.view(at, FRAME_HEADER_BYTES).map_err(reading)?);
        if let Some(header) = header.filter(|header| header.attested <= at) {
            let bytes = window.exactly(at, header.frame_bytes()).map_err(reading)?;
            if bytes.and_then(frame::payload).is_some() {
                *salts.entry(header.salt).or_default() += 1;
                passed = offset(header.frame_bytes()); // what looks like a frame in a value is none
            }
        }
        at = at.saturating_add(passed);
    }
    Ok(salts.into_iter().max_by_key(|(_, frames)| *frames).map(|(salt, _)| salt))
}
