//! The chunks of an array, decoded by zarrs.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use zarrs::array::{ArrayBytes, ArrayShardedReadableExt};

use super::bounds::Bounds;
use super::calls::{CallError, Own, call, call_in_pool};
use super::files::Files;
use super::open::{Opened, failure};
use crate::array::ItemType;
use crate::array::chunks::BlockReader;
use crate::array::grid::Grid;
use crate::error::{Error, ErrorKind};
use crate::io::lock::lock;

/// The most bytes of texts that were never written.
const MOST_FILLED: u64 = 64 << 20;

/// An array opened with zarrs. Its blocks are the chunks of the array, or those within its shards.
pub(super) struct Blocks {
    /// File and element, for errors.
    place: (PathBuf, String),
    grid: Grid,
    files: Arc<Files>,
    bounds: Bounds,
    zarrs: Own<Opened>,
    fill: Vec<u8>,
    /// The last chunk of texts: reads request parts of a chunk in turn.
    texts: Mutex<Option<(u64, Arc<ArrayBytes<'static>>)>>,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks")
            .field("place", &self.place)
            .field("grid", &self.grid)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl Blocks {
    pub(super) fn new(
        place: (PathBuf, String),
        grid: &Grid,
        item: &ItemType,
        fill: &[u8],
        (files, bounds, zarrs): (Arc<Files>, Bounds, Own<Opened>),
    ) -> Result<Blocks, Error> {
        // Numbers are filled in when they are read, but each text takes memory.
        let filled = grid.len().saturating_mul(fill.len() as u64);
        if matches!(item, ItemType::Text(_)) && filled > MOST_FILLED {
            let found = format!(
                "a fill_value of {} bytes for {} elements",
                fill.len(),
                grid.len()
            );
            return Err(Error::invalid(place.0, place.1, "written text", found));
        }
        Ok(Blocks {
            place,
            grid: grid.clone(),
            files,
            bounds,
            zarrs,
            fill: fill.to_vec(),
            texts: Mutex::new(None),
        })
    }

    fn at(&self, kind: ErrorKind) -> Error {
        Error::new(&self.place.0, &self.place.1, kind)
    }

    /// Makes the error of a chunk.
    fn failure(&self, chunk: u64, error: CallError) -> Error {
        match error {
            CallError::Forked => failure(error, |kind| self.at(kind)),
            error => self.at(ErrorKind::Decode {
                chunk,
                source: Arc::new(error),
            }),
        }
    }

    fn coords(&self, start: &[u64]) -> Vec<u64> {
        start
            .iter()
            .zip(&self.grid.chunk)
            .map(|(start, extent)| start / extent)
            .collect()
    }

    /// Returns the number of the chunk that contains an element.
    fn chunk(&self, start: &[u64]) -> u64 {
        self.grid.number(&self.coords(start)).unwrap_or_default()
    }

    /// Returns the bytes of the file that contains a chunk; `None` if it was never written.
    fn stored(&self, start: &[u64]) -> Result<Option<u64>, CallError> {
        let array = &self.zarrs.get()?.array;
        let shape = array
            .chunk_shape(&vec![0; start.len()])
            .map_err(CallError::of)?;
        let file: Vec<u64> = start
            .iter()
            .zip(shape.iter())
            .map(|(start, extent)| start / extent.get())
            .collect();
        let Some(stored) = self.files.len(&array.chunk_key(&file)) else {
            return Ok(None);
        };
        if !self.bounds.has_room_for_index(stored) {
            let found = format!(
                "an index of {} bytes in a shard of {stored}",
                self.bounds.index
            );
            return Err(CallError::Zarrs(found.into()));
        }
        Ok(Some(stored))
    }

    /// Returns the elements of a chunk.
    fn decoded(&self, start: &[u64]) -> Result<ArrayBytes<'static>, CallError> {
        let Opened {
            array,
            cache,
            options,
        } = self.zarrs.get()?;
        let coords = self.coords(start);
        let decoded = match cache {
            Some(cache) => array.retrieve_subchunk_opt(cache, &coords, options),
            None => array.retrieve_chunk_opt(&coords, options),
        };
        decoded.map_err(CallError::of)
    }

    /// Returns the texts of a chunk.
    fn texts(&self, start: &[u64]) -> Result<Arc<ArrayBytes<'static>>, CallError> {
        let chunk = self.chunk(start);
        // Only the process that made the lock ever takes it.
        self.zarrs.get()?;
        let mut last = lock(&self.texts);
        match &*last {
            Some((number, texts)) if *number == chunk => Ok(texts.clone()),
            _ => {
                let texts = Arc::new(call_in_pool(|| self.decoded(start))?);
                *last = Some((chunk, texts.clone()));
                Ok(texts)
            }
        }
    }
}

impl BlockReader for Blocks {
    fn stored_bytes(&self) -> u64 {
        self.files.total()
    }

    fn best_ratio(&self) -> u64 {
        self.bounds.ratio
    }

    fn stored_bytes_at(&self, start: &[u64]) -> Result<Option<u64>, Error> {
        call(|| self.stored(start)).map_err(|error| self.failure(self.chunk(start), error))
    }

    /// `within` is the shape of a whole chunk: zarrs decodes it whole even where the array's end
    /// cuts it.
    fn read(
        &self,
        start: &[u64],
        _count: &[u64],
        _within: &[u64],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let chunk = self.chunk(start);
        let decoded = call(|| self.decoded(start)?.into_fixed().map_err(CallError::of));
        let decoded = decoded.map_err(|error| self.failure(chunk, error))?;
        if decoded.len() != out.len() {
            let expected = format!("{} bytes in chunk {chunk}", out.len());
            let found = decoded.len().to_string();
            return Err(self.at(ErrorKind::Invalid { expected, found }));
        }
        out.copy_from_slice(&decoded);
        Ok(())
    }

    fn read_texts(
        &self,
        start: &[u64],
        count: &[u64],
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        let count = count.first().copied().unwrap_or(1);
        if self.stored_bytes_at(start)?.is_none() {
            (0..count).for_each(|_| visit(&self.fill));
            return Ok(());
        }
        let texts = self
            .texts(start)
            .map_err(|error| self.failure(self.chunk(start), error))?;
        let extent = self.grid.chunk_rows();
        let first = start.first().copied().unwrap_or_default() % extent;
        let found = match &*texts {
            ArrayBytes::Variable(texts) => {
                let bounds = texts
                    .offsets()
                    .windows(2)
                    .skip(first as usize)
                    .take(count as usize);
                bounds
                    .map_while(|bounds| texts.bytes().get(bounds[0]..bounds[1]))
                    .map(visit)
                    .count()
            }
            _ => 0,
        };
        if found as u64 != count {
            let expected = format!(
                "{count} texts from {first} on in chunk {}",
                self.chunk(start)
            );
            let found = found.to_string();
            return Err(self.at(ErrorKind::Invalid { expected, found }));
        }
        Ok(())
    }
}
