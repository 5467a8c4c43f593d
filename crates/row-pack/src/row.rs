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
    /// As few bits as the entries of each block of 128 need. About half the size.
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
/// let bytes = packer.pack(Level::Bits, &[3, 17, 18], &[1.0f32, 250.0, 2.0]);
/// let row = PackedRow::parse(bytes)?;
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
    bytes: Vec<u8>,
}

impl RowPacker {
    /// Makes a packer. It keeps its buffers from row to row: about 30 bytes per entry of the longest.
    pub fn new() -> RowPacker {
        RowPacker {
            packers: Packers::new(),
            dictionary: Dictionary::new(),
            codes: Vec::new(),
            large: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// The most bytes that a row of `len` entries takes, in a matrix of `n_columns` columns, with
    /// values of `value_bytes` bytes.
    pub fn most_bytes(len: usize, n_columns: usize, value_bytes: usize) -> usize {
        let column_bytes = if n_columns <= 1 << 16 { 2 } else { 4 };
        HEADER + len * (column_bytes + value_bytes)
    }

    /// Packs a row: one of `values` for each of `columns`. Columns need not be sorted, but only
    /// sorted ones get small at [`Level::Bits`]. The bytes are valid until the next row.
    ///
    /// # Panics
    /// When the numbers of columns and values differ, or are 2^32 or more.
    pub fn pack<T: Value>(&mut self, level: Level, columns: &[u32], values: &[T]) -> &[u8] {
        assert_eq!(
            columns.len(),
            values.len(),
            "a row has one value per column"
        );
        let len = u32::try_from(columns.len()).expect("a row has fewer than 2^32 entries");
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; HEADER]);
        let column_form = self.pack_columns(level, columns);
        let (value_form, n_dictionary) = self.pack_values(level, values);
        let header = &mut self.bytes[..HEADER];
        header[..4].copy_from_slice(&len.to_le_bytes());
        header[4] = column_form;
        header[5] = value_form | T::TAG << 4;
        header[6..8].copy_from_slice(&n_dictionary.to_le_bytes());
        header[8..].copy_from_slice(&(self.large.len() as u32).to_le_bytes());
        &self.bytes
    }

    fn pack_columns(&mut self, level: Level, columns: &[u32]) -> u8 {
        let largest = columns.iter().fold(0, |a, &b| a.max(b));
        let is_narrow = largest <= u16::MAX.into();
        let whole_bytes = if is_narrow { 2 } else { 4 } * columns.len();
        if level == Level::Bits && columns.is_sorted() {
            let start = self.bytes.len();
            self.packers.pack(columns, true, &mut self.bytes);
            if self.bytes.len() - start < whole_bytes {
                return columns::BITS;
            }
            self.bytes.truncate(start);
        }
        if is_narrow {
            write_narrow(columns, &mut self.bytes);
            columns::NARROW
        } else {
            u32::write(columns, &mut self.bytes);
            columns::WIDE
        }
    }

    /// Returns the form of the values, and the number of values in the dictionary.
    fn pack_values<T: Value>(&mut self, level: Level, values: &[T]) -> (u8, u16) {
        self.large.clear();
        let as_they_are = size_of_val(values);
        let (mut rest, start) = (0, self.bytes.len());
        self.codes.resize(values.len(), 0);
        for (code, value) in self.codes.iter_mut().zip(values) {
            let (whole, value_rest) = value.to_whole();
            rest |= value_rest;
            *code = whole;
        }
        let mut n_dictionary = 0;
        let is_packed = if rest == 0 {
            self.pack_codes(level, as_they_are)
        } else if size_of::<T>() > 1 && self.dictionary.encode(values, &mut self.codes) {
            if level == Level::Bits {
                self.dictionary.sort_by_count(&mut self.codes);
            }
            n_dictionary = self.dictionary.len() as u16;
            self.dictionary.write(values, &mut self.bytes);
            let table = self.bytes.len() - start;
            self.pack_codes(level, as_they_are.saturating_sub(table))
        } else {
            None
        };
        if let Some(form) = is_packed {
            return (form, n_dictionary);
        }
        self.large.clear();
        self.bytes.truncate(start);
        T::write(values, &mut self.bytes);
        (values::AS_THEY_ARE, 0)
    }

    /// Appends the codes in the smallest form; `None`, with nothing of use appended, if that is not
    /// smaller than `limit`.
    fn pack_codes(&mut self, level: Level, limit: usize) -> Option<u8> {
        let n = self.codes.len();
        let codes = &mut self.codes;
        let form = match level {
            Level::Bits => {
                bits::set_apart(codes, LARGE, &mut self.large);
                let start = self.bytes.len();
                self.packers.pack(codes, false, &mut self.bytes);
                let size = self.bytes.len() - start + LARGE * self.large.len();
                (size < limit).then_some(values::BITS)
            }
            Level::Bytes => {
                let n_above = |most: u32| codes.iter().filter(|&&code| code > most).count();
                let one = n + LARGE * n_above(u8::MAX.into());
                let two = 2 * n + LARGE * n_above(u16::MAX.into());
                if one.min(two) >= limit {
                    None
                } else if one <= two {
                    set_apart(codes, u8::MAX.into(), &mut self.large);
                    self.bytes.extend(codes.iter().map(|&code| code as u8));
                    Some(values::ONE_BYTE)
                } else {
                    set_apart(codes, u16::MAX.into(), &mut self.large);
                    write_narrow(codes, &mut self.bytes);
                    Some(values::TWO_BYTES)
                }
            }
        };
        let large = self.large.iter();
        let positions = large.clone().map(|large| large.0);
        let large = positions.chain(large.map(|large| large.1));
        self.bytes.extend(large.flat_map(u32::to_le_bytes));
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

/// Moves codes above `most` into `large`.
fn set_apart(codes: &mut [u32], most: u32, large: &mut Vec<(u32, u32)>) {
    for (code, position) in codes.iter_mut().zip(0..) {
        if *code > most {
            large.push((position, std::mem::take(code)));
        }
    }
}

impl std::fmt::Debug for RowPacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowPacker").finish_non_exhaustive()
    }
}
