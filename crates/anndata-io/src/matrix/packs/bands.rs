//! The packed bands of one matrix, and when a band is packed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use once_cell::race::OnceBox;
use row_pack::{Level, Pack, PackBuilder};

use crate::array::Array;
use crate::array::chunk_reader::CachePolicy;
use crate::error::Error;
use crate::io::chunk_cache::ChunkKey;
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
    n_packed: AtomicUsize,
    bytes: AtomicUsize,
    n_elements: AtomicU64,
}

#[derive(Debug, Default)]
struct Band {
    pack: OnceBox<BandPack>,
    /// Whether a read by index wanted it before.
    wanted: AtomicBool,
}

/// The rows of a band; of rows that lie in several bands, the piece in this one.
#[derive(Debug)]
pub(super) struct BandPack {
    /// The row of the first piece.
    first_row: u64,
    /// A piece of a sparse row that could not be packed has no elements here.
    pieces: Pack<Vec<u8>>,
    #[expect(dead_code, reason = "its drop is what counts")]
    room: Reservation,
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

/// The packs that one read uses.
pub(super) struct PackAccess<'a> {
    packs: &'a MatrixPacks,
    array: &'a Array,
    when: PackWhen,
    /// The last band that this read asked for, and whether it may pack it.
    asked: Option<(u64, bool)>,
}

impl MatrixPacks {
    /// `None` if the matrix is not packable.
    pub(super) fn new(
        source: &MatrixSource,
        level: Level,
        room: Arc<PackRoom>,
    ) -> Option<MatrixPacks> {
        if !source.is_packable() {
            return None;
        }
        let level = if source.is_sparse() {
            level
        } else {
            Level::Bits
        };
        let bands = (0..source.n_bands()).map(|_| Band::default());
        Some(MatrixPacks {
            bands: bands.collect(),
            level,
            room,
            n_packed: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            n_elements: AtomicU64::new(0),
        })
    }

    /// The bytes of the packs.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The number of stored elements of the bands that are packed.
    pub(super) fn n_elements(&self) -> u64 {
        self.n_elements.load(Ordering::Relaxed)
    }

    /// Whether every band is packed, except those that cannot be.
    pub(super) fn is_complete(&self) -> bool {
        self.n_packed.load(Ordering::Relaxed) == self.bands.len()
    }

    /// Keeps a band, if there is room for it.
    fn keep(&self, band: &Band, new: Option<NewPack>) {
        let n_bytes = BAND_BYTES + new.as_ref().map_or(0, |new| new.bytes.len());
        let Some(room) = self.room.reserve(n_bytes as u64) else {
            return self.room.set_full();
        };
        let n_elements = new.as_ref().map_or(0, |new| new.n_elements);
        let (first_row, bytes) = match new {
            Some(new) => (new.first_row, new.bytes),
            None => (0, PackBuilder::new::<u8>(0, Level::Bits).finish()),
        };
        let pieces = Pack::parse(bytes).expect("this process packed it");
        let pack = BandPack {
            first_row,
            pieces,
            room,
        };
        if band.pack.set(Box::new(pack)).is_ok() {
            self.n_packed.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(n_bytes, Ordering::Relaxed);
            self.n_elements.fetch_add(n_elements, Ordering::Relaxed);
        }
    }
}

impl<'a> PackAccess<'a> {
    pub(super) fn new(packs: &'a MatrixPacks, array: &'a Array, when: PackWhen) -> Self {
        PackAccess {
            packs,
            array,
            when,
            asked: None,
        }
    }

    /// Returns a band if it is packed. Packs it now if that is its time: `pack` decodes and packs
    /// it; other threads that want the band wait. Bands must be asked for in ascending order.
    pub(super) fn band(
        &mut self,
        number: u64,
        pack: impl FnOnce(Level, CachePolicy) -> Result<Option<NewPack>, Error>,
    ) -> Option<&'a BandPack> {
        let packs = self.packs;
        let band = packs.bands.get(number as usize)?;
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
        if !may_pack || packs.room.is_full() {
            return None;
        }
        let key = ChunkKey {
            array: self.array.id(),
            chunk: number,
        };
        let claims = self.array.parts().context.band_claims();
        if let Err(_claim) = claims.get_or_claim(key, || band.pack.get().map(|_| ())) {
            let policy = match self.when {
                // It is in the cache if it was read shortly before.
                PackWhen::SecondTime => CachePolicy::All,
                PackWhen::Now | PackWhen::Never => CachePolicy::Nothing,
            };
            // An error is raised by the usual read of the rows that it concerns.
            packs.keep(band, pack(packs.level, policy).unwrap_or_default());
        }
        band.pack.get()
    }
}

impl BandPack {
    /// The bytes of the piece of a row; `None` if no row of the band could be packed.
    #[inline]
    pub(super) fn piece(&self, row: u64) -> Option<&[u8]> {
        let number = row.checked_sub(self.first_row)?;
        self.pieces.row_bytes(number as usize).ok()
    }
}
