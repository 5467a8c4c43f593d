//! What was read of an object, or of the files of a folder, when a collection was opened: kept in the
//! cache for the next process.
//!
//! ```text
//! key: hash of the URL ─▶ records: generation · number
//!                           number 0: the version of the object
//!                           others: pieces: part · first byte · version of the file · bytes
//! ```
//!
//! When the object has another version, a new generation begins.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::client::Answer;
use super::object::Version;
use super::url::RemoteUrl;
use crate::io::context::IoContext;
use crate::io::fork::ForkLocal;
use crate::io::lock::lock;
use crate::io::pack_cache::{BandRecord, MatrixName, PackCache, PackKey, SegmentSlice};

/// The format of records.
const FORMAT: &str = "remote reads 1";
/// Records of a generation.
const GENERATION: u64 = 1 << 20;
/// A record is written when its pieces have so many bytes.
const RECORD_BYTES: usize = 4 << 20;
/// A longer piece is not kept.
const MOST_PIECE_BYTES: usize = 8 << 20;
const MOST_RECORD_BYTES: u64 = 16 << 20;

/// Whether a context keeps what it reads now, and what it has not written yet.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    is_on: AtomicBool,
    begun: Mutex<Vec<Weak<Kept>>>,
}

impl Keeping {
    /// Begins, or ends and writes what is left.
    pub(crate) fn set(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
        if !is_on {
            let begun = std::mem::take(&mut *lock(&self.begun));
            begun
                .iter()
                .filter_map(Weak::upgrade)
                .for_each(|kept| kept.write());
        }
    }

    fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }
}

/// What is kept of one object or folder.
#[derive(Debug)]
pub(super) struct Kept {
    context: IoContext,
    cache: PackCache,
    name: MatrixName,
    generation: u64,
    version: Option<Version>,
    /// The pieces that were found, by part and first byte.
    pieces: BTreeMap<(String, u64), Piece>,
    /// The number of the last record that was found.
    n_found: u64,
    new: ForkLocal<Mutex<New>>,
}

/// A piece in a record.
#[derive(Debug)]
struct Piece {
    record: SegmentSlice,
    /// Its bytes in the record.
    place: Range<usize>,
    version: Option<Version>,
}

/// Pieces that are not written yet.
#[derive(Debug, Default)]
struct New {
    bytes: Vec<u8>,
    /// All that are not among those that were found: an answer may be used several times.
    names: HashSet<(String, u64)>,
    n_written: u64,
}

impl Kept {
    /// Looks up what is kept of the object at a URL. `None` without a cache.
    pub(super) fn find(context: &IoContext, url: &RemoteUrl) -> Option<Kept> {
        let cache = context.cache()?.clone();
        let mut hasher = blake3::Hasher::new();
        hasher.update(FORMAT.as_bytes());
        hasher.update(url.identity().as_bytes());
        let key = PackKey(*hasher.finalize().as_bytes().first_chunk()?);
        cache.add_matrices(vec![key]);
        let mut records = Vec::new();
        cache.known(key, |record, _| records.push(record.band));
        let generation = records.iter().max().map_or(0, |last| last / GENERATION);
        let mut kept = Kept {
            context: context.clone(),
            cache,
            name: MatrixName {
                key,
                file: url.name().to_string_lossy().into_owned(),
                element: String::new(),
            },
            generation,
            version: None,
            pieces: BTreeMap::new(),
            n_found: 0,
            new: ForkLocal::new(Mutex::default),
        };
        records.retain(|record| record / GENERATION == generation);
        records.sort_unstable();
        for record in records {
            kept.load(record);
        }
        Some(kept)
    }

    /// Loads one record. A damaged one is left out.
    fn load(&mut self, record: u64) {
        let number = record % GENERATION;
        self.n_found = self.n_found.max(number);
        let key = self.name.key;
        if number == 0 {
            let parse = |bytes: &[u8]| decoded(bytes);
            let found = self.cache.find(key, record, MOST_RECORD_BYTES, parse);
            self.version = found.map(|(_, _, version)| version);
            return;
        }
        if let Some((_, slice, pieces)) = self.cache.find(key, record, MOST_RECORD_BYTES, pieces) {
            for (name, version, place) in pieces {
                let record = slice.clone();
                let piece = Piece {
                    record,
                    place,
                    version,
                };
                self.pieces.insert(name, piece);
            }
        }
    }

