//! Sources of an array's bytes: a file, or memory.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::buffers::AlignedBytes;
use super::file::FileSource;
use super::remote::RemoteObject;
use crate::error::Error;

/// The source of an array's bytes: a file, or memory.
#[derive(Debug, Clone)]
pub(crate) enum ByteSource {
    File(FileSource),
    Memory(Memory),
    Remote(RemoteObject),
}

/// Bytes in memory, or mapped from a file that nobody else can reach.
#[derive(Clone)]
pub(crate) struct Memory {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    before_read: Option<BeforeRead>,
}

/// A function that runs before bytes are read, and may refuse the read.
pub(crate) type BeforeRead = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

impl Memory {
    pub(crate) fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Memory {
        Memory {
            bytes: Arc::new(bytes),
            before_read: None,
        }
    }

    /// Wraps memory that others hold too.
    pub(crate) fn shared(bytes: Arc<AlignedBytes>) -> Memory {
        Memory {
            bytes,
            before_read: None,
        }
    }

    /// Returns the same memory with a function that runs before each read.
    pub(crate) fn before_read(mut self, call: BeforeRead) -> Memory {
        self.before_read = Some(call);
        self
    }

    fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes().len())
    }
}

impl ByteSource {
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        match self {
            ByteSource::File(file) => file.check_unchanged(),
            ByteSource::Memory(_) => Ok(()),
            // Every request has the condition.
            ByteSource::Remote(_) => Ok(()),
        }
    }

    /// As [`read_exact_at`](Self::read_exact_at), through a memory map if there is one.
    pub(crate) fn read_in_place(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        match self {
            ByteSource::File(file) => file.read_in_place(offset, out),
            _ => self.read_exact_at(offset, out),
        }
    }

    /// As [`read_exact_at`](Self::read_exact_at), for pieces of structure: small, and close to each
    /// other.
    pub(crate) fn read_structure(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        match self {
            ByteSource::File(_) | ByteSource::Memory(_) => self.read_exact_at(offset, out),
            ByteSource::Remote(object) => object.read_structure(offset, out),
        }
    }

    /// Releases what was kept for reads of structure.
    pub(crate) fn forget_structure(&self) {
        match self {
            ByteSource::File(_) | ByteSource::Memory(_) => {}
            ByteSource::Remote(object) => object.forget_structure(),
        }
    }

    /// Whether each read is a request to a server, unless its bytes were [staged](Self::stage).
    pub(crate) fn is_remote(&self) -> bool {
        match self {
            ByteSource::File(_) | ByteSource::Memory(_) => false,
            ByteSource::Remote(_) => true,
        }
    }

    /// Asks a server for ranges that will be read soon, each with the number of its bytes that will.
    pub(crate) fn stage(&self, ranges: &mut dyn Iterator<Item = (Range<u64>, u64)>) {
        match self {
            ByteSource::File(_) | ByteSource::Memory(_) => _ = ranges,
            ByteSource::Remote(object) => object.stage(ranges),
        }
    }

    /// Gives up a range that a server was asked for, which nobody reads any more.
    pub(crate) fn give_up(&self, range: Range<u64>) {
        if let ByteSource::Remote(object) = self {
            object.give_up(range);
        }
    }

    /// What tells the source from a later one at the same place, for packs that outlive the process.
    /// `None` if nothing does.
    pub(crate) fn stamp(&self) -> Option<Vec<u8>> {
        match self {
            ByteSource::File(file) => file.identity().stamp().map(Into::into),
            ByteSource::Memory(_) => None,
            ByteSource::Remote(object) => object.stamp().map(Into::into),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            ByteSource::File(file) => file.len(),
            ByteSource::Memory(memory) => memory.bytes().len() as u64,
            ByteSource::Remote(object) => object.len(),
        }
    }

    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        match self {
            ByteSource::File(file) => file.read_exact_at(offset, out),
            ByteSource::Remote(object) => object.read_exact_at(offset, out),
            ByteSource::Memory(memory) => {
                if let Some(call) = &memory.before_read {
                    call().map_err(|error| Error::io("memory", "", error))?;
                }
                let bytes = memory.bytes();
                let found = usize::try_from(offset)
                    .ok()
                    .and_then(|start| bytes.get(start..start.checked_add(out.len())?));
                match found {
                    Some(found) => out.copy_from_slice(found),
                    None => {
                        let expected = format!("{} bytes at {offset}", out.len());
                        let found = format!("{} bytes", bytes.len());
                        return Err(Error::invalid("memory", "", expected, found));
                    }
                }
                Ok(())
            }
        }
    }
}
