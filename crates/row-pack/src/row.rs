//! Packing a row, and the form of a packed row.
//!
//! ```text
//! header      12 bytes: entries u32 · form of the columns u8 · form and type of the values u8 ·
//!                       dictionary values u16 · large codes u32
//! columns     2 or 4 bytes each, or a stream of sorted integers (bits.rs)
//! dictionary  the distinct values
//! codes       1 or 2 bytes each, or a stream; or the values themselves
//! large codes their positions, 4 bytes each, then the codes, 4 bytes each
//! ```
//!
//! A code is a whole number, which is the value, or a place in the dictionary. A few large codes
//! stand apart, so that the others take few bits. All numbers are little-endian.

use crate::bits::{self, Packers};
use crate::dictionary::Dictionary;
use crate::value::Value;

/// The bytes of a header.
pub(crate) const HEADER: usize = 12;
/// The bytes of a large code and its position.
const LARGE: usize = 8;

/// How tightly rows are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Level {
    /// Whole bytes: columns of 2 bytes, values of 1 or 2. The fastest.
    #[default]
    Bytes,
    /// As few bits as the entries of each block of 128 need. About half the size; larger than
    /// [`Bytes`](Self::Bytes) only for rows of few entries.
    Bits,
}

/// The form of columns in a packed row.
pub(crate) mod columns {
    pub(crate) const NARROW: u8 = 0;
    pub(crate) const WIDE: u8 = 1;
    pub(crate) const BITS: u8 = 2;
}

/// The form of values in a packed row: the lower 4 bits. The upper ones are the type.
pub(crate) mod values {
    pub(crate) const AS_THEY_ARE: u8 = 0;
    pub(crate) const ONE_BYTE: u8 = 1;
    pub(crate) const TWO_BYTES: u8 = 2;
    pub(crate) const BITS: u8 = 3;
}

/// Packs rows one by one.
///
/// ```
/// use row_pack::{Level, PackedRow, RowPacker};
///
/// let mut packer = RowPacker::new();
/// let mut bytes = Vec::new();
/// packer.pack(Level::Bits, &[3, 17, 18], &[1.0f32, 250.0, 2.0], &mut bytes);
/// let row = PackedRow::parse(&bytes)?;
/// let mut dense = [0.0; 20];
/// row.scatter(None, &mut dense, |value: f32| value)?;
/// assert_eq!((dense[3], dense[17], dense[18]), (1.0, 250.0, 2.0));
/// # Ok::<(), row_pack::PackError>(())
/// ```
#[derive(Clone)]
pub struct RowPacker {
    packers: Packers,
    dictionary: Dictionary,
    codes: Vec<u32>,
    /// Positions and codes that are too large for the form of the others.
    large: Vec<(u32, u32)>,
}

impl RowPacker {
    /// Makes a packer. It keeps buffers from row to row: about 12 bytes per entry of the longest.
    pub fn new() -> RowPacker {
        RowPacker {
            packers: Packers::new(),
            dictionary: Dictionary::new(),
            codes: Vec::new(),
            large: Vec::new(),
        }
    }

    /// The most bytes that a row of `len` entries takes, in a matrix of `n_columns` columns, with
    /// values of `value_bytes` bytes.
    pub fn most_bytes(len: usize, n_columns: usize, value_bytes: usize) -> usize {
        let column_bytes = if n_columns <= 1 << 16 { 2 } else { 4 };
        let bytes = len.saturating_mul(column_bytes + value_bytes);
        bytes.saturating_add(HEADER)
    }

    /// Appends a packed row to `out`: one of `values` for each of `columns`. Columns need not be
    /// sorted, but only sorted columns take few bits at [`Level::Bits`].
    ///
    /// At [`Level::Bytes`], `out` never grows by more than [`most_bytes`](Self::most_bytes), not
    /// even for a moment.
    ///
    /// # Panics
    /// When the numbers of columns and values differ, or are 2^32 or more.
    pub fn pack<T: Value>(
        &mut self,
        level: Level,
        columns: &[u32],
        values: &[T],
        out: &mut Vec<u8>,
    ) {
        assert_eq!(
            columns.len(),
            values.len(),
            "a row has one value per column"
        );
        let len = u32::try_from(columns.len()).expect("a row has fewer than 2^32 entries");
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        let column_form = self.pack_columns(level, columns, out);
        let (value_form, n_dictionary) = self.pack_values(level, values, out);
        let header = &mut out[start..start + HEADER];
        header[..4].copy_from_slice(&len.to_le_bytes());
        header[4] = column_form;
        header[5] = value_form | T::TAG << 4;
        header[6..8].copy_from_slice(&n_dictionary.to_le_bytes());
        header[8..].copy_from_slice(&(self.large.len() as u32).to_le_bytes());
    }

