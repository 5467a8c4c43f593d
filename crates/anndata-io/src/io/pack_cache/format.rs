//! The format of a segment: a file of packed bands, with a footer that says what they are.
//!
//! ```text
//! bands      the bytes of packs, one after the other
//! footer     matrices: key 16 · length of file u32 · file · length of element u32 · element
//!            records:  matrix u32 · crc32c of the band u32 · band u64 · first row u64 · rows' elements u64
//!                      · offset u64 · length u64
//! tail       offset of the footer u64 · matrices u32 · records u32 · version u32 · crc32c of all these u32
//!            · "RPCACHE1"
//! ```
//!
//! All numbers are little-endian. A segment is complete or it is not a segment: it is written under
//! another name and then renamed.

use std::collections::HashSet;

/// The key of a matrix: a hash of everything that its packs depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PackKey(pub(crate) [u8; 16]);

/// A matrix, for those who look at the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MatrixName {
    pub(crate) key: PackKey,
    pub(crate) file: String,
    pub(crate) element: String,
}

/// What a cache keeps of a band beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BandRecord {
    pub(crate) band: u64,
    pub(crate) first_row: u64,
    pub(crate) n_elements: u64,
}

impl BandRecord {
    /// The number of the record that holds the row starts of a converted matrix: no band has it.
    pub(crate) const ROW_STARTS: u64 = u64::MAX;
    /// The number of the record that holds the totals of all rows.
    pub(crate) const ROW_TOTALS: u64 = u64::MAX - 1;

    /// Whether it is one of a band.
    pub(crate) fn is_band(&self) -> bool {
        self.band < BandRecord::ROW_TOTALS
    }
}

/// A record of a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The number of its matrix in the footer.
    pub(super) matrix: u32,
    pub(super) crc: u32,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) band: BandRecord,
}

impl Record {
    /// Whether these bytes of a band have its checksum.
    pub(super) fn agrees(&self, bytes: &[u8]) -> bool {
        crc32c::crc32c(bytes) == self.crc
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Footer {
    pub(super) matrices: Vec<MatrixName>,
    pub(super) records: Vec<Record>,
}

const MAGIC: [u8; 8] = *b"RPCACHE1";
const VERSION: u32 = 1;
pub(super) const TAIL: usize = 32;
/// The bytes that a record takes.
pub(super) const RECORD: u64 = 48;

/// The end of a segment: where its footer begins, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) footer: u64,
    n_matrices: u32,
    n_records: u32,
    crc: u32,
}

impl Footer {
    /// The bytes that the footer takes with its tail.
    pub(super) fn len(&self) -> u64 {
        let names = self.matrices.iter().map(MatrixName::len);
        names.sum::<u64>() + self.records.len() as u64 * RECORD + TAIL as u64
    }

    /// The bytes of the footer and the tail of a segment whose bands take `bands` bytes.
    pub(super) fn encode(&self, bands: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len() as usize);
        for matrix in &self.matrices {
            out.extend(matrix.key.0);
            for text in [&matrix.file, &matrix.element] {
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.as_bytes());
            }
        }
        for record in &self.records {
            out.extend(record.matrix.to_le_bytes());
            out.extend(record.crc.to_le_bytes());
            let BandRecord {
                band,
                first_row,
                n_elements,
            } = record.band;
            for number in [band, first_row, n_elements, record.offset, record.len] {
                out.extend(number.to_le_bytes());
            }
        }
        out.extend(bands.to_le_bytes());
        for number in [
            self.matrices.len() as u32,
            self.records.len() as u32,
            VERSION,
        ] {
            out.extend(number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend(crc.to_le_bytes());
        out.extend(MAGIC);
        out
    }

    /// Reads the bytes between the bands and the tail. `None` if they are damaged.
    pub(super) fn parse(bytes: &[u8], tail: &[u8; TAIL]) -> Option<Footer> {
        let end = Tail::parse(tail)?;
        let crc = crc32c::crc32c(bytes);
        if crc32c::crc32c_append(crc, &tail[..20]) != end.crc {
            return None;
        }
        let mut rest = bytes;
        let mut footer = Footer::default();
        // Neither claim is believed: the loops end where the bytes do.
        for _ in 0..end.n_matrices {
            let key = PackKey(take(&mut rest)?);
            let mut text = || {
                let len = u32::from_le_bytes(take(&mut rest)?) as usize;
                let (text, after) = rest.split_at_checked(len)?;
                rest = after;
                String::from_utf8(text.to_vec()).ok()
            };
            let (file, element) = (text()?, text()?);
            footer.matrices.push(MatrixName { key, file, element });
        }
        let mut n_bytes = 0u64;
        for _ in 0..end.n_records {
            let matrix = u32::from_le_bytes(take(&mut rest)?);
            let crc = u32::from_le_bytes(take(&mut rest)?);
            let mut number = || Some(u64::from_le_bytes(take(&mut rest)?));
            let (band, first_row, n_elements) = (number()?, number()?, number()?);
            let (offset, len) = (number()?, number()?);
            let last = offset.checked_add(len)?;
            n_bytes = n_bytes.checked_add(len)?;
            // Bands do not overlap.
            let is_within = last <= end.footer && n_bytes <= end.footer;
            if !is_within || matrix as usize >= footer.matrices.len() {
                return None;
            }
            let band = BandRecord {
                band,
                first_row,
                n_elements,
            };
            footer.records.push(Record {
                matrix,
                crc,
                offset,
                len,
                band,
            });
        }
        rest.is_empty().then_some(footer)
    }

    /// The keys of its matrices.
    pub(super) fn keys(&self) -> HashSet<PackKey> {
        self.matrices.iter().map(|matrix| matrix.key).collect()
    }
}

impl Tail {
    /// `None` if these are not the last bytes of a segment of this version.
    pub(super) fn parse(bytes: &[u8; TAIL]) -> Option<Tail> {
        let mut rest = &bytes[..];
        let footer = u64::from_le_bytes(take(&mut rest)?);
        let mut number = || Some(u32::from_le_bytes(take(&mut rest)?));
        let (n_matrices, n_records, version, crc) = (number()?, number()?, number()?, number()?);
        (version == VERSION && rest == MAGIC).then_some(Tail {
            footer,
            n_matrices,
            n_records,
            crc,
        })
    }
}

impl MatrixName {
    /// The bytes that it takes in a footer.
    pub(super) fn len(&self) -> u64 {
        (16 + 4 + self.file.len() + 4 + self.element.len()) as u64
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}
