//! The packs of one read: which band it packs, which another thread or process packs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use row_pack::Level;

use super::bands::{BandExtent, BandPack, MatrixPacks, NewPack};
use crate::array::Array;
use crate::array::chunk_reader::CachePolicy;
use crate::error::{Error, ErrorKind};
use crate::io::chunk_cache::ChunkKey;
use crate::io::claims::Claims;

/// When a band that is not packed yet is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackWhen {
    /// In this read.
    Now,
    /// When a read wants it the second time.
    SecondTime,
    Never,
}

/// The packs that one read uses.
pub(super) struct PackAccess<'a> {
    packs: &'a MatrixPacks,
    array: &'a Array,
    when: PackWhen,
    /// The last band that this read asked for, and whether it may pack it.
    asked: Option<(u64, bool)>,
    stop: Arc<AtomicBool>,
    /// Whether a file or a server could not be read.
    has_failed: bool,
}

impl<'a> PackAccess<'a> {
    pub(super) fn new(
        packs: &'a MatrixPacks,
        array: &'a Array,
        when: PackWhen,
        stop: &Arc<AtomicBool>,
    ) -> Self {
        PackAccess {
            packs,
            array,
            when,
            asked: None,
            stop: stop.clone(),
            has_failed: false,
        }
    }

    /// Takes those of some bands, which ascend, that still have to be packed: they are neither in
    /// memory nor on disk, and no other thread or process packs them.
    pub(super) fn claim_missing(&self, mut bands: Vec<BandExtent>) -> Vec<BandExtent> {
        bands.retain(|of| self.is_free_in_process(of.number) && !self.is_packed(of));
        if let Some(cached) = &self.packs.cached {
            let ours = cached.claim(bands.iter().map(|of| of.number).collect());
            bands.retain(|of| {
                let is_ours = ours.binary_search(&of.number).is_ok();
                if is_ours && self.is_packed(of) {
                    cached.release(of.number);
                }
                is_ours && self.is_free_in_process(of.number)
            });
        }
        bands
    }

    /// Records that a server was asked for a band.
    pub(super) fn set_asked(&self, number: u64) {
        self.packs.bands[number as usize]
            .asked
            .store(true, Ordering::Relaxed);
    }

    /// Whether a server was asked for a band, and nobody has read the answer. From now on, it counts
    /// as read.
    pub(super) fn take_asked(&self, number: u64) -> bool {
        let band = self.packs.bands.get(number as usize);
        band.is_some_and(|band| band.asked.swap(false, Ordering::Relaxed))
    }

    /// Whether a band is in memory or on disk.
    fn is_packed(&self, of: &BandExtent) -> bool {
        let band = &self.packs.bands[of.number as usize];
        if band.pack.get().is_none() {
            self.packs.load(band, of);
        }
        band.pack.get().is_some()
    }

    /// Whether a band is not in memory, and no other thread packs it.
    pub(super) fn is_free_in_process(&self, number: u64) -> bool {
        // In this order: a claim ends after its pack is kept.
        let is_claimed = self.claims().has(self.claim_key(number));
        let band = self.packs.bands.get(number as usize);
        !is_claimed && band.is_some_and(|band| band.pack.get().is_none())
    }

    /// Whether another process packs a band.
    pub(super) fn is_of_others(&self, number: u64) -> bool {
        let cached = self.packs.cached.as_ref();
        cached.is_some_and(|cached| {
            self.is_free_in_process(number) && cached.claim(vec![number]).is_empty()
        })
    }

    /// Lets other processes pack a band, if this one has claimed it and not written it.
    pub(super) fn release(&self, number: u64) {
        if let Some(cached) = &self.packs.cached {
            cached.release(number);
        }
    }

    /// Waits until a band is packed, or until this process may pack it. Returns false in that case.
    fn wait_for_others(&self, of: &BandExtent) -> bool {
        let is_done = || self.is_packed(of) || self.is_stopped();
        let cached = self.packs.cached.as_ref();
        cached.is_some_and(|cached| cached.claim_or_wait(of.number, is_done))
    }

    /// Whether no other band is to be packed: nobody wants it any more, it cannot be kept, or it could
    /// hardly be read.
    pub(super) fn is_over(&self) -> bool {
        self.has_failed || self.is_stopped() || self.packs.is_full()
    }

    /// Whether a file or a server could not be read.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.array.parts().context.is_closed()
    }

    fn claims(&self) -> &'a Claims<ChunkKey> {
        self.array.parts().context.band_claims()
    }

    fn claim_key(&self, number: u64) -> ChunkKey {
        ChunkKey {
            array: self.array.id(),
            chunk: number,
        }
    }

    /// The bytes with which a thread packs a dense band.
    pub(super) fn packing(&self) -> usize {
        self.packs.room.packing()
    }

    /// Returns a band if it is packed. Packs it now if that is its time: `pack` decodes and packs
    /// it; other threads that want the band wait. Unless bands are packed now, they must be asked for
    /// in ascending order.
    pub(super) fn band(
        &mut self,
        number: u64,
        of: impl FnOnce() -> BandExtent,
        pack: impl FnOnce(Level, CachePolicy) -> Result<Option<NewPack>, Error>,
    ) -> Option<&'a BandPack> {
        let packs = self.packs;
        let band = packs.bands.get(number as usize)?;
        if let Some(pack) = band.pack.get() {
            return Some(pack);
        }
        if let Some((asked, false)) = self.asked
            && asked >= number
        {
            return None;
        }
        let of = of();
        if self.is_packed(&of) {
            return band.pack.get();
        }
        let may_pack = match self.asked {
            Some((asked, may_pack)) if asked >= number => may_pack,
            _ => match self.when {
                PackWhen::Now => true,
                PackWhen::SecondTime => band.wanted.swap(true, Ordering::Relaxed),
                PackWhen::Never => false,
            },
        };
        self.asked = Some((number, may_pack));
        if !may_pack || packs.is_full() {
            return None;
        }
        let packed_elsewhere = || self.is_packed(&of).then_some(());
        if let Err(_claim) = self
            .claims()
            .get_or_claim(self.claim_key(number), packed_elsewhere)
        {
            // Only a read that packs every band at once waits for other processes.
            if self.when == PackWhen::Now && self.wait_for_others(&of) {
                return band.pack.get();
            }
            let policy = match self.when {
                // It is in the cache if it was read shortly before.
                PackWhen::SecondTime => CachePolicy::All,
                PackWhen::Now | PackWhen::Never => CachePolicy::Nothing,
            };
            self.take_asked(number);
            match pack(packs.level, policy) {
                Ok(Some(new)) => packs.keep(band, &of, Some(new)),
                Ok(None) => packs.is_unfit.store(true, Ordering::Relaxed),
                // It may pass.
                Err(error) if is_of_reading(error.kind()) => {
                    self.has_failed |= matches!(error.kind(), ErrorKind::Io(_));
                }
                // The usual read of the rows that it concerns raises it.
                Err(_) => packs.keep(band, &of, None),
            }
            self.release(number);
        }
        band.pack.get()
    }
}

/// Whether an error says nothing about the bytes of a chunk.
fn is_of_reading(kind: &ErrorKind) -> bool {
    use ErrorKind::{Changed, Closed, Io, NotFound};
    matches!(kind, Io(_) | NotFound | Changed | Closed)
}
