//! Many packed rows in one run of bytes, read by row.
//!
//! ```text
//! header   16 bytes: "RPK1" · rows u32 · columns of the matrix u32 · type of the values u8 · 0 0 0
//! ends     for each row, where its bytes end, u32
//! rows     one after the other
//! ```

use std::ops::Range;

use crate::error::PackError;
use crate::packed_row::{PackedRow, u32_at};
use crate::reader::are_below;
use crate::row::{Level, RowPacker};
use crate::value::{NAMES, Value, value_size};

/// The first bytes: a name, and the version of the format.
const MAGIC: [u8; 4] = *b"RPK1";
const HEADER: usize = 16;

/// Packs the rows of a matrix one after the other. It keeps its buffers from one pack to the next.
///
/// ```
/// use row_pack::{Level, Pack, PackBuilder};
///
/// let mut builder = PackBuilder::new::<f32>(20_000, Level::Bits);
/// builder.push(&[5, 1_999], &[1.0f32, 3.0])?;
/// builder.push::<f32>(&[], &[])?;
/// let pack = Pack::parse(builder.finish())?;
/// let (mut columns, mut values) = ([0; 2], [0.0f32; 2]);
/// pack.row(0)?.read(pack.n_columns(), &mut columns, &mut values)?;
/// assert_eq!((pack.n_rows(), columns, values), (2, [5, 1_999], [1.0, 3.0]));
/// # Ok::<(), row_pack::PackError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PackBuilder {
    packer: RowPacker,
    level: Level,
    n_columns: u32,
    /// The number of the type of the values.
    tag: u8,
    ends: Vec<u32>,
    rows: Vec<u8>,
}

impl PackBuilder {
    /// Begins a pack of a matrix of `n_columns` columns with values of type `T`.
    pub fn new<T: Value>(n_columns: u32, level: Level) -> PackBuilder {
        PackBuilder {
            packer: RowPacker::new(),
            level,
            n_columns,
            tag: T::TAG,
            ends: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Begins a pack of another matrix. Rows that were not finished are lost.
    pub fn restart<T: Value>(&mut self, n_columns: u32, level: Level) {
        self.ends.clear();
        self.rows.clear();
        (self.n_columns, self.level, self.tag) = (n_columns, level, T::TAG);
    }

    /// Adds a row: one of `values` for each of `columns`.
    ///
    /// # Errors
    /// [`PackError::TooLarge`] if all rows together would take 4 GiB or more. The pack stays as it
    /// was.
    ///
    /// # Panics
    /// When the numbers of columns and values differ, a column is not one of the matrix, or the
    /// pack has values of another type.
    pub fn push<T: Value>(&mut self, columns: &[u32], values: &[T]) -> Result<(), PackError> {
        let n_columns = self.n_columns;
        let all_exist = are_below(n_columns as usize, columns);
        assert!(all_exist, "columns are below {n_columns}");
        assert_eq!(
            self.tag,
            T::TAG,
            "all rows of a pack have one type of values"
        );
        let (start, level) = (self.rows.len(), self.level);
        self.packer.pack(level, columns, values, &mut self.rows);
        match u32::try_from(self.rows.len()) {
            Ok(end) if self.ends.len() < u32::MAX as usize => {
                self.ends.push(end);
                Ok(())
            }
            _ => {
                self.rows.truncate(start);
                Err(PackError::TooLarge)
            }
        }
    }

    /// The number of rows so far.
    pub fn n_rows(&self) -> usize {
        self.ends.len()
    }

    /// The size so far, in bytes.
    pub fn n_bytes(&self) -> usize {
        HEADER + 4 * self.ends.len() + self.rows.len()
    }

    /// Returns the bytes of the pack, and begins another one of the same matrix.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.n_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&(self.ends.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.n_columns.to_le_bytes());
        bytes.extend_from_slice(&[self.tag, 0, 0, 0]);
        bytes.extend(self.ends.iter().flat_map(|end| end.to_le_bytes()));
        bytes.extend_from_slice(&self.rows);
        self.ends.clear();
        self.rows.clear();
        bytes
    }
}

/// Packed rows in any bytes: a vector, a slice, a memory map.
///
/// Reading damaged bytes returns an error or other values. It never panics, reads out of bounds or
/// allocates. There is no checksum: the caller adds one.
#[derive(Debug, Clone)]
pub struct Pack<B> {
    bytes: B,
    layout: PackLayout,
}

/// Where the rows of a pack lie in its bytes, for packs that are not read as a whole: the header of
/// a pack.
///
/// ```
/// use row_pack::{Level, PackBuilder, PackLayout, PackedRow};
///
/// let mut builder = PackBuilder::new::<u8>(9, Level::Bits);
/// builder.push(&[1], &[5u8])?;
/// builder.push(&[2, 3], &[6u8, 7])?;
/// let bytes = builder.finish();
///
/// let layout = PackLayout::parse(&bytes)?;
/// let ends = &bytes[layout.ends_of(1)?]; // read this part of a file,
/// let row = &bytes[layout.row(1, ends)?]; // and then this one
/// assert_eq!(PackedRow::parse(row)?.len(), 2);
/// # Ok::<(), row_pack::PackError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackLayout {
    n_rows: usize,
    n_columns: usize,
    /// The number of the type of the values.
    tag: u8,
}

