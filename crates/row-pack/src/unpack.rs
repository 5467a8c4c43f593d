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
        let table = self.table::<T>()?;
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
        let table = self.table::<T>()?;
        let mut reader = Reader::new(self, n_columns, table.as_ref());
        let (mut columns, mut values) = ([0; BLOCK], [T::default(); BLOCK]);
        for start in (0..self.len).step_by(BLOCK) {
            let n = (self.len - start).min(BLOCK);
            reader.read(start, &mut columns[..n], &mut values[..n])?;
            visit(&columns[..n], &values[..n]);
        }
        reader.finish()
    }

    /// Reads the distinct values.
    ///
    /// # Errors
    /// If the values are of another type.
    fn table<T: Value>(&self) -> Result<Option<Table<T>>, PackError> {
        if self.tag != T::TAG {
            let (expected, found) = (T::NAME, NAMES[usize::from(self.tag)]);
            return Err(PackError::ValueType { expected, found });
        }
        Ok(self.dictionary.map(|bytes| {
            let mut values = [T::default(); MOST_VALUES];
            T::read(bytes, &mut values);
            Table {
                values,
                len: bytes.len() / size_of::<T>(),
            }
        }))
    }
}

/// The distinct values of a row.
struct Table<T> {
    values: [T; MOST_VALUES],
    len: usize,
}

/// Reads a row from its first entry to its last, up to [`BLOCK`] at a time.
struct Reader<'a, 't, T> {
    row: PackedRow<'a>,
    n_columns: usize,
    /// The distinct values; `None` if codes are whole numbers.
    table: Option<&'t Table<T>>,
}

impl<'a, 't, T: Value> Reader<'a, 't, T> {
    fn new(row: &PackedRow<'a>, n_columns: usize, table: Option<&'t Table<T>>) -> Self {
        Reader {
            row: row.clone(),
            n_columns,
            table,
        }
    }

    /// Reads the entries from `start` on. The slices are as long as a block, or as what is left.
    #[inline]
    fn read(
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
    fn finish(self) -> Result<(), PackError> {
        match self.row.large.positions.first() {
            None => Ok(()),
            Some(&left) => Err(PackError::damaged(POSITIONS, u32::from_le_bytes(left))),
        }
    }
}

const CODES: &str = "codes of values";
const POSITIONS: &str = "positions of large codes, ascending";

/// Checks that all integers are below `end`.
#[inline]
fn check_below(end: usize, integers: &[u32], expected: &'static str) -> Result<(), PackError> {
    // The sign bit of a difference, or of the integer, shows one that is not. Without a maximum of
    // unsigned integers, which SSE2 lacks.
    let last = (end.min(1 << 31) as u32).wrapping_sub(1);
    let signs = integers.iter().fold(0, |signs, &integer| {
        signs | integer | last.wrapping_sub(integer)
    });
    if signs >> 31 == 0 {
        return Ok(());
    }
    let beyond = |integer: &&u32| **integer as usize >= end;
    integers
        .iter()
        .find(beyond)
        .map_or(Ok(()), |&found| Err(PackError::damaged(expected, found)))
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

impl std::fmt::Debug for PackedRow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut row = f.debug_struct("PackedRow");
        row.field("len", &self.len).finish_non_exhaustive()
    }
}
