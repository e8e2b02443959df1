//! A log that is being made, under the temporary name: an empty one, or a new generation.

use std::sync::Arc;

use crate::error::Error;
use crate::format::{FILE_MODE, FIRST_FRAME, FileHeader, Name, TEMPORARY, offset};
use crate::frame::{self, Builder, Change};
use crate::fs::{Dir, File, FileId, write_all};
use crate::index::{Index, Place};
use crate::rules::Rules;
use crate::writer::Tail;

/// How many bytes of records a frame has that was not a commit of its own.
const FRAME_BYTES: usize = 256 << 10;

/// What the frames say of those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attest {
    /// That they are on disk, which is true as soon as the file has its name.
    OwnStart,
    /// Nothing that the name does not say; for tests.
    Nothing,
}

/// A log without a name.
pub(crate) struct Making {
    file: Arc<dyn File>,
    id: FileId,
    generation: u64,
    salt: [u8; 8],
    attest: Attest,
    builder: Builder,
    index: Index,
    end: u64,
    sequence: u64,
    /// Where the last frame stands.
    last: u64,
}

fn writing(error: std::io::Error) -> Error {
    Error::write("writing", TEMPORARY, error)
}

impl Making {
    /// Makes the file, with its header. What an earlier one left under the name must be gone.
    ///
    /// # Errors
    /// `Full`, `Io`.
    pub fn start(dir: &dyn Dir, generation: u64, salt: [u8; 8], attest: Attest) -> Result<Making, Error> {
        let file = dir.create(TEMPORARY, FILE_MODE).map_err(|e| Error::write("making", TEMPORARY, e))?;
        let started = file.stat().map_err(|e| Error::io("looking at", TEMPORARY, e)).and_then(|stat| {
            let header = FileHeader { salt, generation }.encode();
            write_all(&*file, &header, 0).map_err(|short| writing(short.error))?;
            Ok(stat.id)
        });
        let id = match started {
            Ok(id) => id,
            Err(error) => {
                // Never used again; what cannot be removed now is removed by the next one.
                let _ = dir.remove(TEMPORARY);
                return Err(error);
            }
        };
        let mut builder = Builder::default();
        builder.start();
        let (index, end, sequence, last) = (Index::default(), FIRST_FRAME, 0, FIRST_FRAME);
        Ok(Making { file, id, generation, salt, attest, builder, index, end, sequence, last })
    }

    /// Adds a record that was written before, byte for byte.
    ///
    /// # Errors
    /// `Full`, `Io`.
    pub fn push(&mut self, change: &Change<'_>, record: &[u8]) -> Result<(), Error> {
        if self.builder.payload_bytes().saturating_add(record.len()) > FRAME_BYTES {
            self.flush()?;
        }
        let span = self.builder.push_record(record);
        self.index.apply(change, Place::in_frame(self.end, span));
        Ok(())
    }

    /// Writes the frame that was begun, if there is one.
    ///
    /// # Errors
    /// `Full`, `Io`.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.builder.payload_bytes() > 0 { self.write_frame() } else { Ok(()) }
    }

    fn write_frame(&mut self) -> Result<(), Error> {
        let attested = if self.attest == Attest::OwnStart { self.end } else { FIRST_FRAME };
        let sequence = self.sequence.saturating_add(1);
        let bytes = self
            .builder
            .finish(self.salt, sequence, attested)
            .map_err(|frame::TooLarge(bytes)| Error::TooLarge { bytes })?;
        write_all(&*self.file, bytes, self.end).map_err(|short| writing(short.error))?;
        self.last = self.end;
        self.end = self.end.saturating_add(offset(bytes.len()));
        self.sequence = sequence;
        self.builder.settle();
        self.builder.start();
        Ok(())
    }

    /// Ends it: the last frame is empty.
    ///
    /// # Errors
    /// `Full`, `Io`.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.write_frame()
    }

    /// # Errors
    /// `Io`, and this file must never be synced again.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync().map_err(|e| Error::write("syncing", TEMPORARY, e))
    }

    /// Whether the temporary name is still this file's.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_in_place(&self, dir: &dyn Dir) -> Result<bool, Error> {
        let named = dir.stat_name(TEMPORARY).map_err(|e| Error::io("looking at", TEMPORARY, e))?;
        Ok(named.is_some_and(|named| named.id == self.id))
    }

    /// Gives it its name. Not durable until the folder is synced.
    ///
    /// # Errors
    /// `Io`.
    pub fn rename(&self, dir: &dyn Dir) -> Result<String, Error> {
        let name = Name::Log(self.generation).to_string();
        dir.rename(TEMPORARY, &name).map_err(|e| Error::io("naming", &name, e))?;
        Ok(name)
    }

    /// Gives it up.
    pub fn discard(self, dir: &dyn Dir) {
        if self.is_in_place(dir).unwrap_or(false) {
            // What cannot be removed now is removed by the next one, or at open.
            let _ = dir.remove(TEMPORARY);
        }
    }

    /// The log that it is now.
    pub fn into_log(mut self, name: String, rules: Rules) -> (Tail, Index) {
        let tail = Tail::new(self.file, name, self.generation, self.salt, rules)
            .at(self.end, self.sequence, self.end)
            .changed(self.last, self.last);
        self.index.settle();
        (tail, self.index)
    }
}