    fn pack_columns(&mut self, level: Level, columns: &[u32], out: &mut Vec<u8>) -> u8 {
        let is_narrow = columns.iter().fold(0, |a, &b| a | b) <= u16::MAX.into();
        let whole_bytes = if is_narrow { 2 } else { 4 } * columns.len();
        if level == Level::Bits && columns.is_sorted() {
            let start = out.len();
            self.packers.pack(columns, true, out);
            if out.len() - start < whole_bytes {
                return columns::BITS;
            }
            out.truncate(start);
        }
        if is_narrow {
            write_narrow(columns, out);
            columns::NARROW
        } else {
            u32::write(columns, out);
            columns::WIDE
        }
    }

    /// Returns the form of the values, and the number of values in the dictionary.
    fn pack_values<T: Value>(
        &mut self,
        level: Level,
        values: &[T],
        out: &mut Vec<u8>,
    ) -> (u8, u16) {
        self.large.clear();
        let as_they_are = size_of_val(values);
        let (mut rest, mut n_above) = (0, [0; 2]);
        self.codes.resize(values.len(), 0);
        for (code, value) in self.codes.iter_mut().zip(values) {
            let (whole, value_rest) = value.to_whole();
            rest |= value_rest;
            n_above[0] += u32::from(whole > u8::MAX.into());
            n_above[1] += u32::from(whole > u16::MAX.into());
            *code = whole;
        }
        let start = out.len();
        let mut n_dictionary = 0;
        let form = if rest == 0 {
            self.pack_codes(level, n_above, as_they_are, out)
        } else if size_of::<T>() > 1 && self.dictionary.encode(values, &mut self.codes) {
            if level == Level::Bits {
                self.dictionary.sort_by_count(&mut self.codes);
            }
            n_dictionary = self.dictionary.len() as u16;
            self.dictionary.write(values, out);
            let table = out.len() - start;
            self.pack_codes(level, [0; 2], as_they_are.saturating_sub(table), out)
        } else {
            None
        };
        if let Some(form) = form {
            return (form, n_dictionary);
        }
        self.large.clear();
        out.truncate(start);
        T::write(values, out);
        (values::AS_THEY_ARE, 0)
    }

    /// Appends the codes in the smallest form. Returns `None` if that form is not smaller than
    /// `most_bytes`; the caller then discards the appended bytes. `n_above` codes are too large for
    /// one byte, and for two.
    fn pack_codes(
        &mut self,
        level: Level,
        n_above: [u32; 2],
        most_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Option<u8> {
        let n = self.codes.len();
        let codes = &mut self.codes;
        let form = match level {
            Level::Bits => {
                bits::set_apart(codes, LARGE, &mut self.large);
                let start = out.len();
                self.packers.pack(codes, false, out);
                let size = out.len() - start + LARGE * self.large.len();
                (size < most_bytes).then_some(values::BITS)
            }
            Level::Bytes => {
                let [one, two] = [(1, n_above[0]), (2, n_above[1])]
                    .map(|(bytes, n_above)| bytes * n + LARGE * n_above as usize);
                let (form, most, n_above) = if one <= two {
                    (values::ONE_BYTE, u8::MAX.into(), n_above[0])
                } else {
                    (values::TWO_BYTES, u16::MAX.into(), n_above[1])
                };
                if one.min(two) >= most_bytes {
                    return None;
                }
                if n_above > 0 {
                    bits::move_above(most, codes, 0, &mut self.large);
                }
                if form == values::ONE_BYTE {
                    out.extend(codes.iter().map(|&code| code as u8));
                } else {
                    write_narrow(codes, out);
                }
                Some(form)
            }
        };
        let large = self.large.iter();
        let positions = large.clone().map(|large| large.0);
        let large = positions.chain(large.map(|large| large.1));
        out.extend(large.flat_map(u32::to_le_bytes));
        form
    }
}

/// Appends the lower 2 bytes of each integer.
fn write_narrow(integers: &[u32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * integers.len(), 0);
    let (places, _) = out[start..].as_chunks_mut();
    for (place, &integer) in places.iter_mut().zip(integers) {
        *place = (integer as u16).to_le_bytes();
    }
}

impl Default for RowPacker {
    fn default() -> Self {
        RowPacker::new()
    }
}

impl std::fmt::Debug for RowPacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowPacker").finish_non_exhaustive()
    }
}
