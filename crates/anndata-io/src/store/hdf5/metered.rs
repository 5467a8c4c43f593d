//! Limits the bytes that `hdf5-reader` reads in one call, and so its memory and time.
//!
//! It checks every length against the file, and refuses trees that lead back into themselves. But
//! many references may lead to one block: index blocks to one data block, nodes to one table of
//! names, names to one long text. The memory for such a file grows with the square of its length.
//! No honest file makes a reader pass over all of it several times.

use std::io;
use std::sync::{Arc, Mutex};

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::storage::StorageBuffer;
use hdf5_reader::{BlockCacheStorage, Storage};

use crate::io::bytes::ByteSource;
use crate::io::lock::lock;
use crate::limits::{
    FREE_CHUNK_INDEX_BYTES, FREE_STRUCTURE_BYTES, STRUCTURE_CACHE, STRUCTURE_READ_COST,
};

/// A file that counts the bytes read from it.
pub(super) struct Metered {
    storage: Box<dyn Storage>,
    meter: Mutex<Meter>,
}

/// The rest of the limits of this call.
#[derive(Default)]
struct Meter {
    left: u64,
    /// Bytes of the names of the current group, after its heap was seen.
    segment: Option<u64>,
    /// The longest name in them.
    longest: u64,
    /// Members whose names are still to be found in them.
    waiting: u64,
}

impl Metered {
    pub(super) fn new(source: ByteSource) -> Metered {
        let (block_bytes, n_blocks) = STRUCTURE_CACHE;
        let storage: Box<dyn Storage> = match source.is_remote() {
            // It has blocks of its own.
            true => Box::new(File(source)),
            false => {
                let file = Arc::new(File(source));
                Box::new(BlockCacheStorage::new(file, block_bytes, n_blocks))
            }
        };
        let metered = Metered {
            storage,
            meter: Mutex::default(),
        };
        metered.begin();
        metered
    }

    /// Begins a call.
    pub(super) fn begin(&self) {
        self.allow(
            self.len()
                .saturating_mul(4)
                .saturating_add(FREE_STRUCTURE_BYTES),
        );
    }

    /// Begins a read of the chunk index of an array.
    pub(super) fn begin_index(&self) {
        self.allow(
            self.len()
                .saturating_mul(2)
                .saturating_add(FREE_CHUNK_INDEX_BYTES),
        );
    }

    fn allow(&self, left: u64) {
        let mut meter = lock(&self.meter);
        *meter = Meter {
            left,
            ..Meter::default()
        };
    }
}

impl Meter {
    /// Returns the cost of these bytes: their length, and the names that they refer to.
    fn cost(&mut self, bytes: &[u8]) -> u64 {
        let mut cost = bytes.len() as u64 + STRUCTURE_READ_COST;
        match bytes {
            // The heap of an old group's names; its length reveals the width of its numbers.
            [b'H', b'E', b'A', b'P', _, _, _, _, size @ ..] => {
                let width = if bytes.len() < 28 { 4 } else { 8 };
                let size = size.iter().take(width).rev();
                let size = size.fold(0, |n, &byte| n << 8 | u64::from(byte));
                (self.segment, self.longest, self.waiting) = (Some(size), 0, 0);
            }
            // A node of its members, unless only its head is read.
            [b'S', b'N', b'O', b'D', _, _, low, high, _, ..] if bytes.len() > 24 => {
                let members = u64::from(u16::from_le_bytes([*low, *high]));
                if self.segment.is_some() {
                    self.waiting += members;
                } else {
                    cost = cost.saturating_add(members * self.longest);
                }
            }
            names if self.segment == Some(names.len() as u64) => {
                self.segment = None;
                let longest = names.split(|&byte| byte == 0).map(<[u8]>::len).max();
                self.longest = longest.unwrap_or_default() as u64;
                cost = cost.saturating_add(self.waiting.saturating_mul(self.longest));
            }
            _ => {}
        }
        cost
    }
}

impl Storage for Metered {
    fn len(&self) -> u64 {
        self.storage.len()
    }

    fn read_range(&self, offset: u64, len: usize) -> Result<StorageBuffer, Hdf5Error> {
        let bytes = self.storage.read_range(offset, len)?;
        let mut meter = lock(&self.meter);
        let cost = meter.cost(&bytes);
        match meter.left.checked_sub(cost) {
            Some(left) => meter.left = left,
            None => {
                meter.left = 0;
                let message = "its structures refer to the same bytes over and over";
                return Err(Hdf5Error::InvalidData(message.to_owned()));
            }
        }
        Ok(bytes)
    }
}

struct File(ByteSource);

impl Storage for File {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_range(&self, offset: u64, len: usize) -> Result<StorageBuffer, Hdf5Error> {
        let available = self.0.len().saturating_sub(offset);
        if len as u64 > available {
            return Err(Hdf5Error::UnexpectedEof {
                offset,
                needed: len as u64,
                available,
            });
        }
        let mut bytes = vec![0; len];
        self.0
            .read_structure(offset, &mut bytes)
            // `failure` finds the error again.
            .map_err(|error| Hdf5Error::Io(io::Error::other(error)))?;
        Ok(StorageBuffer::from_vec(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::context::IoContext;
    use crate::io::file::FileSource;

    #[test]
    fn metered_allows_a_few_reads_of_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), vec![7; 1 << 20]).expect("room for 1 MiB");
        let source = FileSource::open(&IoContext::default(), file.path()).expect("it is there");
        let metered = Metered::new(ByteSource::File(source));
        let times = |begin: fn(&Metered)| {
            begin(&metered);
            let reads = (0..100).take_while(|_| metered.read_range(0, 1 << 20).is_ok());
            reads.count()
        };
        assert_eq!(times(Metered::begin), 35);
        assert_eq!(times(Metered::begin_index), 2);
        let error = metered.read_range(0, 1).err().expect("nothing is left");
        assert!(error.to_string().contains("over and over"), "{error}");
    }

    #[test]
    fn metered_counts_a_long_name_as_often_as_it_is_referred_to() {
        let mut heap = b"HEAP\0\0\0\0".to_vec();
        for number in [1000u64, 0, 4096] {
            heap.extend(number.to_le_bytes());
        }
        let mut node = b"SNOD\x01\0\xe8\x03".to_vec();
        node.resize(8 + 40 * 1000, 0);
        let mut names = vec![b'a'; 1000];
        names[899] = 0;
        let mut meter = Meter::default();
        assert_eq!(meter.cost(&heap), 32 + STRUCTURE_READ_COST);
        assert_eq!(meter.cost(&node[..24]), 24 + STRUCTURE_READ_COST);
        assert_eq!(meter.cost(&node), 40_008 + STRUCTURE_READ_COST);
        assert_eq!(meter.cost(&names), 1000 + STRUCTURE_READ_COST + 1000 * 899);
        assert_eq!(meter.cost(&node), 40_008 + STRUCTURE_READ_COST + 1000 * 899);
    }
}
