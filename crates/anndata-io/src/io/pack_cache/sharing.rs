//! How processes divide the bands of files on servers among themselves.

use std::time::{Duration, Instant};

use super::{PackCache, PackKey};
use crate::io::lock::lock;

/// How long a process waits for a band while no other band of the matrix is packed.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time between two looks for such a band.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// The shortest time between two segments that a process completes while it waits.
const BETWEEN_SEGMENTS: Duration = Duration::from_millis(500);

impl PackCache {
    /// Completes the segment if other processes may be waiting for its bands: those of files on
    /// servers.
    pub fn publish(&self) {
        if !self.inner.local.get().claims.is_empty() {
            self.complete_current();
        }
    }

    /// Claims bands for this process to pack. They must ascend. Returns those that no other process
    /// has claimed. If another process packed one before, [`find`](Self::find) returns it.
    pub(crate) fn claim(&self, key: PackKey, bands: Vec<u64>) -> Vec<u64> {
        if self.is_full() {
            return bands;
        }
        let local = self.inner.local.get();
        let (ours, are_new) = local.claims.claim(&self.inner.folder.claims(), key, bands);
        if are_new {
            lock(&local.index).look_again();
        }
        ours
    }

    /// Releases a band, unless it is in the segment that is being written.
    pub(crate) fn release(&self, key: PackKey, band: u64) {
        self.inner.local.get().claims.release(key, band);
    }

    /// Waits until `is_done` returns true or the band can be claimed. Returns true in the first case;
    /// otherwise, this process must pack the band.
    pub(crate) fn claim_or_wait(
        &self,
        key: PackKey,
        band: u64,
        mut is_done: impl FnMut() -> bool,
    ) -> bool {
        let (mut n_known, mut since) = (0, Instant::now());
        let mut published: Option<Instant> = None;
        loop {
            let is_ours = !self.claim(key, vec![band]).is_empty();
            if is_done() {
                self.release(key, band);
                return true;
            }
            if is_ours {
                return false;
            }
            // The other process may be waiting for bands of this one.
            if published.is_none_or(|published| published.elapsed() > BETWEEN_SEGMENTS) {
                self.publish();
                published = Some(Instant::now());
            }
            let known = self.index().n_known(key);
            if known > n_known {
                (n_known, since) = (known, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                self.complete_current();
                self.inner.local.get().claims.turn_off();
                return false;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::time::Duration;

    use crate::io::pack_cache::tests::{bytes, found, name, opened, record};

    #[test]
    fn bands_that_another_process_packs_are_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, two] = [(); 2].map(|()| opened(folder.path(), 1 << 24, &[1]));
        let key = name(1).key;
        assert_eq!(one.claim(key, vec![1, 2, 3]), [1, 2, 3]);
        let wait = |band| two.claim_or_wait(key, band, || found(&two, 1, band).is_some());
        std::thread::scope(|scope| {
            let packed = scope.spawn(|| wait(1));
            one.put(&name(1), record(1), &bytes(1, 100));
            std::thread::sleep(Duration::from_millis(30));
            assert!(!packed.is_finished(), "nobody sees it yet");
            one.publish();
            assert!(packed.join().expect("no panic"));
            let left = scope.spawn(|| wait(2));
            std::thread::sleep(Duration::from_millis(30));
            assert!(!left.is_finished(), "it is claimed");
            one.flush();
            assert!(
                !left.join().expect("no panic"),
                "it is left to the other one"
            );
        });
        assert_eq!(one.claim(key, vec![1, 2, 3]), [1, 3]);
        drop(two);
        assert_eq!(one.claim(key, vec![2]), [2]);
    }
}
