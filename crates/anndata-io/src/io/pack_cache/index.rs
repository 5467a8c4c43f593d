//! What complete segments hold of the matrices that a process has open.

use std::collections::{HashMap, HashSet, hash_map};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::folder::changed;
use super::format::{BandRecord, PackKey, Record};
use super::segment::{Reading, Segment, read_footer};

/// The shortest time between two looks at the folder.
const INTERVAL: Duration = Duration::from_millis(50);
/// Two changes that are further apart than this have different times.
const CLOCK_TICK: Duration = Duration::from_millis(20);
/// A segment that was used this short a time ago is not marked as used again.
const RECENT: Duration = Duration::from_secs(600);

/// Where a band is.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) segment: Arc<Segment>,
    pub(super) record: Record,
}

/// The bands of the matrices that this process has open.
#[derive(Debug, Default)]
pub(super) struct Index {
    matrices: HashMap<PackKey, HashMap<u64, Entry>>,
    /// The number of batches of keys that were added.
    n_batches: usize,
    /// The names of the segments that were read.
    seen: HashSet<OsString>,
    /// When segments were last marked as used.
    marked: Option<Instant>,
    /// When the folder had last changed.
    changed: Option<SystemTime>,
    looked: Option<Instant>,
}

impl Index {
    /// Adds matrices: those of the batches that this index has not seen. What segments hold of them
    /// is looked up at the next [refresh](Self::refresh). Returns the new keys.
    pub(super) fn add_matrices<'a>(
        &mut self,
        batches: impl Iterator<Item = &'a [PackKey]>,
    ) -> Vec<PackKey> {
        let mut new = Vec::new();
        for batch in batches.skip(self.n_batches) {
            self.n_batches += 1;
            for &key in batch {
                if let hash_map::Entry::Vacant(place) = self.matrices.entry(key) {
                    place.insert(HashMap::new());
                    new.push(key);
                }
            }
        }
        if !new.is_empty() {
            self.seen.clear();
            (self.changed, self.looked) = (None, None);
        }
        new
    }

    /// Marks the segments of these matrices as used now, unless that was done shortly before.
    pub(super) fn mark_as_used(&mut self) {
        if self.marked.is_some_and(|marked| marked.elapsed() < RECENT) {
            return;
        }
        self.marked = Some(Instant::now());
        let entries = self.matrices.values().flat_map(HashMap::values);
        let paths: HashSet<&Path> = entries.map(|entry| entry.segment.path()).collect();
        paths.into_iter().for_each(mark_as_used);
    }

    /// Adds a band.
    pub(super) fn add(&mut self, key: PackKey, entry: Entry) {
        if let Some(name) = entry.segment.path().file_name() {
            self.seen.insert(name.to_owned());
        }
        if let Some(bands) = self.matrices.get_mut(&key) {
            bands.insert(entry.record.band.band, entry);
        }
    }

    /// Forgets a segment.
    pub(super) fn forget(&mut self, segment: &Arc<Segment>) {
        for bands in self.matrices.values_mut() {
            bands.retain(|_, entry| !Arc::ptr_eq(&entry.segment, segment));
        }
    }

    /// A band.
    pub(super) fn get(&self, key: PackKey, band: u64) -> Option<Entry> {
        self.matrices.get(&key)?.get(&band).cloned()
    }

    /// The number of bands that are known of a matrix.
    pub(super) fn n_known(&self, key: PackKey) -> usize {
        self.matrices.get(&key).map_or(0, HashMap::len)
    }

    /// Visits what is known of a matrix: records of bands, and the bytes of their packs.
    pub(super) fn known(&self, key: PackKey, mut visit: impl FnMut(BandRecord, u64)) {
        for entry in self
            .matrices
            .get(&key)
            .into_iter()
            .flat_map(HashMap::values)
        {
            visit(entry.record.band, entry.record.len);
        }
    }

    /// Makes the next [refresh](Self::refresh) look at the folder, even within the shortest time.
    pub(super) fn look_again(&mut self) {
        self.looked = None;
    }

    /// Reads segments that have come since the last look. Returns those that are damaged.
    pub(super) fn refresh(
        &mut self,
        packs: &Path,
        reading: &Arc<Reading>,
    ) -> io::Result<Vec<Arc<Segment>>> {
        if self
            .looked
            .is_some_and(|looked| looked.elapsed() < INTERVAL)
        {
            return Ok(Vec::new());
        }
        self.looked = Some(Instant::now());
        let changed = changed(packs)?;
        if self.changed == Some(changed) {
            return Ok(Vec::new());
        }
        // Another change just after it may have the same time.
        let is_old = changed.elapsed().is_ok_and(|age| age > CLOCK_TICK);
        self.changed = is_old.then_some(changed);
        let mut damaged = Vec::new();
        for entry in fs::read_dir(packs)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_owned();
            let is_segment = path.extension().is_some_and(|end| end == "pack");
            if !is_segment || self.seen.contains(&name) {
                continue;
            }
            let segment = Arc::new(Segment::complete(path, reading));
            let Ok(footer) = read_footer(segment.path()) else {
                // It was removed meanwhile, or the next look may be able to read it.
                self.changed = None;
                continue;
            };
            self.seen.insert(name);
            let Some(footer) = footer else {
                damaged.push(segment);
                continue;
            };
            let mut is_used = false;
            for record in footer.records {
                let key = footer.matrices[record.matrix as usize].key;
                if let Some(bands) = self.matrices.get_mut(&key) {
                    let segment = segment.clone();
                    bands.insert(record.band.band, Entry { segment, record });
                    is_used = true;
                }
            }
            if is_used {
                mark_as_used(segment.path());
            }
        }
        Ok(damaged)
    }
}

/// Sets the time of a segment to now. If that fails, it is only removed earlier.
fn mark_as_used(path: &Path) {
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    let age = modified.map(|modified| modified.elapsed().unwrap_or_default());
    if age.is_ok_and(|age| age > RECENT)
        && let Ok(file) = fs::File::open(path)
    {
        let _ = file.set_modified(SystemTime::now());
    }
}
