//! The files of one array, in the form that zarrs requests.

use std::collections::HashMap;

use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator};
use zarrs::storage::{
    Bytes, MaybeBytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey,
};

use crate::error::Error;
use crate::io::context::IoContext;
use crate::io::folder::{FileBytes, Folder};

/// The chunks (or shards) of an array, listed once. A listed file that later disappears is an
/// error; it is not treated as never written. Keys are names below the folder of the array; other
/// keys are refused.
#[derive(Debug)]
pub(super) struct Files {
    context: IoContext,
    folder: Folder,
    element: String,
    lens: HashMap<String, u64>,
}

impl Files {
    /// Lists the files of an array of this many dimensions.
    pub(super) fn list(
        context: &IoContext,
        folder: &Folder,
        element: &str,
        rank: usize,
    ) -> Result<Files, Error> {
        let mut files = Files {
            context: context.clone(),
            folder: folder.clone(),
            element: element.to_owned(),
            lens: HashMap::new(),
        };
        // A prefix may precede the coordinates.
        files.walk("", rank + 1)?;
        Ok(files)
    }

    fn walk(&mut self, folder: &str, depth: usize) -> Result<(), Error> {
        for name in self.folder.names(&self.name(folder))? {
            if !is_of_chunk(&name) {
                continue;
            }
            let key = match folder {
                "" => name,
                folder => format!("{folder}/{name}"),
            };
            match self.folder.len(&self.name(&key))? {
                Some(len) => _ = self.lens.insert(key, len),
                None if depth > 1 => self.walk(&key, depth - 1)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Returns the name in the store of a key's file.
    fn name(&self, key: &str) -> String {
        match (&*self.element, key) {
            (element, "") => element.to_owned(),
            ("", key) => key.to_owned(),
            (element, key) => format!("{element}/{key}"),
        }
    }

    /// Returns the length of a file; `None` if it was never written.
    pub(super) fn len(&self, key: &StoreKey) -> Option<u64> {
        self.lens.get(key.as_str()).copied()
    }

    /// Returns the total bytes of all files.
    pub(super) fn total(&self) -> u64 {
        self.lens
            .values()
            .fold(0, |sum, &len| sum.saturating_add(len))
    }

    fn open(&self, key: &StoreKey) -> Result<Option<FileBytes>, StorageError> {
        if self.len(key).is_none() {
            return Ok(None);
        }
        let file = self.folder.open(&self.context, &self.name(key.as_str()));
        file.map(Some).map_err(failure)
    }
}

/// Whether a file or folder may be part of a chunk's name: `c`, or coordinates.
fn is_of_chunk(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    name.split('.')
        .enumerate()
        .all(|(at, part)| is_number(part) || at == 0 && part == "c")
}

fn failure(error: Error) -> StorageError {
    StorageError::Other(error.to_string())
}

fn read(file: &FileBytes, range: ByteRange) -> Result<Bytes, StorageError> {
    let (start, len) = match range {
        ByteRange::FromStart(start, len) => (Some(start), len.or(file.len.checked_sub(start))),
        ByteRange::Suffix(len) => (file.len.checked_sub(len), Some(len)),
    };
    let within = start.zip(len).filter(|(start, len)| {
        let end = start.checked_add(*len);
        end.is_some_and(|end| end <= file.len)
    });
    let Some((start, len)) = within else {
        let found = format!("bytes {range:?} of a file of {}", file.len);
        return Err(StorageError::Other(found));
    };
    let mut bytes = vec![0; len as usize];
    let read = file.source.read_exact_at(file.offset + start, &mut bytes);
    read.map(|()| bytes.into()).map_err(failure)
}

impl ReadableStorageTraits for Files {
    fn get(&self, key: &StoreKey) -> Result<MaybeBytes, StorageError> {
        let file = self.open(key)?;
        file.map(|file| read(&file, ByteRange::FromStart(0, None)))
            .transpose()
    }

    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        Ok(match self.open(key)? {
            Some(file) => Some(Box::new(ranges.map(move |range| read(&file, range)))),
            None => None,
        })
    }

    fn size_key(&self, key: &StoreKey) -> Result<Option<u64>, StorageError> {
        Ok(self.len(key))
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let root = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("X/c/0")).expect("new folders");
        for (name, bytes) in [
            ("X/c/0/1", "0123456789"),
            ("X/zarr.json", "{}"),
            ("X/c/0/1~", "old"),
        ] {
            std::fs::write(at(name), bytes).expect("a small file");
        }
        let folder = Folder::Disk(root.path().to_owned());
        let files = Files::list(&IoContext::default(), &folder, "X", 2).expect("readable");
        (root, files)
    }

    fn key(name: &str) -> StoreKey {
        StoreKey::new(name).expect("a valid key")
    }

    #[test]
    fn chunk_files_are_listed_once() {
        let (root, files) = files();
        assert_eq!(files.lens, HashMap::from([("c/0/1".to_owned(), 10)]));
        assert_eq!(files.total(), 10);
        assert!(matches!(files.get(&key("zarr.json")), Ok(None)));
        std::fs::write(root.path().join("X/c/0/2"), "new").expect("a small file");
        assert!(matches!(files.get(&key("c/0/2")), Ok(None)));
        std::fs::remove_file(root.path().join("X/c/0/1")).expect("it was there");
        files.get(&key("c/0/1")).expect_err("listed, and gone");
    }

    #[test]
    fn ranges_lie_within_the_file() {
        let (_root, files) = files();
        let part = |range| files.get_partial(&key("c/0/1"), range).ok().flatten();
        let found = |range| part(range).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(
            found(ByteRange::FromStart(2, Some(3))).as_deref(),
            Some("234")
        );
        assert_eq!(found(ByteRange::FromStart(8, None)).as_deref(), Some("89"));
        assert_eq!(found(ByteRange::Suffix(1)).as_deref(), Some("9"));
        assert_eq!(found(ByteRange::Suffix(11)), None);
        assert_eq!(found(ByteRange::FromStart(11, None)), None);
        assert_eq!(found(ByteRange::FromStart(9, Some(2))), None);
        assert_eq!(found(ByteRange::FromStart(u64::MAX, Some(2))), None);
        assert_eq!(found(ByteRange::FromStart(1, Some(u64::MAX))), None);
    }
}
