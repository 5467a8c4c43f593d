//! Reading packed rows.

use crate::bits::{BLOCK, Blocks};
use crate::dictionary::MOST_VALUES;
use crate::error::PackError;
use crate::row::{HEADER, columns, values};
use crate::value::{NAMES, Value, WHOLE_BITS};

/// A packed row, as [`RowPacker`](crate::RowPacker) wrote it.
///
/// Bytes may be damaged: reading them returns an error or other values, and never panics, reads out
/// of bounds or allocates.
#[derive(Clone)]
pub struct PackedRow<'a> {
    len: usize,
    /// The number of the type of its values.
    tag: u8,
    columns: Columns<'a>,
    values: Values<'a>,
    /// The distinct values; `None` if codes are whole numbers.
    dictionary: Option<&'a [u8]>,
    large: Large<'a>,
}

#[derive(Clone)]
enum Columns<'a> {
    Narrow(&'a [[u8; 2]]),
    Wide(&'a [[u8; 4]]),
    Bits(Blocks<'a>),
}

#[derive(Clone)]
enum Values<'a> {
    AsTheyAre(&'a [u8]),
    OneByte(&'a [u8]),
    TwoBytes(&'a [[u8; 2]]),
    Bits(Blocks<'a>),
}

/// The codes that stand apart, and their positions, which ascend.
#[derive(Clone)]
struct Large<'a> {
    positions: &'a [[u8; 4]],
    codes: &'a [[u8; 4]],
}

impl<'a> PackedRow<'a> {
    /// Finds the parts of a packed row, which is all of `bytes`.
    ///
    /// # Errors
    /// [`PackError::Damaged`] if the parts are not exactly as long as the header says.
    pub fn parse(bytes: &'a [u8]) -> Result<PackedRow<'a>, PackError> {
        let short = || PackError::damaged("a whole row", bytes.len());
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or_else(short)?;
        let [
            l0,
            l1,
            l2,
            l3,
            column_form,
            value_form,
            d0,
            d1,
            n0,
            n1,
            n2,
            n3,
        ] = *header;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let n_dictionary = usize::from(u16::from_le_bytes([d0, d1]));
        let n_large = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
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
            values::TWO_BYTES => Values::TwoBytes(take(&mut rest, len, 2)?.as_chunks().0),
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

    /// The number of entries.
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
        let mut at = 0;
        self.for_each_block(n_columns, |block_columns, block_values: &[T]| {
            let end = at + block_columns.len();
            columns[at..end].copy_from_slice(block_columns);
            values[at..end].copy_from_slice(block_values);
            at = end;
        })
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
        if self.tag != T::TAG {
            let (expected, found) = (T::NAME, NAMES[usize::from(self.tag)]);
            return Err(PackError::ValueType { expected, found });
        }
        let mut row = self.clone();
        let mut table = [T::default(); MOST_VALUES];
        let n_codes = match row.dictionary {
            Some(bytes) => {
                T::read(bytes, &mut table);
                bytes.len() / size_of::<T>()
            }
            None => 1 << WHOLE_BITS,
        };
        let (mut columns, mut codes) = ([0; BLOCK], [0; BLOCK]);
        let mut values = [T::default(); BLOCK];
        for start in (0..self.len).step_by(BLOCK) {
            let n = (self.len - start).min(BLOCK);
            row.columns.next(start, n, &mut columns);
            let (columns, values) = (&columns[..n], &mut values[..n]);
            let largest = largest(columns);
            if largest as usize >= n_columns {
                return Err(PackError::damaged("columns of the matrix", largest));
            }
            if let Values::AsTheyAre(bytes) = row.values {
                T::read(&bytes[start * size_of::<T>()..], values);
            } else {
                row.values.next(start, n, &mut codes);
                row.large.next(start, n, &mut codes)?;
                let codes = &codes[..n];
                let largest = self::largest(codes);
                if largest as usize >= n_codes {
                    return Err(PackError::damaged("codes of values", largest));
                }
                let codes = values.iter_mut().zip(codes);
                match row.dictionary {
                    Some(_) => {
                        codes.for_each(|(value, &code)| *value = table[code as usize % MOST_VALUES])
                    }
                    None => codes.for_each(|(value, &code)| *value = T::from_whole(code)),
                }
            }
            visit(columns, values);
        }
        match row.large.positions.first() {
            None => Ok(()),
            Some(&left) => {
                let left = u32::from_le_bytes(left);
                Err(PackError::damaged(
                    "positions of large codes, ascending",
                    left,
                ))
            }
        }
    }
}

fn largest(integers: &[u32]) -> u32 {
    integers.iter().fold(0, |a, &b| a.max(b))
}

/// The bytes of a value of the type with this number.
pub(crate) fn value_size(tag: u8) -> Result<usize, PackError> {
    match tag {
        0..8 => Ok(1 << (tag / 2)),
        8 => Ok(4),
        9 => Ok(8),
        _ => Err(PackError::damaged("a type of values", tag)),
    }
}

impl Columns<'_> {
    /// Reads the columns of the `n` entries from `start` on.
    #[inline]
    fn next(&mut self, start: usize, n: usize, out: &mut [u32; BLOCK]) {
        match self {
            Columns::Narrow(bytes) => widen(&bytes[start..start + n], out),
            Columns::Wide(bytes) => {
                for (out, &column) in out.iter_mut().zip(&bytes[start..start + n]) {
                    *out = u32::from_le_bytes(column);
                }
            }
            Columns::Bits(blocks) => blocks.next(n, out),
        }
    }
}

impl Values<'_> {
    /// Reads the codes of the `n` entries from `start` on.
    #[inline]
    fn next(&mut self, start: usize, n: usize, out: &mut [u32; BLOCK]) {
        match self {
            Values::AsTheyAre(_) => {}
            Values::OneByte(bytes) => {
                for (out, &code) in out.iter_mut().zip(&bytes[start..start + n]) {
                    *out = code.into();
                }
            }
            Values::TwoBytes(bytes) => widen(&bytes[start..start + n], out),
            Values::Bits(blocks) => blocks.next(n, out),
        }
    }
}

fn widen(integers: &[[u8; 2]], out: &mut [u32; BLOCK]) {
    for (out, &integer) in out.iter_mut().zip(integers) {
        *out = u16::from_le_bytes(integer).into();
    }
}

impl Large<'_> {
    /// Puts the large codes among the `n` entries from `start` on in their places.
    #[inline]
    fn next(&mut self, start: usize, n: usize, codes: &mut [u32; BLOCK]) -> Result<(), PackError> {
        while let Some((&position, positions)) = self.positions.split_first() {
            let position = u32::from_le_bytes(position);
            match (position as usize).checked_sub(start) {
                Some(place) if place < n => codes[place] = u32::from_le_bytes(self.codes[0]),
                Some(_) => break,
                None => {
                    let expected = "positions of large codes, ascending";
                    return Err(PackError::damaged(expected, position));
                }
            }
            (self.positions, self.codes) = (positions, &self.codes[1..]);
        }
        Ok(())
    }
}

impl std::fmt::Debug for PackedRow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut row = f.debug_struct("PackedRow");
        row.field("len", &self.len).finish_non_exhaustive()
    }
}
