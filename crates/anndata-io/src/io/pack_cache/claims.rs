//! Which process packs which band.
//!
//! ```text
//! process 1: claim bands ─▶ fetch, decode, pack ─▶ segment complete ─▶ release
//! process 2: claim: refused ─▶ does other work, then waits ──────────▶ finds the bands
//! ```
//!
//! A claim is a lock on a range of the file `claims`, which has no contents: each band stands for one
//! byte. The system releases the locks when the process and its forked children have ended. Claims
//! only save work: without them (the folder cannot be written, or the system lacks such locks) every
//! process packs all bands it wants.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use super::folder::private;
use super::format::PackKey;
use crate::io::lock::lock;

/// The claims of one process.
#[derive(Debug, Default)]
pub(super) struct FolderClaims {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    file: Option<File>,
    /// Whether this process claims nothing, and ignores the claims of others.
    is_off: bool,
    /// The claimed bands, and whether each is in the segment that is being written.
    bands: HashMap<(PackKey, u64), bool>,
}

impl FolderClaims {
    /// Claims bands, which ascend. Returns those that no other process has claimed, and whether any of
    /// them was claimed just now.
    pub(super) fn claim(&self, path: &Path, key: PackKey, bands: Vec<u64>) -> (Vec<u64>, bool) {
        let mut held = lock(&self.held);
        let is_new = |band: &u64| !held.bands.contains_key(&(key, *band));
        let new: Vec<u64> = bands.iter().copied().filter(is_new).collect();
        if new.is_empty() || !held.open(path) {
            return (bands, false);
        }
        let mut is_any_new = false;
        for run in new.chunk_by(|a, b| a + 1 == *b) {
            is_any_new |= held.claim(key, run[0]..run[0] + run.len() as u64);
        }
        let ours = bands.into_iter();
        let ours = ours.filter(|&band| held.is_off || held.bands.contains_key(&(key, band)));
        (ours.collect(), is_any_new)
    }

    /// Keeps the claim of a band until its segment is complete.
    pub(super) fn set_written(&self, key: PackKey, band: u64) {
        if let Some(is_written) = lock(&self.held).bands.get_mut(&(key, band)) {
            *is_written = true;
        }
    }

    /// Releases a band, unless it is written.
    pub(super) fn release(&self, key: PackKey, band: u64) {
        let mut held = lock(&self.held);
        if held.bands.get(&(key, band)) == Some(&false) {
            held.bands.remove(&(key, band));
            held.unlock(key.bytes(band..band + 1));
        }
    }

    /// Releases the bands of a segment that is complete.
    pub(super) fn release_written(&self) {
        let mut held = lock(&self.held);
        let written = held.bands.extract_if(|_, is_written| *is_written);
        let mut written: Vec<(PackKey, u64)> = written.map(|(band, _)| band).collect();
        written.sort_unstable();
        for run in written.chunk_by(|a, b| a.0 == b.0 && a.1 + 1 == b.1) {
            let (key, start) = run[0];
            held.unlock(key.bytes(start..start + run.len() as u64));
        }
    }

    /// Whether no band is claimed.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.held).bands.is_empty()
    }

    /// Releases all bands.
    pub(super) fn release_all(&self) {
        lock(&self.held).release_all();
    }

    /// Claims nothing more, and ignores the claims of others, until they are turned
    /// [on](Self::turn_on) again.
    pub(super) fn turn_off(&self) {
        let mut held = lock(&self.held);
        held.is_off = true;
        held.release_all();
    }

    pub(super) fn turn_on(&self) {
        lock(&self.held).is_off = false;
    }
}

impl Held {
    /// Opens the file, if that was not done. Returns whether bands can be claimed.
    fn open(&mut self, path: &Path) -> bool {
        if self.file.is_none() && !self.is_off {
            self.file = private().truncate(false).open(path).ok();
            self.is_off = self.file.is_none();
        }
        !self.is_off
    }

    fn release_all(&mut self) {
        self.bands.clear();
        self.unlock(0..0);
    }