impl PackLayout {
    /// Reads the header, with which `bytes` begin.
    ///
    /// # Errors
    /// [`PackError::Damaged`] if the bytes do not begin as a pack does.
    pub fn parse(bytes: &[u8]) -> Result<PackLayout, PackError> {
        let short = || PackError::damaged("a whole pack", bytes.len());
        let header = bytes.first_chunk::<HEADER>().ok_or_else(short)?;
        if header[..4] != MAGIC {
            return Err(PackError::damaged(
                "the first bytes of a pack",
                u32_at(header, 0),
            ));
        }
        if let Some(&found) = header[13..].iter().find(|&&byte| byte != 0) {
            return Err(PackError::damaged("a header that ends with zeros", found));
        }
        let tag = header[12];
        value_size(tag)?;
        Ok(PackLayout {
            n_rows: u32_at(header, 4) as usize,
            n_columns: u32_at(header, 8) as usize,
            tag,
        })
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The bytes of the pack that say where a row lies.
    ///
    /// # Errors
    /// [`PackError::OutOfBounds`] if there is no such row.
    #[inline]
    pub fn ends_of(&self, row: usize) -> Result<Range<usize>, PackError> {
        if row >= self.n_rows {
            let n_rows = self.n_rows;
            return Err(PackError::OutOfBounds { row, n_rows });
        }
        Ok(HEADER + 4 * row.saturating_sub(1)..HEADER + 4 * (row + 1))
    }

    /// The bytes of a row in the pack, from [those that say so](Self::ends_of).
    ///
    /// # Errors
    /// [`PackError::Damaged`] if rows are not in order.
    #[inline]
    pub fn row(&self, row: usize, ends: &[u8]) -> Result<Range<usize>, PackError> {
        let (start, end) = match (row, ends.len()) {
            (0, 4) => (0, u32_at(ends, 0)),
            (1.., 8) => (u32_at(ends, 0), u32_at(ends, 4)),
            (_, len) => return Err(PackError::damaged("the ends of two rows", len)),
        };
        if start > end {
            return Err(PackError::damaged("rows in order", end));
        }
        let rows = HEADER + 4 * self.n_rows;
        Ok(rows + start as usize..rows + end as usize)
    }
}

impl<B: AsRef<[u8]>> Pack<B> {
    /// Reads the header of a pack, which is all of `bytes`.
    ///
    /// # Errors
    /// [`PackError::Damaged`] if the bytes do not begin as a pack does, or the rows do not follow each
    /// other up to the end.
    pub fn parse(bytes: B) -> Result<Pack<B>, PackError> {
        let all = bytes.as_ref();
        let layout = PackLayout::parse(all)?;
        let rest = &all[HEADER..];
        let short = || PackError::damaged("a whole pack", all.len());
        let (ends, rows) = rest.split_at_checked(4 * layout.n_rows).ok_or_else(short)?;
        let mut last = 0;
        // Rows that overlap would make reading them all cost more than the bytes account for.
        for end in ends.as_chunks().0 {
            let end = u32::from_le_bytes(*end);
            if end < last {
                return Err(PackError::damaged("rows in order", end));
            }
            last = end;
        }
        if last as usize != rows.len() {
            return Err(PackError::damaged("rows up to the end of a pack", last));
        }
        Ok(Pack { bytes, layout })
    }

    /// Where the rows lie.
    pub fn layout(&self) -> PackLayout {
        self.layout
    }

    /// The type of the values, by its name in numpy: `float32`.
    pub fn value_type(&self) -> &'static str {
        NAMES[usize::from(self.layout.tag)]
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.layout.n_rows
    }

    /// The number of columns of the matrix.
    pub fn n_columns(&self) -> usize {
        self.layout.n_columns
    }

    /// The bytes of the pack.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Finds a row.
    ///
    /// # Errors
    /// [`PackError::OutOfBounds`] if there is no such row, [`PackError::Damaged`] as
    /// [`PackedRow::parse`].
    pub fn row(&self, row: usize) -> Result<PackedRow<'_>, PackError> {
        let row = PackedRow::parse(self.row_bytes(row)?)?;
        if row.tag != self.layout.tag {
            return Err(PackError::damaged("a row of the type of its pack", row.tag));
        }
        Ok(row)
    }

    /// Returns the bytes of a row, which [`PackedRow::parse`] reads. To read many rows that are not
    /// in the processor's cache, find the bytes of all first: the processor then waits for several
    /// rows at once.
    ///
    /// # Errors
    /// [`PackError::OutOfBounds`] if there is no such row, [`PackError::Damaged`] if rows are not
    /// in order.
    #[inline]
    pub fn row_bytes(&self, row: usize) -> Result<&[u8], PackError> {
        let all = self.bytes.as_ref();
        let ends = self.layout.ends_of(row)?;
        let short = || PackError::damaged("a whole pack", all.len());
        let range = self.layout.row(row, all.get(ends).ok_or_else(short)?)?;
        all.get(range).ok_or_else(short)
    }
}