    /// The version of the object that the pieces are of.
    pub(super) fn version(&self) -> Option<&Version> {
        self.version.as_ref().filter(|_| !self.pieces.is_empty())
    }

    /// Goes on with an object of this version. `None` if it cannot be told from others.
    pub(super) fn of_version(mut self, url: &RemoteUrl, version: &Version) -> Option<Arc<Kept>> {
        version.stamp(&url.identity())?;
        if self.version.as_ref() != Some(version) {
            self.generation += 1;
            self.pieces.clear();
            self.n_found = 0;
            self.version = None;
        }
        let is_new = self.version.is_none();
        self.version = Some(version.clone());
        if is_new && self.context.keeping().is_on() {
            self.put(0, version.to_json().to_string().as_bytes());
        }
        let kept = Arc::new(self);
        lock(&kept.context.keeping().begun).push(Arc::downgrade(&kept));
        Some(kept)
    }

    /// The piece of a part that holds a range, of a file of this version.
    fn piece(&self, part: &str, version: &Version, range: Range<u64>) -> Option<(u64, &Piece)> {
        let until = (part.to_owned(), range.start);
        let ((found, start), piece) = self.pieces.range(..=until).next_back()?;
        let end = start + piece.place.len() as u64;
        let is_of_version = piece.version.as_ref() == Some(version);
        (found == part && is_of_version && range.end <= end).then_some((*start, piece))
    }

    pub(super) fn has(&self, part: &str, version: &Version, range: &Range<u64>) -> bool {
        self.piece(part, version, range.clone()).is_some()
    }

    /// Fills `out` from the position `offset` of a part, if that was kept.
    pub(super) fn read(&self, part: &str, version: &Version, offset: u64, out: &mut [u8]) -> bool {
        let range = offset..offset + out.len() as u64;
        let Some((start, piece)) = self.piece(part, version, range) else {
            return false;
        };
        let from = piece.place.start + (offset - start) as usize;
        let bytes = piece.record.read(from..from + out.len());
        // If the record is gone, the bytes are fetched again.
        bytes.map(|bytes| out.copy_from_slice(&bytes)).is_ok()
    }

    /// The first piece of a part, as the answer that it once was.
    pub(super) fn answer(&self, part: &str) -> Option<Answer> {
        let from = (part.to_owned(), 0);
        let ((found, start), piece) = self.pieces.range(from..).next()?;
        if found != part {
            return None;
        }
        Some(Answer {
            version: piece.version.clone()?,
            start: *start,
            bytes: piece.record.read(piece.place.clone()).ok()?.into_owned(),
        })
    }

    /// The version of the file of which a part has a first piece.
    pub(super) fn version_of(&self, part: &str) -> Option<&Version> {
        let from = (part.to_owned(), 0);
        let ((found, _), piece) = self.pieces.range(from..).next()?;
        piece.version.as_ref().filter(|_| found == part)
    }

    /// Keeps an answer to a request for a part, if the context keeps what it reads now.
    pub(super) fn add(&self, part: &str, version: &Version, start: u64, bytes: &[u8]) {
        let range = start..start + bytes.len() as u64;
        if !self.context.keeping().is_on()
            || bytes.len() > MOST_PIECE_BYTES
            || self.has(part, version, &range)
        {
            return;
        }
        let mut new = lock(self.new.get());
        if !new.names.insert((part.to_owned(), start)) {
            return;
        }
        let version = version.to_json().to_string();
        for text in [part, &version] {
            new.bytes.extend((text.len() as u64).to_le_bytes());
            new.bytes.extend(text.as_bytes());
        }
        new.bytes.extend(start.to_le_bytes());
        new.bytes.extend((bytes.len() as u64).to_le_bytes());
        new.bytes.extend(bytes);
        if new.bytes.len() >= RECORD_BYTES {
            self.write_new(&mut new);
        }
    }

