//! Writes segments: bands are appended to a reserved file, which becomes a segment when it is full.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::folder::{Folder, Refusal, Reserved};
use super::format::{BandRecord, Footer, MatrixName, PackKey, RECORD, Record, TAIL};
use super::segment::{Reading, Segment};

/// The most bytes of a segment, unless one band takes more. A process that is killed loses at most
/// this much of its work.
const MOST_SEGMENT: u64 = 16 << 20;
/// The fewest.
const LEAST_SEGMENT: u64 = 256 << 10;
/// The part of the folder that a segment may take.
const PART_OF_FOLDER: u64 = 32;
/// The longest time that bands wait for others before their segment is complete.
const MOST_AGE: Duration = Duration::from_secs(10);

/// The segment that a process writes.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    reserved: Reserved,
    segment: Arc<Segment>,
    begun: Instant,
    /// The bytes of its bands.
    bands: u64,
    footer: Footer,
    numbers: HashMap<PackKey, u32>,
}

impl SegmentWriter {
    /// Begins a segment that has room for a band of `len` bytes of this matrix. No segment is removed
    /// for it that has bands of this process's `own` matrices.
    pub(super) fn begin(
        (folder, own): (&Folder, &HashSet<PackKey>),
        (name, len): (&MatrixName, u64),
        reading: &Arc<Reading>,
    ) -> Result<SegmentWriter, Refusal> {
        let least = len + name.len() + RECORD + TAIL as u64;
        let wanted = (folder.limit() / PART_OF_FOLDER).clamp(LEAST_SEGMENT, MOST_SEGMENT);
        let reserved = folder.reserve(own, least, wanted.max(least))?;
        let path = reserved.complete.clone();
        Ok(SegmentWriter {
            segment: Arc::new(Segment::begun(path, &reserved.file, reading)),
            reserved,
            begun: Instant::now(),
            bands: 0,
            footer: Footer::default(),
            numbers: HashMap::new(),
        })
    }

    /// Whether another band of this length fits, and should not wait for others any longer.
    pub(super) fn has_room(&self, name: &MatrixName, len: u64) -> bool {
        let with_name = match self.numbers.contains_key(&name.key) {
            true => 0,
            false => name.len(),
        };
        let with = self.bands + len + self.footer.len() + with_name + RECORD;
        with <= self.reserved.len && self.begun.elapsed() < MOST_AGE
    }

    /// Appends a band. It must fit.
    pub(super) fn append(
        &mut self,
        name: &MatrixName,
        band: BandRecord,
        bytes: &[u8],
    ) -> io::Result<Record> {
        self.reserved.file.write_all_at(bytes, self.bands)?;
        let Footer { matrices, records } = &mut self.footer;
        let matrix = *self.numbers.entry(name.key).or_insert_with(|| {
            matrices.push(name.clone());
            matrices.len() as u32 - 1
        });
        let record = Record {
            matrix,
            crc: crc32c::crc32c(bytes),
            offset: self.bands,
            len: bytes.len() as u64,
            band,
        };
        records.push(record);
        self.bands += bytes.len() as u64;
        Ok(record)
    }

    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Completes the segment, so that other processes see it.
    pub(super) fn complete(self, folder: &Folder) -> io::Result<()> {
        if self.footer.records.is_empty() {
            return Ok(());
        }
        let footer = self.footer.encode(self.bands);
        self.reserved.file.write_all_at(&footer, self.bands)?;
        folder.complete(&self.reserved, self.bands + footer.len() as u64)
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        // If it is complete, no file has this name.
        let _ = std::fs::remove_file(&self.reserved.part);
    }
}