    /// Claims those of some bands that no other process has claimed. Returns whether there are any.
    fn claim(&mut self, key: PackKey, bands: Range<u64>) -> bool {
        let n_bands = bands.end - bands.start;
        if self.lock(key.bytes(bands.clone())) {
            self.bands.extend(bands.map(|band| ((key, band), false)));
            return true;
        }
        if n_bands == 1 || self.is_off {
            return false;
        }
        let middle = bands.start + n_bands / 2;
        self.claim(key, bands.start..middle) | self.claim(key, middle..bands.end)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Forked children keep the file open. They leave what their parent claimed alone, because
        // each has claims of its own.
        self.unlock(0..0);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Held {
    fn lock(&mut self, bytes: Range<u64>) -> bool {
        use nix::errno::Errno;
        match self.set(nix::libc::F_WRLCK, bytes) {
            Ok(()) => true,
            Err(Errno::EAGAIN | Errno::EACCES) => false,
            Err(_) => {
                self.is_off = true;
                false
            }
        }
    }

    /// Without bytes, unlocks all.
    fn unlock(&self, bytes: Range<u64>) {
        // If this fails, others wait for up to 20 s.
        let _ = self.set(nix::libc::F_UNLCK, bytes);
    }

    /// Sets a lock of this open file: threads share it, other processes do not.
    fn set(&self, kind: i32, bytes: Range<u64>) -> nix::Result<()> {
        use nix::fcntl::{FcntlArg, fcntl};
        let Some(file) = &self.file else {
            return Ok(());
        };
        let lock = nix::libc::flock {
            l_type: kind as _,
            l_whence: nix::libc::SEEK_SET as _,
            l_start: bytes.start as _,
            l_len: (bytes.end - bytes.start) as _,
            l_pid: 0,
        };
        fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(|_| ())
    }
}

/// Other range locks belong to the process: closing any descriptor of the file releases all of them.
/// So nothing is claimed here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Held {
    fn lock(&mut self, _: Range<u64>) -> bool {
        self.is_off = true;
        false
    }

    fn unlock(&self, _: Range<u64>) {}
}

impl PackKey {
    /// The bytes of the file that stand for some bands. Those of different matrices hardly ever
    /// overlap; if they do, a process waits for another one's work without need.
    fn bytes(self, bands: Range<u64>) -> Range<u64> {
        let [start, _] = bytemuck::cast::<[u8; 16], [u64; 2]>(self.0);
        // Offsets in a file are below 2^63.
        let start = start >> 2;
        start + bands.start..start + bands.end
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn band_is_claimed_by_one_process_until_it_is_released() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("claims");
        let (one, two) = (FolderClaims::default(), FolderClaims::default());
        let key = PackKey([255; 16]);
        let claim = |claims: &FolderClaims, bands: &[u64]| claims.claim(&path, key, bands.to_vec());
        assert_eq!(claim(&one, &[1, 2, 3, 7]), (vec![1, 2, 3, 7], true));
        assert_eq!(claim(&one, &[2, 3]), (vec![2, 3], false));
        assert_eq!(claim(&two, &[0, 1, 2, 3, 4, 5, 6, 7, 8]).0, [0, 4, 5, 6, 8]);
        assert_eq!(claim(&one, &[4]), (vec![], false));
        let other_key = two.claim(&path, PackKey([0; 16]), vec![1]);
        assert_eq!(other_key, (vec![1], true));
        one.set_written(key, 2);
        for band in [1, 2, 4] {
            one.release(key, band);
        }
        assert_eq!(claim(&two, &[1, 2, 3]).0, [1]);
        one.release_written();
        assert_eq!(claim(&two, &[1, 2, 3]).0, [1, 2]);
        two.release(key, 2);
        assert_eq!(claim(&one, &[2]).0, [2]);
        one.turn_off();
        assert_eq!(
            claim(&one, &[1, 9]),
            (vec![1, 9], false),
            "it claims nothing"
        );
        assert_eq!(claim(&two, &[2, 3, 7, 9]), (vec![2, 3, 7, 9], true));
        one.turn_on();
        assert_eq!(claim(&one, &[2, 10]).0, [10]);
        drop(two);
        assert_eq!(claim(&one, &[2]).0, [2], "its process ended");
        let nowhere = folder.path().join("none/claims");
        let three = FolderClaims::default();
        assert_eq!(three.claim(&nowhere, key, vec![2]), (vec![2], false));
        assert!(three.is_empty());
    }
}
