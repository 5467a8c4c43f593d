//! What a cache holds, for people: lists, checks, removal.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::PackCache;
use super::format::PackKey;
use super::segment::{Segment, read_footer};
use crate::error::Error;

/// What a cache holds of one matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedElement {
    /// The path of the file.
    pub file: PathBuf,
    /// The path of the matrix in the file, such as `X`. Empty for what was read of a file on a server
    /// when it was opened.
    pub element: String,
    /// The number of bands of chunks.
    pub n_bands: u64,
    /// The number of elements that the file stores for them.
    pub n_elements: u64,
    /// The bytes of their packs. If two processes packed a band at once, both packs count.
    pub n_bytes: u64,
}

/// A damaged segment of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheFault {
    /// The file of the segment.
    pub segment: PathBuf,
    /// The number of its bands that are damaged; `None` if it is not known which there are.
    pub n_bands: Option<usize>,
}

impl PackCache {
    /// Lists what the folder holds, by file and element. A matrix whose file was changed and packed
    /// again comes twice.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<CachedElement>, Error> {
        let (mut elements, mut seen) = (HashMap::new(), HashSet::new());
        for segment in self.segments()? {
            let footer = read_footer(segment.path());
            let Some(footer) = self.existing(footer)?.flatten() else {
                continue;
            };
            for record in footer.records {
                let name = &footer.matrices[record.matrix as usize];
                let new = || CachedElement {
                    file: PathBuf::from(&name.file),
                    element: name.element.clone(),
                    n_bands: 0,
                    n_elements: 0,
                    n_bytes: 0,
                };
                let element = elements.entry(name.key).or_insert_with(new);
                // Two processes may have packed one band.
                if seen.insert((name.key, record.band.band)) {
                    element.n_bands += u64::from(record.band.is_band());
                    element.n_elements = element.n_elements.saturating_add(record.band.n_elements);
                }
                element.n_bytes = element.n_bytes.saturating_add(record.len);
            }
        }
        let mut elements: Vec<(PackKey, CachedElement)> = elements.into_iter().collect();
        elements.sort_by(|(a_key, a), (b_key, b)| {
            (&a.file, &a.element, a_key).cmp(&(&b.file, &b.element, b_key))
        });
        Ok(elements.into_iter().map(|(_, element)| element).collect())
    }

    /// Compares the checksums of all bands, and returns the segments that are damaged. Calls
    /// `progress` with the number of segments done and of all.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn verify(&self, mut progress: impl FnMut(usize, usize)) -> Result<Vec<CacheFault>, Error> {
        let mut faults = Vec::new();
        let segments = self.segments()?;
        for (number, segment) in segments.iter().enumerate() {
            progress(number, segments.len());
            let footer = read_footer(segment.path());
            let Some(footer) = self.existing(footer)? else {
                continue;
            };
            let n_bands = footer.map(|footer| {
                let is_damaged = |record: &&super::format::Record| {
                    let slice = segment.slice(record);
                    let bytes = slice.as_ref().map(|slice| slice.read(0..slice.len()));
                    !matches!(bytes, Some(Ok(bytes)) if record.agrees(&bytes))
                };
                footer.records.iter().filter(is_damaged).count()
            });
            if n_bands != Some(0) {
                let segment = segment.path().to_owned();
                faults.push(CacheFault { segment, n_bands });
            }
        }
        progress(segments.len(), segments.len());
        Ok(faults)
    }

    /// Removes all packed rows, also those that other processes use: they go on with what they have
    /// read, and decode the rest. Returns the number of bytes.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn clear(&self) -> Result<u64, Error> {
        self.flush();
        let cleared = self.inner.folder.clear();
        cleared.map_err(|error| Error::io(self.path(), "", error))
    }

    /// The complete segments, in the order of their names.
    fn segments(&self) -> Result<Vec<Arc<Segment>>, Error> {
        self.complete_current();
        let packs = self.inner.folder.packs();
        let listed = || -> io::Result<Vec<PathBuf>> {
            let entries = fs::read_dir(&packs)?;
            entries.map(|entry| Ok(entry?.path())).collect()
        };
        let mut paths = listed().map_err(|error| Error::io(&packs, "", error))?;
        paths.retain(|path| path.extension().is_some_and(|end| end == "pack"));
        paths.sort();
        let segment = |path| Arc::new(Segment::complete(path, &self.inner.reading));
        Ok(paths.into_iter().map(segment).collect())
    }

    /// `None` if the file does not exist any more.
    fn existing<T>(&self, read: io::Result<T>) -> Result<Option<T>, Error> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(self.path(), "", error)),
        }
    }
}
