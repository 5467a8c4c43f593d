//! A segment, as a reader sees it: mapped, or read piece by piece.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use memmap2::Mmap;
use once_cell::race::OnceBox;

use super::format::{Footer, Record, TAIL, Tail};
use crate::io::file::is_local;
use crate::io::fork::ForkLocal;
use crate::io::open_files::OpenFiles;
use crate::limits::MOST_FOOTER_BYTES;

/// The most segments to keep open. Mapped segments need no open file.
const MOST_OPEN: usize = 32;

/// How segments are read.
#[derive(Debug)]
pub(super) struct Reading {
    may_map: bool,
    files: ForkLocal<OpenFiles>,
}

impl Reading {
    pub(super) fn new(may_map: bool) -> Arc<Reading> {
        let files = ForkLocal::new(OpenFiles::new);
        Arc::new(Reading { may_map, files })
    }
}

/// A file of packed bands. Its name is never used again for another one.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    reading: Arc<Reading>,
    /// The file, as long as this process writes it.
    writing: Weak<File>,
    /// The whole file; `None` if it cannot or may not be mapped.
    map: OnceBox<Option<Mmap>>,
}

/// A part of a segment.
#[derive(Debug, Clone)]
pub(crate) struct SegmentSlice {
    segment: Arc<Segment>,
    offset: u64,
    len: usize,
}

impl Segment {
    /// A complete segment. It is opened when it is first read.
    pub(super) fn complete(path: PathBuf, reading: &Arc<Reading>) -> Segment {
        Segment {
            path,
            reading: reading.clone(),
            writing: Weak::new(),
            map: OnceBox::new(),
        }
    }

    /// A segment that this process is writing. `path` is the name that it gets when it is complete.
    pub(super) fn begun(path: PathBuf, file: &Arc<File>, reading: &Arc<Reading>) -> Segment {
        let segment = Segment {
            writing: Arc::downgrade(file),
            ..Segment::complete(path, reading)
        };
        segment.map();
        segment
    }

    /// The name of the complete segment.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The part that a record describes.
    pub(super) fn slice(self: &Arc<Self>, record: &Record) -> Option<SegmentSlice> {
        Some(SegmentSlice {
            segment: self.clone(),
            offset: record.offset,
            len: usize::try_from(record.len).ok()?,
        })
    }

    fn file(&self) -> io::Result<Arc<File>> {
        match self.writing.upgrade() {
            Some(file) => Ok(file),
            None => {
                let files = self.reading.files.get();
                Ok(files.open(&self.path, MOST_OPEN, || true)?.0)
            }
        }
    }

    fn map(&self) -> Option<&Mmap> {
        if let Some(map) = self.map.get() {
            return map.as_ref();
        }
        // A file that cannot be opened now may be later.
        let file = self.file().ok()?;
        let may_map = self.reading.may_map && is_local(&file);
        // SAFETY: the map is read-only, and every value of its bytes is valid. While this process
        // writes the segment, it writes only behind the bytes that slices refer to; completing it
        // cuts off only what follows the footer. After that, it never changes. One risk remains, as
        // for the map of a data file: if somebody truncates it, the system kills this process
        // (SIGBUS). `IoOptions::mmap` turns maps off, and SECURITY.md says so.
        let map = || may_map.then(|| unsafe { Mmap::map(&*file).ok() }).flatten();
        self.map.get_or_init(|| Box::new(map())).as_ref()
    }
}

impl SegmentSlice {
    /// All bytes, if the segment is mapped.
    #[inline]
    pub(crate) fn mapped(&self) -> Option<&[u8]> {
        let start = usize::try_from(self.offset).ok()?;
        self.segment.map()?.get(start..start.checked_add(self.len)?)
    }

    /// Some bytes. Without a map, they are allocated: the caller has bounded the
    /// [length](Self::len).
    pub(crate) fn read(&self, range: std::ops::Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        if range.start > range.end || range.end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(mapped) = self.mapped() {
            return Ok(Cow::Borrowed(&mapped[range]));
        }
        let file = self.segment.file()?;
        let mut bytes = vec![0; range.len()];
        file.read_exact_at(&mut bytes, self.offset + range.start as u64)?;
        Ok(Cow::Owned(bytes))
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Reads what a complete segment holds. `Ok(None)` if it is damaged.
pub(super) fn read_footer(path: &Path) -> io::Result<Option<Footer>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut tail = [0; TAIL];
    let Some(end) = len.checked_sub(TAIL as u64) else {
        return Ok(None);
    };
    file.read_exact_at(&mut tail, end)?;
    let footer = Tail::parse(&tail).map(|tail| tail.footer);
    let Some(start) = footer.filter(|&start| start <= end && end - start <= MOST_FOOTER_BYTES)
    else {
        return Ok(None);
    };
    let mut bytes = vec![0; (end - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    Ok(Footer::parse(&bytes, &tail))
}
