//! A file read at any position: by `pread`, or through a memory map.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use once_cell::race::OnceBox;

use super::context::IoContext;
use super::open_files::{Identity, wait_until_settled};
use crate::error::{Error, ErrorKind};

/// A file that can be read at any position from any thread. It holds no descriptor of its own: the
/// context opens and closes the file within its limit. A file that was reopened must be the same
/// one as at first.
#[derive(Debug, Clone)]
pub(crate) struct FileSource {
    context: IoContext,
    path: Arc<Path>,
    identity: Identity,
    /// The whole file, mapped when a read in place first needs it; empty if it cannot or may not be
    /// mapped.
    map: Arc<OnceBox<Option<Mmap>>>,
}

impl FileSource {
    /// Opens the file at `path`.
    pub(crate) fn open(context: &IoContext, path: &Path) -> io::Result<FileSource> {
        let (_, identity) = context.file(path)?;
        Ok(FileSource {
            context: context.clone(),
            path: path.into(),
            identity,
            map: Arc::default(),
        })
    }

    /// As [`open`](Self::open), for a file of which packs may be [kept](IoContext::with_cache).
    pub(crate) fn open_settled(context: &IoContext, path: &Path) -> io::Result<FileSource> {
        if context.cache().is_some() {
            wait_until_settled(&std::fs::metadata(path)?);
        }
        FileSource::open(context, path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that was opened.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.identity.len
    }

    /// Returns an error if the file at the path is no longer the one that was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        let meta = std::fs::metadata(&self.path);
        let meta = meta.map_err(|error| Error::io(&self.path, "", error))?;
        if Identity::from(&meta) == self.identity {
            return Ok(());
        }
        Err(Error::new(&self.path, "", ErrorKind::Changed))
    }

    /// Fills `out` with the bytes at `offset`, from a map of the file if there is one. The caller
    /// has [checked](Self::check_unchanged) the file shortly before.
    pub(super) fn read_in_place(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let map = self.map.get_or_init(|| Box::new(self.map_file()));
        let range = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(out.len())?));
        match (map, range) {
            (Some(map), Some(range)) if range.end <= map.len() && !self.context.is_closed() => {
                out.copy_from_slice(&map[range]);
                Ok(())
            }
            _ => self.read_exact_at(offset, out),
        }
    }

    fn map_file(&self) -> Option<Mmap> {
        if !self.context.options().mmap || self.len() == 0 {
            return None;
        }
        let (file, identity) = self.context.file(&self.path).ok()?;
        if !is_local(&file) || identity != self.identity {
            return None;
        }
        // SAFETY: the map is read-only and its bytes are only ever copied out, as plain bytes of
        // which every value is valid. One risk remains: another process may change the file. Its
        // size and time are compared before each bulk of reads; the rest of the risk (SIGBUS when
        // the file is truncated in between) is documented on `IoOptions::mmap`, which turns maps
        // off.
        unsafe { Mmap::map(&*file).ok() }
    }

    /// Fills `out` with the bytes at `offset`.
    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let fail = |kind| Error::new(&self.path, "", kind);
        if self.context.is_closed() {
            return Err(fail(ErrorKind::Closed));
        }
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(Error::invalid(
                &*self.path,
                "",
                format!("{} bytes at {offset}", out.len()),
                format!("a file of {} bytes", self.len()),
            ));
        }
        let io_error = |error| Error::io(&self.path, "", error);
        let (file, identity) = self.context.file(&self.path).map_err(io_error)?;
        if identity != self.identity {
            return Err(fail(ErrorKind::Changed));
        }
        match file.read_exact_at(out, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(fail(ErrorKind::Changed));
            }
            result => result.map_err(io_error)?,
        }
        // The file may have been written in place, even while it was read.
        let meta = file.metadata().map_err(io_error)?;
        match Identity::from(&meta) == self.identity {
            true => Ok(()),
            false => Err(fail(ErrorKind::Changed)),
        }
    }
}

/// Whether a file lies on a local file system of a known kind.
#[cfg(target_os = "linux")]
pub(super) fn is_local(file: &File) -> bool {
    // ext2 to ext4, xfs, btrfs, tmpfs, overlayfs, zfs, f2fs, bcachefs.
    const LOCAL: [u64; 8] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x794c_7630,
        0x2fc1_2fc1,
        0xf2f5_2010,
        0xca45_1a4e,
    ];
    rustix::fs::fstatfs(file).is_ok_and(|stat| LOCAL.contains(&(stat.f_type as u64)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_local(_file: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::options::IoOptions;

    #[test]
    fn file_source_keeps_few_files_open_and_notices_a_changed_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let context = IoContext::new(
            IoOptions::new()
                .cache_bytes(0)
                .max_open_files(2)
                .mmap(false),
        );
        let sources: Vec<_> = (0..5u8)
            .map(|i| {
                let path = dir.path().join(format!("{i}"));
                std::fs::write(&path, [i; 4]).expect("a small file");
                FileSource::open(&context, &path).expect("the file exists")
            })
            .collect();
        for (i, source) in sources.iter().enumerate() {
            let mut out = [0; 2];
            source.read_exact_at(1, &mut out).expect("within the file");
            assert_eq!(out, [i as u8; 2]);
            assert!(context.open_files() <= 2);
        }
        assert!(matches!(
            sources[0]
                .read_exact_at(3, &mut [0; 2])
                .expect_err("past the end")
                .kind(),
            ErrorKind::Invalid { .. }
        ));
        // In place, while the file is open.
        sources[4].read_exact_at(0, &mut [0; 2]).expect("unchanged");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
        std::fs::write(sources[4].path(), [8; 4]).expect("a small file");
        let file = std::fs::File::options().write(true).open(sources[4].path());
        let file = file.expect("writable");
        file.set_modified(later).expect("our own file");
        let error = sources[4].read_exact_at(0, &mut [0; 2]);
        assert!(matches!(
            error.expect_err("changed").kind(),
            ErrorKind::Changed
        ));
        std::fs::write(sources[0].path(), [9; 5]).expect("a small file");
        let error = sources[0]
            .read_exact_at(0, &mut [0; 2])
            .expect_err("changed");
        assert!(matches!(error.kind(), ErrorKind::Changed));
        context.close();
        let error = sources[4]
            .read_exact_at(0, &mut [0; 2])
            .expect_err("closed");
        assert!(matches!(error.kind(), ErrorKind::Closed));
        assert_eq!(context.open_files(), 0);
    }
}