    /// Writes what is not written yet.
    pub(super) fn write(&self) {
        self.write_new(&mut lock(self.new.get()));
    }

    fn write_new(&self, new: &mut New) {
        let bytes = std::mem::take(&mut new.bytes);
        let number = self.n_found + new.n_written + 1;
        if !bytes.is_empty() && number < GENERATION {
            new.n_written += 1;
            self.put(number, &bytes);
        }
    }

    fn put(&self, number: u64, bytes: &[u8]) {
        let record = BandRecord {
            band: self.generation * GENERATION + number,
            first_row: 0,
            n_elements: 0,
        };
        self.cache.put(&self.name, record, bytes);
    }
}

/// The version of a file that does not exist.
const NOTHING: Version = Version {
    etag: None,
    modified: None,
    len: 0,
};

/// What is kept of an object by itself, or of one file of a folder.
#[derive(Debug, Clone)]
pub(super) struct KeptPart {
    kept: Arc<Kept>,
    part: String,
}

impl KeptPart {
    /// `part` is the name of the file, or empty.
    pub(super) fn new(kept: Arc<Kept>, part: String) -> KeptPart {
        KeptPart { kept, part }
    }

    /// The part that holds the first answer to a request for a file of a folder.
    fn part_of_first(&self) -> String {
        match &*self.part {
            "" => String::new(),
            part => format!("{part} first"),
        }
    }

    pub(super) fn first(&self) -> Option<Answer> {
        self.kept.answer(&self.part_of_first())
    }

    /// Whether a first answer is there, of the version that is listed if one is.
    pub(super) fn has_first(&self, listed: Option<&Version>) -> bool {
        let known = self.kept.version_of(&self.part_of_first());
        known.is_some_and(|known| listed.is_none_or(|listed| listed == known))
    }

    pub(super) fn add_first(&self, answer: &Answer) {
        let part = self.part_of_first();
        self.kept
            .add(&part, &answer.version, answer.start, &answer.bytes);
    }

    pub(super) fn has(&self, version: &Version, range: &Range<u64>) -> bool {
        self.kept.has(&self.part, version, range)
    }

    /// Whether the file was found not to exist.
    pub(super) fn is_absent(&self) -> bool {
        self.kept.has(&self.part_of_absence(), &NOTHING, &(0..0))
    }

    pub(super) fn add_absence(&self) {
        self.kept.add(&self.part_of_absence(), &NOTHING, 0, &[]);
    }

    fn part_of_absence(&self) -> String {
        format!("{} absent", self.part)
    }

    pub(super) fn read(&self, version: &Version, offset: u64, out: &mut [u8]) -> bool {
        self.kept.read(&self.part, version, offset, out)
    }

    pub(super) fn add(&self, answer: &Answer) {
        self.kept
            .add(&self.part, &answer.version, answer.start, &answer.bytes);
    }

    pub(super) fn write(&self) {
        self.kept.write();
    }
}

fn decoded(bytes: &[u8]) -> Option<Version> {
    Version::from_json(&serde_json::from_slice(bytes).ok()?)
}

type FoundPiece = ((String, u64), Option<Version>, Range<usize>);

