//! Reads the entries of a packed row, one block after the other.

use crate::bits::BLOCK;
use crate::dictionary::MOST_VALUES;
use crate::error::PackError;
use crate::packed_row::{Columns, PackedRow, Values};
use crate::value::{NAMES, Value, WHOLE_BITS};

/// The distinct values of a row.
pub(crate) struct Table<T> {
    values: [T; MOST_VALUES],
    len: usize,
}

impl<T: Value> Table<T> {
    /// Reads the distinct values of a row, if it has any.
    ///
    /// # Errors
    /// If the values of the row are of another type.
    pub(crate) fn of(row: &PackedRow<'_>) -> Result<Option<Table<T>>, PackError> {
        if row.tag != T::TAG {
            let (expected, found) = (T::NAME, NAMES[usize::from(row.tag)]);
            return Err(PackError::ValueType { expected, found });
        }
        Ok(row.dictionary.map(|bytes| {
            let mut values = [T::default(); MOST_VALUES];
            T::read(bytes, &mut values);
            Table {
                values,
                len: bytes.len() / size_of::<T>(),
            }
        }))
    }
}

/// Reads a row from its first entry to its last, up to [`BLOCK`] at a time.
pub(crate) struct Reader<'a, 't, T> {
    row: PackedRow<'a>,
    n_columns: usize,
    /// The distinct values; `None` if codes are whole numbers.
    table: Option<&'t Table<T>>,
}

impl<'a, 't, T: Value> Reader<'a, 't, T> {
    pub(crate) fn new(row: &PackedRow<'a>, n_columns: usize, table: Option<&'t Table<T>>) -> Self {
        Reader {
            row: row.clone(),
            n_columns,
            table,
        }
    }

    /// Reads the entries from `start` on. The slices are as long as a block, or as the rest of the row.
    #[inline]
    pub(crate) fn read(
        &mut self,
        start: usize,
        columns: &mut [u32],
        values: &mut [T],
    ) -> Result<(), PackError> {
        self.row.columns.next(start, columns, self.n_columns)?;
        let range = start..start + values.len();
        match (&mut self.row.values, self.table) {
            (Values::AsTheyAre(bytes), _) => T::read(&bytes[start * size_of::<T>()..], values),
            (Values::OneByte(bytes), None) => {
                for (value, &whole) in values.iter_mut().zip(&bytes[range]) {
                    *value = T::from_whole(whole.into());
                }
            }
            (Values::OneByte(bytes), Some(table)) => {
                let mut largest = 0;
                for (value, &code) in values.iter_mut().zip(&bytes[range]) {
                    largest = code.max(largest);
                    *value = table.values[usize::from(code)];
                }
                if usize::from(largest) >= table.len {
                    return Err(PackError::damaged(CODES, largest));
                }
            }
            (Values::TwoBytes(bytes), _) => {
                for (value, &whole) in values.iter_mut().zip(&bytes[range]) {
                    *value = T::from_whole(u16::from_le_bytes(whole).into());
                }
            }
            (Values::Bits(blocks), table) => {
                let mut codes = [0; BLOCK];
                blocks.next(values.len(), &mut codes);
                let codes = &codes[..values.len()];
                match table {
                    None => {
                        check_below(1 << WHOLE_BITS, codes, CODES)?;
                        for (value, &whole) in values.iter_mut().zip(codes) {
                            *value = T::from_whole(whole);
                        }
                    }
                    Some(table) => {
                        check_below(table.len, codes, CODES)?;
                        for (value, &code) in values.iter_mut().zip(codes) {
                            *value = table.values[code as usize % MOST_VALUES];
                        }
                    }
                }
            }
        }
        self.put_large(start, values)
    }

    /// Puts the large codes of a block in their places.
    #[inline]
    fn put_large(&mut self, start: usize, values: &mut [T]) -> Result<(), PackError> {
        let large = &mut self.row.large;
        while let Some((&position, positions)) = large.positions.split_first() {
            let position = u32::from_le_bytes(position);
            let Some(place) = (position as usize).checked_sub(start) else {
                return Err(PackError::damaged(POSITIONS, position));
            };
            let Some(value) = values.get_mut(place) else {
                break;
            };
            let code = u32::from_le_bytes(large.codes[0]);
            *value = match self.table {
                None if code < 1 << WHOLE_BITS => T::from_whole(code),
                Some(table) if (code as usize) < table.len => table.values[code as usize],
                _ => return Err(PackError::damaged(CODES, code)),
            };
            (large.positions, large.codes) = (positions, &large.codes[1..]);
        }
        Ok(())
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(self) -> Result<(), PackError> {
        match self.row.large.positions.first() {
            None => Ok(()),
            Some(&left) => Err(PackError::damaged(POSITIONS, u32::from_le_bytes(left))),
        }
    }
}

const CODES: &str = "codes of values";
const POSITIONS: &str = "positions of large codes, ascending";

/// Whether all integers are below `end`.
#[inline]
pub(crate) fn are_below(end: usize, integers: &[u32]) -> bool {
    // If an integer is at least `end` or 2^31, the sign bit of the integer or of `last - integer` is
    // set. SSE2 has no unsigned maximum, so signs are collected instead.
    let last = (end.min(1 << 31) as u32).wrapping_sub(1);
    let signs = integers.iter().fold(0, |signs, &integer| {
        signs | integer | last.wrapping_sub(integer)
    });
    // Few matrices have 2^31 columns.
    signs >> 31 == 0 || integers.iter().all(|&integer| (integer as usize) < end)
}

/// Checks that all integers are below `end`.
#[inline]
fn check_below(end: usize, integers: &[u32], expected: &'static str) -> Result<(), PackError> {
    if are_below(end, integers) {
        return Ok(());
    }
    let beyond = |integer: &&u32| **integer as usize >= end;
    integers
        .iter()
        .find(beyond)
        .map_or(Ok(()), |&found| Err(PackError::damaged(expected, found)))
}

impl Columns<'_> {
    /// Reads the columns of the entries from `start` on, all of which must be below `n_columns`.
    #[inline]
    fn next(&mut self, start: usize, out: &mut [u32], n_columns: usize) -> Result<(), PackError> {
        match self {
            Columns::Narrow(bytes) => {
                // A difference that saturates is one instruction for 8 columns.
                let last = u16::try_from(n_columns.saturating_sub(1)).unwrap_or(u16::MAX);
                let mut beyond = 0;
                for (out, &column) in out.iter_mut().zip(&bytes[start..]) {
                    let column = u16::from_le_bytes(column);
                    beyond |= column.saturating_sub(last);
                    *out = column.into();
                }
                if beyond == 0 && n_columns > 0 {
                    return Ok(());
                }
            }
            Columns::Wide(bytes) => {
                for (out, &column) in out.iter_mut().zip(&bytes[start..]) {
                    *out = u32::from_le_bytes(column);
                }
            }
            Columns::Bits(blocks) => match <&mut [u32; BLOCK]>::try_from(&mut *out) {
                Ok(out) => blocks.next(BLOCK, out),
                Err(_) => {
                    let mut block = [0; BLOCK];
                    blocks.next(out.len(), &mut block);
                    out.copy_from_slice(&block[..out.len()]);
                }
            },
        }
        check_below(n_columns, out, "columns of the matrix")
    }
}
