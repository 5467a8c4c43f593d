//! The memory of packed rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::limits::MOST_PACKING_BYTES;

/// The most bytes that packed rows may take, and how many they take.
///
/// [`Packs`](crate::Packs) take their memory from it, whoever reads them.
#[derive(Debug)]
pub struct PackRoom {
    limit: AtomicUsize,
    used: AtomicUsize,
    packing: AtomicUsize,
    /// Whether a pack did not fit.
    full: AtomicBool,
}

impl PackRoom {
    /// Room for `limit` bytes.
    pub fn new(limit: usize) -> PackRoom {
        PackRoom {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            packing: AtomicUsize::new(MOST_PACKING_BYTES),
            full: AtomicBool::new(false),
        }
    }

    /// Changes the limit. What is there stays.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.full.store(false, Ordering::Relaxed);
    }

    /// Limits what a thread holds of a dense band while it packs it: the nonzeros of as many rows as
    /// fit, at most 32 MiB. It decodes the band again for the others. A band whose pack takes more
    /// than four times as much is not packed.
    pub fn set_packing(&self, bytes: usize) {
        let bytes = bytes.min(MOST_PACKING_BYTES);
        self.packing.store(bytes, Ordering::Relaxed);
    }

    /// The limit that [`set_packing`](Self::set_packing) sets.
    pub(crate) fn packing(&self) -> usize {
        self.packing.load(Ordering::Relaxed)
    }

    /// The bytes in use.
    pub fn bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether a pack did not fit since the limit was set.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Takes some bytes until the reservation is dropped; `None` if fewer are free.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let limit = self.limit.load(Ordering::Relaxed);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let order = Ordering::Relaxed;
        let taken = self.used.fetch_update(order, order, |used| {
            let with = used.checked_add(bytes)?;
            (with <= limit).then_some(with)
        });
        taken.is_ok().then(|| {
            let room = self.clone();
            Reservation { room, bytes }
        })
    }

    /// Records that a pack did not fit.
    pub(crate) fn set_full(&self) {
        self.full.store(true, Ordering::Relaxed);
    }
}

/// A part of the memory of packed rows; dropping it frees the part.
#[derive(Debug)]
pub(crate) struct Reservation {
    room: Arc<PackRoom>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_room_is_taken_until_a_reservation_is_dropped() {
        let room = Arc::new(PackRoom::new(100));
        let first = room.reserve(60).expect("it is empty");
        assert!(room.reserve(41).is_none());
        let second = room.reserve(40).expect("exactly the rest");
        assert_eq!(room.bytes(), 100);
        drop(first);
        assert_eq!(room.bytes(), 40);
        room.set_full();
        assert!(room.is_full());
        room.set_limit(10);
        assert!(!room.is_full() && room.reserve(1).is_none());
        drop(second);
        assert!(room.reserve(u64::MAX).is_none() && room.reserve(10).is_some());
    }
}
