//! The end that a file claims, and whether a writer still has the file open.

use std::path::Path;

use hdf5_reader::superblock::Superblock;

use crate::error::{Error, ErrorKind};
use crate::io::bytes::ByteSource;

/// Refuses a file that is shorter than it claims: a copy or a download that was cut short. Its
/// first half reads well, and the missing part may be chunks that are read much later. A longer
/// file is accepted.
pub(super) fn check(
    path: &Path,
    source: &ByteSource,
    superblock: &Superblock,
) -> Result<(), Error> {
    let written_at = recorded_base(source, superblock)?;
    // The end is counted from the start of the file as it was written. A user block that was added
    // or removed since then moves it.
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

/// Returns the base address recorded in the file; `hdf5-reader` reports where it found the
/// superblock.
fn recorded_base(source: &ByteSource, superblock: &Superblock) -> Result<u64, Error> {
    let at = match superblock.version {
        0 => 24,
        1 => 28,
        _ => 12,
    };
    let mut bytes = [0; 8];
    let size = usize::from(superblock.offset_size).min(bytes.len());
    source.read_structure(superblock.base_address + at, &mut bytes[..size])?;
    Ok(u64::from_le_bytes(bytes))
}

/// Whether a process writes the file, or a writer never closed it. Only the third version of the
/// superblock has such flags: one for a writer, one for a writer with concurrent readers.
pub(super) fn has_writer(superblock: &Superblock) -> bool {
    superblock.version >= 3 && superblock.consistency_flags & 0b101 != 0
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::error::ErrorKind;
    use crate::io::context::IoContext;
    use crate::store::Store;

    fn fixture(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hdf5");
        std::fs::read(PathBuf::from(folder).join(name)).expect("it is committed")
    }

    /// Returns the expected length of the file, if it fails to open because it is too short.
    fn cut_short(bytes: &[u8]) -> Option<u64> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.h5");
        std::fs::write(&path, bytes).expect("a small file");
        match Store::open(&path, &IoContext::default()).err()?.kind() {
            ErrorKind::CutShort { expected, found } => {
                assert_eq!(*found, bytes.len() as u64);
                Some(*expected)
            }
            // Addresses of 4 bytes are refused only after the length was found to be right.
            ErrorKind::Unsupported { .. } => None,
            other => panic!("{other}"),
        }
    }

    /// One file of each version of the superblock, and one whose addresses have 4 bytes.
    #[test]
    fn open_refuses_a_file_that_is_cut_short() {
        for (name, version) in [
            ("superblock_earliest.h5", 0),
            ("superblock_addresses_4.h5", 0),
            ("superblock_v1_small_nodes.h5", 1),
            ("superblock_v108.h5", 2),
            ("superblock_v110.h5", 3),
        ] {
            let bytes = fixture(name);
            let len = bytes.len() as u64;
            assert_eq!(bytes[8], version, "{name}");
            assert_eq!(cut_short(&bytes), None, "{name}");
            assert_eq!(cut_short(&[&bytes[..], b"more"].concat()), None, "{name}");
            assert_eq!(cut_short(&bytes[..bytes.len() - 1]), Some(len), "{name}");
            // A user block that was added later moves the end.
            let moved = [&[b'#'; 512][..], &bytes].concat();
            assert_eq!(cut_short(&moved), None, "{name}");
            assert_eq!(
                cut_short(&moved[..moved.len() - 1]),
                Some(len + 512),
                "{name}"
            );
        }
    }

    /// If the user block was there from the start, the end includes it.
    #[test]
    fn end_includes_a_user_block() {
        let mut bytes = fixture("superblock_earliest.h5");
        let end = bytes.len() as u64 + 512;
        bytes[24..32].copy_from_slice(&512u64.to_le_bytes());
        bytes[40..48].copy_from_slice(&end.to_le_bytes());
        let whole = [&[b'#'; 512][..], &bytes].concat();
        assert_eq!(cut_short(&whole), None);
        assert_eq!(cut_short(&whole[..whole.len() - 1]), Some(end));
        // The user block was removed later.
        assert_eq!(cut_short(&bytes), None);
        assert_eq!(cut_short(&bytes[..bytes.len() - 9]), Some(end - 512));
    }

    #[test]
    fn has_writer_sees_the_flag() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.h5");
        let mut bytes = fixture("superblock_v110.h5");
        let mut has_writer = |flags: u8| {
            bytes[11] = flags;
            let checksum = hdf5_reader::checksum::jenkins_lookup3(&bytes[..44]);
            bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
            std::fs::write(&path, &bytes).expect("a small file");
            let store = Store::open(&path, &IoContext::default());
            store.expect("it opens all the same").has_writer()
        };
        assert_eq!([0, 1, 4, 5].map(&mut has_writer), [false, true, true, true]);
    }
}
