//! The packed bands of one matrix, and when a band is packed.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use once_cell::race::OnceBox;
use row_pack::{Level, PackBuilder, PackLayout};

use super::cached::CachedMatrix;
use crate::array::Array;
use crate::array::chunk_reader::CachePolicy;
use crate::error::{Error, ErrorKind};
use crate::io::chunk_cache::ChunkKey;
use crate::io::claims::Claims;
use crate::io::pack_cache::{BandRecord, SegmentSlice};
use crate::io::pack_room::{PackRoom, Reservation};
use crate::matrix::MatrixSource;

/// The bytes that a band takes beside those of its pack, with the allocator's own.
const BAND_BYTES: usize = size_of::<Band>() + size_of::<BandPack>() + 32;

/// The packs of one matrix.
#[derive(Debug)]
pub(in crate::matrix) struct MatrixPacks {
    bands: Box<[Band]>,
    level: Level,
    room: Arc<PackRoom>,
    /// Its bands on disk.
    cached: Option<Arc<CachedMatrix>>,
    n_rows: u64,
    n_packed: AtomicUsize,
    bytes: AtomicUsize,
    cached_bytes: AtomicU64,
    n_elements: AtomicU64,
    /// Whether a band is too large for a pack. Others of the matrix are then not tried.
    is_unfit: AtomicBool,
}

#[derive(Debug, Default)]
struct Band {
    pack: OnceBox<BandPack>,
    /// Whether a read by index wanted it before.
    wanted: AtomicBool,
    /// Whether it counts as packed: it is, or the cache seems to have it.
    counted: AtomicBool,
    /// Whether a server was asked for it, and nobody has read the answer.
    asked: AtomicBool,
}

/// The rows of a band; of rows that lie in several bands, the piece in this one.
#[derive(Debug)]
pub(super) struct BandPack {
    /// The row of the first piece.
    first_row: u64,
    layout: PackLayout,
    /// A piece of a sparse row that could not be packed has no elements here.
    bytes: PackBytes,
}

/// The place of a pack.
#[derive(Debug)]
enum PackBytes {
    Memory {
        bytes: Vec<u8>,
        #[expect(dead_code, reason = "its drop is what counts")]
        room: Reservation,
    },
    Disk(SegmentSlice),
}

/// A band that was just packed.
pub(super) struct NewPack {
    pub(super) first_row: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) n_elements: u64,
}

/// When a band that is not packed yet is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackWhen {
    /// In this read.
    Now,
    /// When a read wants it the second time.
    SecondTime,
    Never,
}

/// What a band of a matrix is made of.
#[derive(Debug, Clone)]
pub(super) struct BandExtent {
    pub(super) number: u64,
    /// The range of the arrays along their first axis.
    pub(super) span: Range<u64>,
    /// The number of elements that the file stores for it.
    pub(super) n_elements: u64,
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

impl MatrixPacks {
    /// `None` if the matrix has no packs.
    pub(super) fn new(
        source: &MatrixSource,
        level: Level,
        room: Arc<PackRoom>,
    ) -> Option<MatrixPacks> {
        let cached = source.cached().cloned();
        if !source.is_packable() && cached.is_none() {
            return None;
        }
        let level = if source.is_sparse() && cached.is_none() {
            level
        } else {
            Level::Bits
        };
        let bands = (0..source.n_bands()).map(|_| Band::default());
        let packs = MatrixPacks {
            bands: bands.collect(),
            level,
            room,
            cached,
            n_rows: source.n_rows(),
            n_packed: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            cached_bytes: AtomicU64::new(0),
            n_elements: AtomicU64::new(0),
            is_unfit: AtomicBool::new(false),
        };
        // Without row starts, nobody can read the bands of a converted matrix.
        let is_readable = |cached: &Arc<CachedMatrix>| {
            let (n_rows, n_stored) = (packs.n_rows, source.n_stored());
            source.is_packable() || cached.row_starts(n_rows, n_stored).is_some()
        };
        if let Some(cached) = packs.cached.as_ref().filter(|cached| is_readable(cached)) {
            cached.known(|record, n_bytes| {
                let Some(band) = packs.bands.get(record.band as usize) else {
                    return;
                };
                let of = source.band_of(record.band);
                if record.n_elements == of.n_elements && packs.count(band, &of) {
                    packs.cached_bytes.fetch_add(n_bytes, Ordering::Relaxed);
                }
            });
        }
        Some(packs)
    }

    /// Counts a band as packed. Returns false if it counted before.
    fn count(&self, band: &Band, of: &BandExtent) -> bool {
        let is_new = !band.counted.swap(true, Ordering::Relaxed);
        if is_new {
            self.n_packed.fetch_add(1, Ordering::Relaxed);
            self.n_elements.fetch_add(of.n_elements, Ordering::Relaxed);
        }
        is_new
    }