/// Takes the pieces of a record apart. `None` if it is damaged.
fn pieces(record: &[u8]) -> Option<Vec<FoundPiece>> {
    let mut at = 0;
    let mut found = Vec::new();
    let number = |at: &mut usize| {
        let bytes = record.get(*at..*at + 8)?;
        *at += 8;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let range = |at: &mut usize| {
        let len = usize::try_from(number(at)?).ok()?;
        let range = *at..at.checked_add(len)?;
        *at = range.end;
        (range.end <= record.len()).then_some(range)
    };
    while at < record.len() {
        let part = std::str::from_utf8(&record[range(&mut at)?])
            .ok()?
            .to_owned();
        let version = decoded(&record[range(&mut at)?]);
        let start = number(&mut at)?;
        let place = range(&mut at)?;
        start.checked_add(place.len() as u64)?;
        found.push(((part, start), version, place));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::options::IoOptions;
    use crate::io::pack_cache::CacheOptions;

    fn version(etag: &str) -> Version {
        Version {
            etag: Some(etag.to_owned()),
            modified: None,
            len: 100,
        }
    }

    #[test]
    fn kept_pieces_are_found_by_the_next_process_for_the_same_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = RemoteUrl::parse("https://host/a.h5ad?sig=1").expect("a URL");
        let open = |wanted: &str| {
            let cache = CacheOptions::new(folder.path());
            let context = IoContext::with_cache(IoOptions::new(), &cache).expect("a cache");
            context.keep_remote_reads(true);
            let kept = Kept::find(&context, &url).expect("a cache");
            let before = kept.version().cloned();
            let kept = kept.of_version(&url, &version(wanted)).expect("an ETag");
            (context, kept, before)
        };
        let read = |kept: &Kept, part: &str, offset| {
            let mut out = [0; 3];
            let of = match part {
                "" => kept.version.clone().expect("it is set"),
                _ => version("of b"),
            };
            kept.read(part, &of, offset, &mut out).then_some(out)
        };
        for (wanted, first) in [("one", 10), ("two", 20)] {
            let (context, kept, before) = open(wanted);
            assert_ne!(before, Some(version(wanted)));
            assert_eq!(read(&kept, "", 0), None);
            for _ in 0..2 {
                kept.add("", &version(wanted), 4, &[first, 11, 12, 13]);
            }
            let n_bytes = lock(kept.new.get()).bytes.len();
            assert!(
                n_bytes < 2 * (8 + 8 + 20 + 8 + 8 + 4),
                "{n_bytes}: kept once"
            );
            kept.add("b", &version("of b"), 0, &[1, 2, 3]);
            context.keep_remote_reads(false);
            kept.add("", &version(wanted), 50, &[5; 10]);
            context.close();
            let (context, kept, before) = open(wanted);
            assert_eq!(before, Some(version(wanted)));
            assert_eq!(read(&kept, "", 4), Some([first, 11, 12]));
            assert_eq!(read(&kept, "", 5), Some([11, 12, 13]));
            assert_eq!(read(&kept, "", 3), None);
            assert_eq!(read(&kept, "", 6), None);
            assert_eq!(read(&kept, "", 50), None, "it was not to be kept");
            assert_eq!(read(&kept, "b", 0), Some([1, 2, 3]));
            let answer = kept.answer("b").expect("it was kept");
            assert_eq!((answer.version, answer.start), (version("of b"), 0));
            assert!(kept.answer("c").is_none());
            context.keep_remote_reads(false);
        }
        // What was kept of the first version is not that of another one.
        let (_, kept, before) = open("one");
        assert_eq!(before, Some(version("two")));
        assert_eq!(read(&kept, "", 4), None);
    }

    #[test]
    fn damaged_records_have_no_pieces() {
        let mut record = Vec::new();
        for text in ["part", "[null,1,2]"] {
            record.extend((text.len() as u64).to_le_bytes());
            record.extend(text.as_bytes());
        }
        record.extend(7u64.to_le_bytes());
        record.extend(2u64.to_le_bytes());
        record.extend([8, 9]);
        let found = pieces(&record).expect("a record");
        let expected = Version {
            etag: None,
            modified: Some(1),
            len: 2,
        };
        let place = record.len() - 2..record.len();
        assert_eq!(found, [(("part".to_owned(), 7), Some(expected), place)]);
        for end in 1..record.len() {
            assert_eq!(pieces(&record[..end]), None, "{end} bytes");
        }
        for at in [0, 12, record.len() - 10] {
            let mut claims = record.clone();
            claims[at..at + 8].fill(0xff);
            assert_eq!(pieces(&claims), None, "at {at}");
        }
    }
}
