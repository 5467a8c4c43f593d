//! What complete segments hold of the matrices that a process has open.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::folder::changed;
use super::format::{BandRecord, PackKey, Record, Stamp};
use super::segment::{Reading, Segment, read_footer};

/// The shortest time between two looks at the folder.
const INTERVAL: Duration = Duration::from_millis(50);
/// A segment that was used this short a time ago is not marked as used again.
const RECENT: Duration = Duration::from_secs(60);

/// Where a band is.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) segment: Arc<Segment>,
    pub(super) record: Record,
}

impl Entry {
    fn key(&self) -> (u64, Stamp) {
        (self.record.band.band, self.record.band.stamp)
    }
}

/// The bands of the matrices that this process has open.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By band and stamp: of a band whose files changed, the old pack may still be there.
    matrices: HashMap<PackKey, HashMap<(u64, Stamp), Entry>>,
    /// The number of batches of keys that were added.
    n_batches: usize,
    /// The names of the segments that were read.
    seen: HashSet<OsString>,
    /// When the folder had last changed.
    changed: Option<(i64, i64)>,
    looked: Option<Instant>,
}

impl Index {
    /// Adds matrices: those of the batches that this index has not seen. What segments hold of them
    /// is looked up at the next [refresh](Self::refresh).
    pub(super) fn add_matrices<'a>(&mut self, batches: impl Iterator<Item = &'a [PackKey]>) {
        let before = self.matrices.len();
        for batch in batches.skip(self.n_batches) {
            self.n_batches += 1;
            for &key in batch {
                self.matrices.entry(key).or_default();
            }
        }
        if self.matrices.len() > before {
            self.seen.clear();
            (self.changed, self.looked) = (None, None);
        }
    }

    /// Adds a band.
    pub(super) fn add(&mut self, key: PackKey, entry: Entry) {
        if let Some(name) = entry.segment.path().file_name() {
            self.seen.insert(name.to_owned());
        }
        if let Some(bands) = self.matrices.get_mut(&key) {
            bands.insert(entry.key(), entry);
        }
    }

    /// Forgets a segment.
    pub(super) fn forget(&mut self, segment: &Arc<Segment>) {
        for bands in self.matrices.values_mut() {
            bands.retain(|_, entry| !Arc::ptr_eq(&entry.segment, segment));
        }
    }

    /// A band, if its files had this stamp.
    pub(super) fn get(&self, key: PackKey, band: u64, stamp: Stamp) -> Option<Entry> {
        self.matrices.get(&key)?.get(&(band, stamp)).cloned()
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
        self.changed = Some(changed);
        let mut damaged = Vec::new();
        for entry in fs::read_dir(packs)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_owned();
            let is_segment = path.extension().is_some_and(|end| end == "pack");
            if !is_segment || !self.seen.insert(name) {
                continue;
            }
            let segment = Arc::new(Segment::complete(path, reading));
            match read_footer(segment.path()) {
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(None) => damaged.push(segment),
                Ok(Some(footer)) => {
                    let mut is_used = false;
                    for record in footer.records {
                        let key = footer.matrices[record.matrix as usize].key;
                        if let Some(bands) = self.matrices.get_mut(&key) {
                            let segment = segment.clone();
                            let entry = Entry { segment, record };
                            bands.insert(entry.key(), entry);
                            is_used = true;
                        }
                    }
                    if is_used {
                        mark_as_used(segment.path());
                    }
                }
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
