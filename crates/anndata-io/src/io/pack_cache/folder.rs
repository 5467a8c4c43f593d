//! The folder of a cache: whose it is, how much of it is used, and by whom.
//!
//! ```text
//! CACHEDIR.TAG       says that backups may leave the folder out, and that it is a cache of this crate
//! lock               locked while room is reserved and while files are removed
//! claims             parts of it are locked while a process packs bands
//! packs/NAME.pack    complete segments
//! packs/NAME.part    segments that a process writes, which keeps them locked
//! uses/NAME          the keys of the matrices that a process has open; it keeps the file locked
//! ```
//!
//! The system unlocks the files of a process that is killed. So a file in `packs` or `uses` that can be
//! locked belongs to nobody, and whoever holds the lock of the folder removes it.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::format::PackKey;
use super::segment::read_footer;
use crate::error::Error;

/// The first line is that of the convention: <https://bford.info/cachedir/>.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55
# Packed rows of AnnData files, written by mapped-anndata. They can be removed at any time.
";
/// How long to wait for another process that holds the lock of the folder. It holds it for
/// milliseconds, unless it is stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// A folder that is a cache.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    limit: u64,
}

/// A segment in the folder.
#[derive(Debug)]
struct Listed {
    path: PathBuf,
    len: u64,
    used: SystemTime,
}

/// Everything in the folder, under its lock.
struct Contents {
    /// The bytes of all files.
    bytes: u64,
    /// Complete segments.
    segments: Vec<Listed>,
    /// The keys of matrices that some process has open.
    open_keys: HashSet<PackKey>,
}

/// An empty file that is this process's, and the name that it gets when it is complete.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) file: Arc<File>,
    pub(super) part: PathBuf,
    pub(super) complete: PathBuf,
    pub(super) len: u64,
}

/// Why no room was reserved.
#[derive(Debug)]
pub(super) enum Refusal {
    /// All of it is in use.
    Full,
    /// The folder cannot be written.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Io(error)
    }
}

/// Holds the lock of the folder. It must be released explicitly: a forked child has the open file
/// too.
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing the file releases it otherwise.
        let _ = self.0.unlock();
    }
}

impl Folder {
    /// Opens the folder, and creates it if it does not exist.
    ///
    /// # Errors
    /// When it is not a folder, or holds anything that is not a cache.
    pub(super) fn open(path: &Path, limit: u64) -> Result<(Folder, io::Result<()>), Error> {
        let path = std::path::absolute(path).map_err(|error| Error::io(path, "", error))?;
        let folder = Folder { path, limit };
        folder.check_ours()?;
        let made = folder.make();
        Ok((folder, made))
    }

