//! The places of a dataset's chunks: the index in the file, turned into a table.

use hdf5_reader::chunk_index::{self, ChunkEntry};
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::messages::dataspace::DataspaceMessage;
use hdf5_reader::messages::layout::{ChunkIndexing, DataLayout};

use super::errors::is_undefined;
use super::{Hdf5Store, ahead};
use crate::array::chunks::{Chunks, TableEntry};
use crate::array::grid::Grid;
use crate::error::Error;

impl Hdf5Store {
    /// Returns the entries of the index.
    pub(super) fn chunk_entries(
        &self,
        space: &DataspaceMessage,
        layout: &DataLayout,
        item: usize,
    ) -> Result<Vec<ChunkEntry>, Hdf5Error> {
        let DataLayout::Chunked {
            address,
            dims,
            chunk_indexing,
            ..
        } = layout
        else {
            return Ok(Vec::new());
        };
        self.storage.begin_index();
        let (storage, offset_size, length_size) = self.structure();
        let shape = &space.dims[..];
        let dims = chunk_extents(dims, shape);
        if is_undefined(*address, offset_size) || shape.contains(&0) {
            return Ok(Vec::new());
        }
        // If an index is an array, chunks are numbered within the largest possible shape.
        let may_be = space
            .max_dims
            .as_deref()
            .filter(|dims| dims.len() == shape.len());
        let numbered = may_be
            .filter(|dims| !dims.contains(&u64::MAX))
            .unwrap_or(shape);
        let entries = match chunk_indexing {
            None => {
                let base = self.file.superblock().base_address;
                let place = (base, *address);
                ahead::stage_chunk_tree(&self.source, storage, place, shape.len());
                let leaves = hdf5_reader::btree_v1::collect_btree_v1_leaves_storage(
                    storage,
                    *address,
                    offset_size,
                    length_size,
                    Some(shape.len() as u32),
                    dims,
                    None,
                )?;
                let entry = |(key, address)| match key {
                    hdf5_reader::btree_v1::BTreeV1Key::RawData {
                        chunk_size,
                        filter_mask,
                        offsets,
                    } => Some(ChunkEntry {
                        address,
                        size: chunk_size.into(),
                        filter_mask,
                        offsets,
                    }),
                    hdf5_reader::btree_v1::BTreeV1Key::Group { .. } => None,
                };
                Ok(leaves.into_iter().filter_map(entry).collect::<Vec<_>>())
            }
            Some(ChunkIndexing::SingleChunk {
                filtered_size,
                filters,
            }) => {
                let (size, mask) = (*filtered_size, *filters);
                Ok(vec![chunk_index::single_chunk_entry(
                    *address,
                    size,
                    mask,
                    shape.len(),
                )])
            }
            Some(ChunkIndexing::BTreeV2) => chunk_index::collect_v2_chunk_entries_storage(
                storage,
                *address,
                offset_size,
                length_size,
                shape.len() as u32,
                dims,
                None,
            ),
            Some(ChunkIndexing::Implicit) => {
                // Of all chunks in the largest possible shape, keep those that exist now.
                let grid = Grid::new(shape.to_vec(), dims.iter().map(|&n| n.into()).collect());
                let counts = grid.map(|grid| grid.counts()).unwrap_or_default();
                let last: Vec<u64> = counts.iter().map(|n| n.saturating_sub(1)).collect();
                chunk_index::collect_implicit_chunk_entries(
                    *address,
                    numbered,
                    dims,
                    item,
                    (!shape.contains(&0)).then_some((&vec![0; last.len()], &last)),
                    storage.len(),
                )
            }
            Some(ChunkIndexing::FixedArray { .. }) => {
                hdf5_reader::fixed_array::collect_fixed_array_chunk_entries_storage(
                    storage,
                    *address,
                    offset_size,
                    length_size,
                    numbered,
                    dims,
                    None,
                )
            }
            Some(ChunkIndexing::ExtensibleArray { .. }) => {
                hdf5_reader::extensible_array::collect_extensible_array_chunk_entries_storage(
                    storage,
                    *address,
                    offset_size,
                    length_size,
                    shape,
                    space.max_dims.as_deref(),
                    dims,
                    None,
                )
            }
        }?;
        if let None | Some(ChunkIndexing::BTreeV2) = chunk_indexing
            && !entries.is_sorted_by(|a, b| a.offsets < b.offsets)
        {
            let what = "the tree of chunks is out of order".to_owned();
            return Err(Hdf5Error::InvalidData(what));
        }
        Ok(entries)
    }

    /// Returns the absolute places of the chunks, by their number in the grid.
    pub(super) fn table(
        &self,
        element: &str,
        grid: &Grid,
        item: usize,
        entries: Vec<ChunkEntry>,
    ) -> Result<Chunks, Error> {
        let base = self.file.superblock().base_address;
        let whole = grid.chunk_len().saturating_mul(item as u64);
        let mut table = Vec::with_capacity(entries.len());
        for entry in entries {
            let coords: Option<Vec<u64>> = grid
                .chunk
                .iter()
                .zip(&entry.offsets)
                .map(|(extent, offset)| (offset % extent == 0).then_some(offset / extent))
                .collect();
            // The offsets in a tree end with one within the element.
            let rest = entry.offsets.get(grid.chunk.len()..);
            let fits = rest.is_some_and(|rest| rest.iter().all(|&offset| offset == 0));
            let Some(coords) = coords.filter(|_| fits) else {
                let found = format!("a chunk at {:?}", entry.offsets);
                return Err(Error::invalid(
                    &self.path,
                    element,
                    "chunks on the grid",
                    found,
                ));
            };
            // A chunk outside the shape remains from before the array was shrunk.
            let Some(chunk) = grid.number(&coords) else {
                continue;
            };
            let len = if entry.size == 0 { whole } else { entry.size };
            let offset = base.saturating_add(entry.address);
            let end = offset.checked_add(len);
            match (u32::try_from(len), end) {
                (Ok(len), Some(end)) if offset > base && end <= self.source.len() => {
                    table.push(TableEntry {
                        chunk,
                        offset,
                        len,
                        skip_mask: entry.filter_mask,
                    });
                }
                _ => {
                    let expected = format!(
                        "chunk {chunk} within the file of {} bytes",
                        self.source.len()
                    );
                    let found = format!("{len} bytes at {offset}");
                    return Err(Error::invalid(&self.path, element, expected, found));
                }
            }
        }
        table.sort_unstable();
        if let Some(twice) = table.windows(2).find(|two| two[0].chunk == two[1].chunk) {
            let found = format!("chunk {} twice", twice[0].chunk);
            return Err(Error::invalid(
                &self.path,
                element,
                "each chunk once",
                found,
            ));
        }
        Ok(Chunks::Table {
            source: self.source.clone(),
            entries: table,
        })
    }
}

/// Returns a chunk's extents; newer layouts list the element's size after them.
pub(super) fn chunk_extents<'a>(dims: &'a [u32], shape: &[u64]) -> &'a [u32] {
    if dims.len() == shape.len() + 1 {
        &dims[..shape.len()]
    } else {
        dims
    }
}
