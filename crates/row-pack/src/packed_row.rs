//! A packed row: its parts, and what a caller does with it.

use crate::bits::{BLOCK, Blocks};
use crate::dictionary::MOST_VALUES;
use crate::error::PackError;
use crate::reader::{Reader, Table};
use crate::row::{HEADER, columns, values};
use crate::value::{Value, value_size};

/// A packed row, as [`RowPacker`](crate::RowPacker) wrote it.
///
/// Bytes may be damaged: reading them returns an error or other values, and never panics, reads out
/// of bounds or allocates.
#[derive(Clone)]
pub struct PackedRow<'a> {
    len: usize,
    /// The number of the type of its values.
    pub(crate) tag: u8,
    pub(crate) columns: Columns<'a>,
    pub(crate) values: Values<'a>,
    /// The distinct values; `None` if codes are whole numbers.
    pub(crate) dictionary: Option<&'a [u8]>,
    pub(crate) large: Large<'a>,
}

/// The columns of a row, in one of the forms.
#[derive(Clone)]
pub(crate) enum Columns<'a> {
    Narrow(&'a [[u8; 2]]),
    Wide(&'a [[u8; 4]]),
    Bits(Blocks<'a>),
}

/// The values of a row, or their codes, in one of the forms.
#[derive(Clone)]
pub(crate) enum Values<'a> {
    AsTheyAre(&'a [u8]),
    OneByte(&'a [u8]),
    TwoBytes(&'a [[u8; 2]]),
    Bits(Blocks<'a>),
}

/// The codes that stand apart, and their positions, which ascend.
#[derive(Clone)]
pub(crate) struct Large<'a> {
    pub(crate) positions: &'a [[u8; 4]],
    pub(crate) codes: &'a [[u8; 4]],
}

impl<'a> PackedRow<'a> {
    /// Finds the parts of a packed row, which is all of `bytes`.
    ///
    /// # Errors
    /// [`PackError::Damaged`] if the parts are not exactly as long as the header says.
    pub fn parse(bytes: &'a [u8]) -> Result<PackedRow<'a>, PackError> {
        let short = || PackError::damaged("a whole row", bytes.len());
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or_else(short)?;
        let (column_form, value_form) = (header[4], header[5]);
        let len = u32_at(header, 0) as usize;
        let n_dictionary = usize::from(u16::from_le_bytes([header[6], header[7]]));
        let n_large = u32_at(header, 8) as usize;
        let tag = value_form >> 4;
        let size = value_size(tag)?;
        let take = |from: &mut &'a [u8], n: usize, bytes_each: usize| {
            let n_bytes = n.checked_mul(bytes_each).ok_or_else(short)?;
            let (part, rest) = from.split_at_checked(n_bytes).ok_or_else(short)?;
            *from = rest;
            Ok(part)
        };
        let mut rest = rest;
        let columns = match column_form {
            columns::NARROW => Columns::Narrow(take(&mut rest, len, 2)?.as_chunks().0),
            columns::WIDE => Columns::Wide(take(&mut rest, len, 4)?.as_chunks().0),
            columns::BITS => {
                let (blocks, after) = Blocks::take(rest, len, true)?;
                rest = after;
                Columns::Bits(blocks)
            }
            form => return Err(PackError::damaged("a form of columns", form)),
        };
        if n_dictionary > MOST_VALUES {
            return Err(PackError::damaged(
                "at most 256 values in a dictionary",
                n_dictionary,
            ));
        }
        let dictionary = match n_dictionary {
            0 => None,
            n => Some(take(&mut rest, n, size)?),
        };
        let values = match value_form & 0xf {
            values::AS_THEY_ARE => Values::AsTheyAre(take(&mut rest, len, size)?),
            values::ONE_BYTE => Values::OneByte(take(&mut rest, len, 1)?),
            values::TWO_BYTES if dictionary.is_none() => {
                Values::TwoBytes(take(&mut rest, len, 2)?.as_chunks().0)
            }
            values::BITS => {
                let (blocks, after) = Blocks::take(rest, len, false)?;
                rest = after;
                Values::Bits(blocks)
            }
            form => return Err(PackError::damaged("a form of values", form)),
        };
        let large = Large {
            positions: take(&mut rest, n_large, 4)?.as_chunks().0,
            codes: take(&mut rest, n_large, 4)?.as_chunks().0,
        };
        if !rest.is_empty() {
            return Err(PackError::damaged("no bytes after a row", rest.len()));
        }
        Ok(PackedRow {
            len,
            tag,
            columns,
            values,
            dictionary,
            large,
        })
    }

    /// The number of entries. Damaged bytes may claim 128 entries per byte: for bytes that are not
    /// trusted, use [`for_each_block`](Self::for_each_block), or compare it with what the caller
    /// expects before allocating.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the row has no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Unpacks the row into slices of its length. `n_columns` is the number of columns of the
    /// matrix.
    ///
    /// # Errors
    /// If the values are of another type, or the bytes are damaged: a column is not below
    /// `n_columns`, a code not in the dictionary. The slices then hold some of the entries.
    ///
    /// # Panics
    /// When a slice has another length.
    pub fn read<T: Value>(
        &self,
        n_columns: usize,
        columns: &mut [u32],
        values: &mut [T],
    ) -> Result<(), PackError> {
        assert!(
            columns.len() == self.len && values.len() == self.len,
            "the slices must be as long as the row"
        );
        let table = Table::<T>::of(self)?;
        let mut reader = Reader::new(self, n_columns, table.as_ref());
        let blocks = columns.chunks_mut(BLOCK).zip(values.chunks_mut(BLOCK));
        blocks
            .enumerate()
            .try_for_each(|(number, (columns, values))| {
                reader.read(number * BLOCK, columns, values)
            })?;
        reader.finish()
    }

    /// Writes the entries into a dense row, and leaves its other elements as they are. `map` has
    /// the element of `out` for each column of the matrix, and any number beyond `out` for a column
    /// that is left out; without it, columns are elements.
    ///
    /// # Errors
    /// As [`read`](Self::read): the matrix has as many columns as `map`, or as `out`. The dense row
    /// then holds some of the entries.
    pub fn scatter<T: Value, D>(
        &self,
        map: Option<&[u32]>,
        out: &mut [D],
        convert: impl Fn(T) -> D,
    ) -> Result<(), PackError> {
        match map {
            None => self.for_each_block(out.len(), |columns, values: &[T]| {
                for (&column, &value) in columns.iter().zip(values) {
                    out[column as usize] = convert(value);
                }
            }),
            Some(map) => self.for_each_block(map.len(), |columns, values: &[T]| {
                for (&column, &value) in columns.iter().zip(values) {
                    if let Some(element) = out.get_mut(map[column as usize] as usize) {
                        *element = convert(value);
                    }
                }
            }),
        }
    }

    /// Calls `visit` with the columns and values of up to 128 entries at a time, in order. All
    /// columns are below `n_columns`.
    ///
    /// # Errors
    /// As [`read`](Self::read). Blocks before the damaged one were visited.
    pub fn for_each_block<T: Value>(
        &self,
        n_columns: usize,
        mut visit: impl FnMut(&[u32], &[T]),
    ) -> Result<(), PackError> {
        let table = Table::<T>::of(self)?;
        let mut reader = Reader::new(self, n_columns, table.as_ref());
        let (mut columns, mut values) = ([0; BLOCK], [T::default(); BLOCK]);
        for start in (0..self.len).step_by(BLOCK) {
            let n = (self.len - start).min(BLOCK);
            reader.read(start, &mut columns[..n], &mut values[..n])?;
            visit(&columns[..n], &values[..n]);
        }
        reader.finish()
    }
}

/// The 4 bytes from `at` on, as a number.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl std::fmt::Debug for PackedRow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut row = f.debug_struct("PackedRow");
        row.field("len", &self.len).finish_non_exhaustive()
    }
}