    /// # Errors
    /// When the path is a file, or a folder with other contents.
    fn check_ours(&self) -> Result<(), Error> {
        let invalid = |found: String| {
            let expected = "a cache, an empty folder, or a path that does not exist yet";
            Err(Error::invalid(&self.path, "", expected, found))
        };
        match fs::read_dir(&self.path) {
            Ok(mut entries) => {
                let is_empty = entries.next().is_none();
                // Read afterwards: another process may just be making the folder.
                match fs::read_to_string(self.tag()) {
                    // A process that was killed may have written a part.
                    Ok(tag) if TAG.starts_with(&tag) => Ok(()),
                    Ok(_) => invalid("the cache of another program".to_owned()),
                    Err(_) if is_empty => Ok(()),
                    Err(_) => invalid("a folder with other files".to_owned()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                invalid("a file".to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io(&self.path, "", error)),
        }
    }

    fn make(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        let builder = builder.recursive(true).mode(0o700);
        builder.create(&self.path)?;
        if !fs::read_to_string(self.tag()).is_ok_and(|tag| tag == TAG) {
            private()
                .truncate(true)
                .open(self.tag())?
                .write_all(TAG.as_bytes())?;
        }
        builder.create(self.packs())?;
        builder.create(self.uses())?;
        self.lock().map(|_| ())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The most bytes that all files may take.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    fn tag(&self) -> PathBuf {
        self.path.join("CACHEDIR.TAG")
    }

    pub(super) fn packs(&self) -> PathBuf {
        self.path.join("packs")
    }

    pub(super) fn claims(&self) -> PathBuf {
        self.path.join("claims")
    }

    fn uses(&self) -> PathBuf {
        self.path.join("uses")
    }

    /// Locks the folder.
    fn lock(&self) -> io::Result<Locked> {
        let file = private().truncate(false).open(self.path.join("lock"))?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Locked(file)),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if started.elapsed() > PATIENCE => {
                    let message = "another process keeps the folder locked";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Adds keys to the list of those that this process uses; makes the list for the first ones. The
    /// list is removed when the process is gone.
    pub(super) fn add_uses(
        &self,
        uses: Option<File>,
        keys: &[PackKey],
    ) -> Result<(File, Option<PathBuf>), Refusal> {
        let _locked = self.lock()?;
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.0).collect();
        // Whoever only reads removes nothing.
        if self.contents()?.bytes.saturating_add(bytes.len() as u64) > self.limit {
            return Err(Refusal::Full);
        }
        let (mut file, path) = match uses {
            Some(file) => (file, None),
            None => {
                let path = self.uses().join(new_name());
                let file = private().create_new(true).open(&path)?;
                file.try_lock().map_err(io::Error::from)?;
                (file, Some(path))
            }
        };
        file.write_all(&bytes)?;
        Ok((file, path))
    }

    /// Reserves room for a segment of `wanted` bytes, or of fewer if only those are free, but at
    /// least `least`. Removes segments that no process uses, the least recently used first. `own`
    /// are the matrices that this process uses.
    pub(super) fn reserve(
        &self,
        own: &HashSet<PackKey>,
        least: u64,
        wanted: u64,
    ) -> Result<Reserved, Refusal> {
        let _locked = self.lock()?;
        let len = self.make_room(own, least, wanted)?;
        let name = new_name();
        let part = self.packs().join(format!("{name}.part"));
        let complete = self.packs().join(format!("{name}.pack"));
        let file = private().create_new(true).read(true).open(&part)?;
        let reserved = file.try_lock().map_err(io::Error::from);
        let reserved = reserved.and_then(|()| allocate(&file, len));
        if let Err(error) = reserved {
            // Without this, the next process that reserves room removes it.
            let _ = fs::remove_file(&part);
            return Err(error.into());
        }
        Ok(Reserved {
            file: Arc::new(file),
            part,
            complete,
            len,
        })
    }

    /// Returns how many bytes are free, at most `wanted`. If they are fewer, removes segments that
    /// no process uses, the least recently used first. The folder must be locked.
    ///
    /// # Errors
    /// When fewer than `least` would be free.
    fn make_room(&self, own: &HashSet<PackKey>, least: u64, wanted: u64) -> Result<u64, Refusal> {
        let mut contents = self.contents()?;
        contents.open_keys.extend(own);
        let mut free = self.limit.saturating_sub(contents.bytes);
        if free < wanted {
            let unused = contents.unused();
            let removable = unused
                .iter()
                .fold(0, |sum: u64, s| sum.saturating_add(s.len));
            if removable.saturating_add(free) < least {
                return Err(Refusal::Full);
            }
            let mut bytes = contents.bytes;
            for segment in unused {
                unless_gone(fs::remove_file(&segment.path))?;
                bytes = bytes.saturating_sub(segment.len);
                free = self.limit.saturating_sub(bytes);
                if free >= wanted {
                    break;
                }
            }
        }
        if free < least {
            return Err(Refusal::Full);
        }
        Ok(free.min(wanted))
    }

    /// Cuts a reserved file to its contents, and gives it its name.
    pub(super) fn complete(&self, reserved: &Reserved, len: u64) -> io::Result<()> {
        let _locked = self.lock()?;
        reserved.file.set_len(len)?;
        fs::rename(&reserved.part, &reserved.complete)
    }

    /// The bytes that could be reserved now. If `enough` are free, does not determine what could be
    /// removed.
    pub(super) fn available(&self, enough: u64) -> io::Result<u64> {
        let _locked = self.lock()?;
        let contents = self.contents()?;
        let free = self.limit.saturating_sub(contents.bytes);
        if free >= enough {
            return Ok(free);
        }
        let unused = contents.unused();
        let used = unused.iter().fold(contents.bytes, |used, segment| {
            used.saturating_sub(segment.len)
        });
        Ok(self.limit.saturating_sub(used))
    }

    /// Removes all complete segments, and everything that belongs to nobody. Returns the number of
    /// bytes.
    pub(super) fn clear(&self) -> io::Result<u64> {
        let _locked = self.lock()?;
        let mut bytes = 0;
        for segment in self.contents()?.segments {
            unless_gone(fs::remove_file(&segment.path))?;
            bytes = segment.len.saturating_add(bytes);
        }
        Ok(bytes)
    }

    /// Lists everything, and removes what belongs to nobody. The folder must be locked.
    fn contents(&self) -> io::Result<Contents> {
        let mut contents = Contents {
            bytes: TAG.len() as u64,
            segments: Vec::new(),
            open_keys: HashSet::new(),
        };
        for entry in fs::read_dir(self.uses())? {
            let path = entry?.path();
            let Some(mut file) = remove_unless_locked(&path)? else {
                continue;
            };
            let mut keys = Vec::new();
            file.read_to_end(&mut keys)?;
            contents.bytes = contents.bytes.saturating_add(keys.len() as u64);
            let (keys, _) = keys.as_chunks::<16>();
            contents
                .open_keys
                .extend(keys.iter().map(|&key| PackKey(key)));
        }
        for entry in fs::read_dir(self.packs())? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "part")
                && remove_unless_locked(&path)?.is_none()
            {
                continue;
            }
            // A process removes segments that are damaged, and its own list when it ends.
            let Some(meta) = unless_gone(fs::metadata(&path))? else {
                continue;
            };
            contents.bytes = contents.bytes.saturating_add(meta.len());
            if path.extension().is_some_and(|end| end == "pack") {
                contents.segments.push(Listed {
                    path,
                    len: meta.len(),
                    used: meta.modified()?,
                });
            }
        }
        Ok(contents)
    }
}

impl Contents {
    /// The segments that no process uses, the least recently used first.
    fn unused(&self) -> Vec<&Listed> {
        let is_used = |segment: &&Listed| {
            match read_footer(&segment.path) {
                Ok(Some(footer)) => !footer.keys().is_disjoint(&self.open_keys),
                // A damaged segment is of no use to anybody.
                Ok(None) => false,
                Err(_) => true,
            }
        };
        let mut unused: Vec<&Listed> = self.segments.iter().filter(|s| !is_used(s)).collect();
        unused.sort_by_key(|segment| segment.used);
        unused
    }
}

/// Options to create a file that only its owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Returns the file if a process keeps it locked. Removes it otherwise.
fn remove_unless_locked(path: &Path) -> io::Result<Option<File>> {
    // Network file systems lock only files that may be written.
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let Some(file) = unless_gone(opened)? else {
        return Ok(None);
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => {
            unless_gone(fs::remove_file(path))?;
            Ok(None)
        }
    }
}

/// `None` if a file does not exist any more.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if is_gone(&error) => Ok(None),
        result => result.map(Some),
    }
}

/// Whether a file was removed while it was about to be used.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle
    )
}

/// Takes room on the disk, so that no write fails later; or at least a length.
fn allocate(file: &File, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => file.set_len(len),
        result => Ok(result?),
    }
}

/// A name that no file of any folder ever had.
fn new_name() -> String {
    let random = || std::hash::RandomState::new().build_hasher().finish();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_nanos() as u64);
    // A forked child draws the same random numbers as its parent.
    let process = std::process::id();
    format!("{:016x}{process:08x}{now:016x}", random())
}

/// When the list of files of a folder changed.
pub(super) fn changed(folder: &Path) -> io::Result<SystemTime> {
    fs::metadata(folder)?.modified()
}
