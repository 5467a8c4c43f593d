//! Work that one thread does for all: the first to claim it does it, the others wait.
//!
//! ```text
//! thread 1: get_or_claim ─▶ claim ─▶ work ─▶ keep the result ─▶ drop the claim
//! thread 2: get_or_claim ─▶ waits ───────────────────────────────▶ result
//! ```
//!
//! If a claim is dropped without a result, one of the waiting threads takes it over.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::io::lock::lock;

/// The keys of work that threads are doing right now.
#[derive(Debug)]
pub(crate) struct Claims<K> {
    claimed: Mutex<HashSet<K>>,
    /// Notified when a claim ends.
    ended: Condvar,
}

/// The right to do the work of a key. Drop it after the result is kept.
pub(crate) struct Claim<'a, K: Eq + Hash + Copy> {
    claims: &'a Claims<K>,
    key: K,
}

impl<K: Eq + Hash + Copy> Claims<K> {
    pub(crate) fn new() -> Self {
        Claims {
            claimed: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    /// Returns what `get` returns, if there is a result or another thread is making one right now.
    /// Otherwise returns the right to make it.
    pub(crate) fn get_or_claim<R>(
        &self,
        key: K,
        mut get: impl FnMut() -> Option<R>,
    ) -> Result<R, Claim<'_, K>> {
        let mut claimed = self.lock();
        loop {
            if let Some(result) = get() {
                return Ok(result);
            }
            if claimed.insert(key) {
                return Err(Claim { claims: self, key });
            }
            let wait = self.ended.wait(claimed);
            claimed = wait.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a thread is doing the work of a key right now.
    pub(crate) fn has(&self, key: K) -> bool {
        self.lock().contains(&key)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<K>> {
        lock(&self.claimed)
    }
}

impl<K: Eq + Hash + Copy> Drop for Claim<'_, K> {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.key);
        self.claims.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn claim_is_held_by_one_thread_and_passes_on_when_it_is_dropped() {
        let (claims, result) = (Claims::new(), OnceLock::new());
        let get = |key| claims.get_or_claim(key, || result.get().copied());
        let Err(claim) = get(0) else {
            panic!("there is no result yet");
        };
        assert!(get(1).is_err(), "other work can be claimed");
        thread::scope(|scope| {
            let second = scope.spawn(|| match get(0) {
                Err(_claim) => result.set(7).is_ok(),
                Ok(_) => false,
            });
            thread::sleep(Duration::from_millis(20));
            assert!(!second.is_finished(), "it waits for the claim");
            drop(claim);
            assert!(second.join().expect("no panic"), "the claim passed on");
        });
        assert!(get(0).is_ok());
    }

    #[test]
    fn claim_lets_waiting_threads_share_one_result() {
        let (claims, result) = (Claims::new(), OnceLock::new());
        let get = || claims.get_or_claim(0, || result.get().copied());
        let Err(claim) = get() else {
            panic!("there is no result yet");
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| get().ok())).collect();
            result.set(7).expect("it was empty");
            drop(claim);
            for thread in threads {
                assert_eq!(thread.join().expect("no panic"), Some(7));
            }
        });
    }
}
