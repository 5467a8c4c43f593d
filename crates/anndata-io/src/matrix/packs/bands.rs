//! The packed bands of one matrix.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use once_cell::race::OnceBox;
use row_pack::{Level, PackBuilder, PackLayout};

use super::cached::CachedMatrix;
use crate::io::pack_cache::{BandRecord, SegmentSlice};
use crate::io::pack_room::{PackRoom, Reservation};
use crate::matrix::MatrixSource;

/// The bytes that a band takes beside those of its pack, with the allocator's own.
const BAND_BYTES: usize = size_of::<Band>() + size_of::<BandPack>() + 32;

/// The packs of one matrix.
#[derive(Debug)]
pub(in crate::matrix) struct MatrixPacks {
    pub(super) bands: Box<[Band]>,
    pub(super) level: Level,
    pub(super) room: Arc<PackRoom>,
    /// Its bands on disk.
    pub(super) cached: Option<Arc<CachedMatrix>>,
    n_rows: u64,
    n_packed: AtomicUsize,
    bytes: AtomicUsize,
    cached_bytes: AtomicU64,
    n_elements: AtomicU64,
    /// Whether a band is too large for a pack. Others of the matrix are then not tried.
    pub(super) is_unfit: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Band {
    pub(super) pack: OnceBox<BandPack>,
    /// Whether a read by index wanted it before.
    pub(super) wanted: AtomicBool,
    /// Whether it counts as packed: it is, or the cache seems to have it.
    counted: AtomicBool,
    /// Whether a server was asked for it, and nobody has read the answer.
    pub(super) asked: AtomicBool,
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

/// What a band of a matrix is made of.
#[derive(Debug, Clone)]
pub(super) struct BandExtent {
    pub(super) number: u64,
    /// The range of the arrays along their first axis.
    pub(super) span: Range<u64>,
    /// The number of elements that the file stores for it.
    pub(super) n_elements: u64,
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
    pub(super) fn load(&self, band: &Band, of: &BandExtent) {
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
    pub(super) fn keep(&self, band: &Band, of: &BandExtent, new: Option<NewPack>) {
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
