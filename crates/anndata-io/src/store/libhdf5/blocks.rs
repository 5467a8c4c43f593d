//! Blocks of a dataset, which the library fills with elements.

use std::collections::HashMap;
use std::path::PathBuf;

use hdf5::dataset::Layout;
use hdf5::{Dataset, Dataspace, Datatype, Hyperslab, SliceOrIndex};

use super::call::{CallError, Held, Result};
use super::{failure, ffi};
use crate::array::chunks::BlockReader;
use crate::error::Error;
use crate::io::file::FileSource;

/// Bytes per block, when a dataset without chunks is read.
const BLOCK_BYTES: u64 = 1 << 20;

/// Returns a block shape of whole rows of about [`BLOCK_BYTES`], or of a part of a row if a row is
/// longer.
pub(super) fn block_shape(shape: &[u64], item: u64) -> Vec<u64> {
    let mut room = (BLOCK_BYTES / item.max(1)).max(1);
    let mut block = vec![1; shape.len()];
    for axis in (0..shape.len()).rev() {
        block[axis] = shape[axis].clamp(1, room);
        room /= block[axis];
        if block[axis] < shape[axis] {
            break;
        }
    }
    block
}

/// An open dataset: its own chunks, or blocks of a chosen shape.
#[derive(Debug)]
pub(super) struct Blocks {
    /// File and element, for errors.
    pub(super) place: (PathBuf, String),
    /// The number of axes of the dataset: a field of its records may have more.
    pub(super) rank: usize,
    /// The file that contains the dataset.
    pub(super) source: FileSource,
    pub(super) dataset: Held<Dataset>,
    pub(super) memory_type: Held<Datatype>,
    pub(super) layout: Layout,
    /// Stored bytes of each written chunk, by the position of its first element.
    pub(super) chunk_sizes: HashMap<Vec<u64>, u64>,
    /// Bytes of one block.
    pub(super) block: u64,
    /// The most bytes that all elements take in the file.
    pub(super) stored: u64,
    /// The most bytes that one stored byte may become.
    pub(super) ratio: u64,
}

impl Blocks {
    /// Runs calls on the dataset, after its file was found to be the one that was opened. `count`
    /// elements along each axis from `start` on become the first corner of a block of shape
    /// `within`.
    fn call(
        &self,
        [start, count, within]: [&[u64]; 3],
        calls: impl FnOnce(&Dataset, &Datatype, &ffi::Spaces) -> Result<()>,
    ) -> std::result::Result<(), Error> {
        self.source.check_unchanged()?;
        let done = self.dataset.with(|dataset| {
            let spaces = spaces(dataset, start, count, within)?;
            self.memory_type.with(|item| calls(dataset, item, &spaces))
        });
        done.map_err(|error| failure(&self.place.0, &self.place.1, error))
    }
}

/// Returns the selections in memory and in the file.
fn spaces(dataset: &Dataset, start: &[u64], count: &[u64], within: &[u64]) -> Result<ffi::Spaces> {
    let file = dataset.space()?;
    let rank = within.len();
    if start.len() != rank || count.len() != rank || file.ndim() != rank {
        return Err(CallError::Library("a selection of another rank".to_owned()));
    }
    let within: Vec<usize> = within.iter().map(|&extent| extent as usize).collect();
    let memory = Dataspace::try_new(within)?;
    if rank == 0 {
        return Ok(ffi::Spaces { memory, file });
    }
    let corner = vec![0; rank];
    Ok(ffi::Spaces {
        memory: memory.select(slab(&corner, count))?,
        file: file.select(slab(start, count))?,
    })
}

/// Selects the block of shape `count` at `start`.
fn slab(start: &[u64], count: &[u64]) -> Hyperslab {
    let axes = start.iter().zip(count);
    let axes: Vec<SliceOrIndex> = axes
        .map(|(&start, &count)| SliceOrIndex::SliceCount {
            start: start as usize,
            step: 1,
            count: count as usize,
            block: 1,
        })
        .collect();
    Hyperslab::from(axes)
}

impl BlockReader for Blocks {
    fn stored_bytes(&self) -> u64 {
        self.stored
    }

    fn best_ratio(&self) -> u64 {
        self.ratio
    }

    fn stored_bytes_at(&self, start: &[u64]) -> std::result::Result<Option<u64>, Error> {
        match self.layout {
            Layout::Chunked => {
                // For arrays that grow along a later axis, the library lists some chunks in the
                // wrong place: a chunk that is not listed may still exist.
                let size = self.chunk_sizes.get(&start[..self.rank]).copied();
                let size = size.or((!self.chunk_sizes.is_empty()).then_some(self.stored));
                Ok(size.map(|size| size.min(self.source.len())))
            }
            // At most a block: a virtual dataset cannot create elements out of nothing.
            Layout::Virtual => Ok(Some(self.block)),
            Layout::Compact | Layout::Contiguous if self.stored == 0 => Ok(None),
            Layout::Compact | Layout::Contiguous => Ok(Some(self.block)),
        }
    }

    fn read(
        &self,
        start: &[u64],
        count: &[u64],
        within: &[u64],
        out: &mut [u8],
    ) -> std::result::Result<(), Error> {
        let selected = [start, count, within].map(|shape| &shape[..self.rank]);
        self.call(selected, |dataset, item, spaces| {
            ffi::read(dataset, item, spaces, out)
        })
    }

    fn read_texts(
        &self,
        start: &[u64],
        count: &[u64],
        visit: &mut dyn FnMut(&[u8]),
    ) -> std::result::Result<(), Error> {
        self.call([start, count, count], |dataset, item, spaces| {
            ffi::read_texts(dataset, item, spaces, visit)
        })
    }
}