    /// Counts a band that the cache does not have after all.
    fn uncount(&self, band: &Band, of: &BandExtent) {
        if band.counted.swap(false, Ordering::Relaxed) {
            self.n_packed.fetch_sub(1, Ordering::Relaxed);
            self.n_elements.fetch_sub(of.n_elements, Ordering::Relaxed);
        }
        // Another thread may have packed it meanwhile.
        if band.pack.get().is_some() {
            self.count(band, of);
        }
    }

    /// The bytes of the packs in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The bytes of the packs on disk.
    pub(super) fn cached_bytes(&self) -> u64 {
        self.cached_bytes.load(Ordering::Relaxed)
    }

    /// The number of stored elements of the bands that are packed.
    pub(super) fn n_elements(&self) -> u64 {
        self.n_elements.load(Ordering::Relaxed)
    }

    pub(super) fn n_bands(&self) -> usize {
        self.bands.len()
    }

    /// The number of bands that are packed.
    pub(super) fn n_packed(&self) -> usize {
        self.n_packed.load(Ordering::Relaxed)
    }

    /// Whether every band is packed, except those that cannot be.
    pub(super) fn is_complete(&self) -> bool {
        self.n_packed() == self.bands.len()
    }

    /// Whether no other band can be kept.
    pub(super) fn is_full(&self) -> bool {
        let is_full = |cached: &Arc<CachedMatrix>| cached.is_full();
        let has_room = !self.room.is_full() || !self.cached.as_ref().is_none_or(is_full);
        self.is_unfit.load(Ordering::Relaxed) || !has_room
    }

    /// Takes a band from the cache, if it is there.
    fn load(&self, band: &Band, of: &BandExtent) {
        let Some(cached) = &self.cached else { return };
        // What a pack takes at most: entries as they are, and headers of rows.
        let most =
            (of.n_elements.saturating_mul(24)).saturating_add(self.n_rows.saturating_mul(16));
        let most = most.saturating_add(1 << 10);
        let found = cached.find(of.number, of.span.clone(), most);
        // A record of other elements was not written by this program.
        match found.filter(|(record, ..)| record.n_elements == of.n_elements) {
            Some((record, slice, layout)) => {
                let len = slice.len() as u64;
                let _ = band.pack.set(Box::new(BandPack {
                    first_row: record.first_row,
                    layout,
                    bytes: PackBytes::Disk(slice),
                }));
                if self.count(band, of) {
                    self.cached_bytes.fetch_add(len, Ordering::Relaxed);
                }
            }
            None => self.uncount(band, of),
        }
    }

    /// Keeps a band, on disk or in memory, if there is room for it.
    fn keep(&self, band: &Band, of: &BandExtent, new: Option<NewPack>) {
        let is_packed = new.is_some();
        let NewPack {
            first_row,
            bytes,
            n_elements,
        } = new.unwrap_or_else(|| NewPack {
            first_row: 0,
            bytes: PackBuilder::new::<u8>(0, Level::Bits).finish(),
            n_elements: 0,
        });
        let layout = PackLayout::parse(&bytes).expect("this process packed it");
        let len = bytes.len();
        let on_disk = self.cached.as_ref().filter(|_| is_packed);
        let on_disk = on_disk.and_then(|cached| {
            let record = BandRecord {
                band: of.number,
                first_row,
                n_elements,
            };
            cached.put(record, of.span.clone(), &bytes)
        });
        let (bytes, in_memory) = match on_disk {
            Some(slice) => (PackBytes::Disk(slice), 0),
            None => {
                let in_memory = BAND_BYTES + len;
                let Some(room) = self.room.reserve(in_memory as u64) else {
                    return self.room.set_full();
                };
                (PackBytes::Memory { bytes, room }, in_memory)
            }
        };
        let pack = BandPack {
            first_row,
            layout,
            bytes,
        };
        if band.pack.set(Box::new(pack)).is_ok() {
            self.count(band, of);
            self.bytes.fetch_add(in_memory, Ordering::Relaxed);
            if in_memory == 0 {
                self.cached_bytes.fetch_add(len as u64, Ordering::Relaxed);
            }
        }
    }
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
        packs.load(band, &of);
        if let Some(pack) = band.pack.get() {
            return Some(pack);
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
        let packed_elsewhere = || {
            packs.load(band, &of);
            band.pack.get().map(|_| ())
        };
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

impl BandPack {
    /// The bytes of the piece of a row; `None` if no row of the band could be packed.
    #[inline]
    pub(super) fn piece(&self, row: u64) -> Option<Cow<'_, [u8]>> {
        let row = row.checked_sub(self.first_row)? as usize;
        let ends = self.layout.ends_of(row).ok()?;
        let all = match &self.bytes {
            PackBytes::Memory { bytes, .. } => bytes,
            PackBytes::Disk(slice) => match slice.mapped() {
                Some(mapped) => mapped,
                None => {
                    let range = self.layout.row(row, &slice.read(ends).ok()?).ok()?;
                    return slice.read(range).ok();
                }
            },
        };
        let range = self.layout.row(row, all.get(ends)?).ok()?;
        all.get(range).map(Cow::Borrowed)
    }
}
