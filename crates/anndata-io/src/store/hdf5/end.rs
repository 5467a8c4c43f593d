//! Where a file says that it ends, and whether a writer still has it.

use std::path::Path;

use hdf5_reader::superblock::Superblock;

use crate::context::FileSource;
use crate::error::{Error, ErrorKind};

/// Refuses a file that is shorter than it says: a copy or a download that was cut short. Its first
/// half reads well, and what is missing may be chunks that are read much later. A longer file is
/// fine.
pub(super) fn check(
    path: &Path,
    source: &FileSource,
    superblock: &Superblock,
) -> Result<(), Error> {
    let written_at = recorded_base(source, superblock)?;
    // The end is counted from the start of the file as it was written. A user block that was put
    // before it since, or taken away, moves it.
    let moved = i128::from(superblock.base_address) - i128::from(written_at);
    let end = i128::from(superblock.eof_address) + moved;
    let found = source.len();
    if end <= i128::from(found) {
        return Ok(());
    }
    let expected = u64::try_from(end).unwrap_or(u64::MAX);
    Err(Error::new(
        path,
        "",
        ErrorKind::CutShort { expected, found },
    ))
}

/// The base address as it stands in the file; `hdf5-reader` tells where the superblock was found.
fn recorded_base(source: &FileSource, superblock: &Superblock) -> Result<u64, Error> {
    let at = match superblock.version {
        0 => 24,
        1 => 28,
        _ => 12,
    };
    let mut bytes = [0; 8];
    let size = usize::from(superblock.offset_size).min(bytes.len());
    source.read_exact_at(superblock.base_address + at, &mut bytes[..size])?;
    Ok(u64::from_le_bytes(bytes))
}

/// Whether a process writes the file, or one that did never closed it. Only the third version of
/// the superblock has flags of that meaning: of a writer, and of one that others read along with.
pub(super) fn has_writer(superblock: &Superblock) -> bool {
    superblock.version >= 3 && superblock.consistency_flags & 0b101 != 0
}
