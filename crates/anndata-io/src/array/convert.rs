//! Elements whose stored bytes differ from their type in memory: floats of other layouts, wide
//! booleans, whole numbers stored as floats.

use super::chunks::{Chunks, TableEntry};
use super::float::FloatLayout;
use super::grid::Grid;
use super::{Array, ArrayParts, ItemType};
use crate::dtype::{DType, f16};
use crate::error::{Error, ErrorKind};
use crate::io::buffers::AlignedBytes;

/// How stored elements become the elements of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// Floats of a layout that no element type has.
    Float(FloatLayout),
    /// Integers of this many bytes, as booleans: whether they are not zero.
    Truth(usize),
    /// Integers of this many bytes, as booleans: whether they equal this one.
    Equals(usize, u64),
    /// Floats of this type that are whole numbers, as int64.
    Whole(DType),
}

impl Conversion {
    /// Bytes of a stored element.
    pub(crate) fn stored_size(self) -> usize {
        match self {
            Conversion::Float(layout) => layout.size,
            Conversion::Truth(size) | Conversion::Equals(size, _) => size,
            Conversion::Whole(dtype) => dtype.size(),
        }
    }

    /// The type of the converted elements.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Conversion::Float(layout) => layout.dtype(),
            Conversion::Truth(_) | Conversion::Equals(..) => DType::Bool,
            Conversion::Whole(_) => DType::I64,
        }
    }

    /// Converts one element, from little-endian bytes to native-endian ones. The error is the text
    /// of a number that is not whole.
    fn element(self, stored: &[u8], out: &mut [u8]) -> Result<(), String> {
        let integer = || {
            let bytes = stored.iter().rev();
            bytes.fold(0u64, |value, &byte| value << 8 | u64::from(byte))
        };
        match self {
            Conversion::Float(layout) => {
                let value = layout.read(stored);
                match layout.dtype() {
                    // Exact: `dtype` chooses float32 only if it holds every number.
                    DType::F32 => out.copy_from_slice(&(value as f32).to_ne_bytes()),
                    _ => out.copy_from_slice(&value.to_ne_bytes()),
                }
            }
            Conversion::Truth(_) => out[0] = u8::from(stored.iter().any(|&byte| byte != 0)),
            Conversion::Equals(_, value) => out[0] = u8::from(integer() == value),
            Conversion::Whole(dtype) => {
                let mut word = [0; 8];
                word[..dtype.size()].copy_from_slice(stored);
                let word = u64::from_le_bytes(word);
                let value = match dtype {
                    DType::F16 => f16::from_bits(word as u16).to_f64(),
                    DType::F32 => f32::from_bits(word as u32).into(),
                    _ => f64::from_bits(word),
                };
                let whole = whole(value).ok_or_else(|| format!("{value:?}"))?;
                out.copy_from_slice(&whole.to_ne_bytes());
            }
        }
        Ok(())
    }

    /// Converts the first `count` elements of a chunk. The others lie outside the array and may be
    /// anything.
    pub(super) fn chunk(self, stored: &AlignedBytes, count: usize) -> Result<AlignedBytes, String> {
        let (from, to) = (self.stored_size(), self.dtype().size());
        let mut out = AlignedBytes::zeroed(stored.len() / from * to);
        let elements = stored.as_slice().chunks_exact(from);
        let places = out.as_mut_slice().chunks_exact_mut(to);
        for (element, place) in elements.zip(places).take(count) {
            self.element(element, place)?;
        }
        Ok(out)
    }
}

/// Returns a float as an integer, if it is one.
pub(crate) fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

/// Bytes per block of rows, when an array in one piece is cut because it is converted or is a field
/// of records: one row is then read without all the others.
pub(crate) const BLOCK_BYTES: u64 = 1 << 20;

impl ArrayParts {
    /// Bytes of a stored element; 0 if the lengths differ.
    pub(crate) fn stored_size(&self) -> usize {
        match self.conversion {
            Some(conversion) => conversion.stored_size(),
            None => self.item.size(),
        }
    }

    /// Returns the same elements, converted. An array in one piece is cut into blocks of rows, so
    /// that one row is read without all the others.
    pub(crate) fn converted(mut self, conversion: Conversion) -> Result<ArrayParts, Error> {
        if !self.fill.is_empty() {
            let mut fill = vec![0; conversion.dtype().size()];
            if conversion.element(&self.fill, &mut fill).is_err() {
                // Nothing counts or indexes with this number: it is an error only where it is used.
                fill.copy_from_slice(&i64::MIN.to_ne_bytes());
            }
            self.fill = fill;
        }
        self.item = ItemType::Number(conversion.dtype());
        self.conversion = Some(conversion);
        let shape = &self.grid.shape;
        if let (Chunks::Contiguous { source, offset }, [n_rows, row @ ..]) =
            (&self.chunks, &shape[..])
            && self.record.is_none()
        {
            let row_bytes = row
                .iter()
                .try_fold(conversion.stored_size() as u64, |n, &d| n.checked_mul(d));
            let row_bytes = row_bytes.filter(|&bytes| bytes <= u64::from(u32::MAX));
            let row_bytes = row_bytes.ok_or_else(|| {
                let expected = "rows of less than 4 GiB, to be converted";
                Error::invalid(&self.file, &self.element, expected, format!("{shape:?}"))
            })?;
            let rows = (BLOCK_BYTES / row_bytes.max(1)).clamp(1, (*n_rows).max(1));
            let mut chunk = self.grid.chunk.clone();
            chunk[0] = rows;
            let grid = Grid::new(shape.clone(), chunk).ok_or_else(|| {
                let expected = "a shape that can be stored";
                Error::invalid(&self.file, &self.element, expected, format!("{shape:?}"))
            })?;
            let entries = table_of(*offset, *n_rows, rows, row_bytes);
            let source = source.clone();
            (self.grid, self.chunks) = (grid, Chunks::Table { source, entries });
        }
        Ok(self)
    }
}

/// Returns the table of blocks, of `rows` rows each, of an array in one piece.
pub(crate) fn table_of(offset: u64, n_rows: u64, rows: u64, row_bytes: u64) -> Vec<TableEntry> {
    let block = |chunk: u64| TableEntry {
        chunk,
        offset: offset.saturating_add(chunk * rows * row_bytes),
        len: (rows.min(n_rows - chunk * rows) * row_bytes) as u32,
        skip_mask: 0,
    };
    // Rows without bytes have no place: the table lists no block, however many a file claims.
    let n_blocks = match row_bytes {
        0 => 0,
        _ => n_rows.div_ceil(rows),
    };
    (0..n_blocks).map(block).collect()
}

impl Array {
    /// Returns the same array with its elements converted.
    pub(crate) fn converted(self, conversion: Conversion) -> Result<Array, Error> {
        match std::sync::Arc::try_unwrap(self.inner) {
            Ok(parts) => parts.converted(conversion).map(Array::new),
            Err(shared) => Err(Array { inner: shared }.error(ErrorKind::Invalid {
                expected: "an array that was just opened".to_owned(),
                found: "one in use".to_owned(),
            })),
        }
    }

    /// Returns an array where integers are expected. Floats are accepted if they are whole numbers,
    /// which is checked as they are read.
    ///
    /// # Errors
    /// When it holds neither integers nor floats.
    pub(crate) fn into_integers(self) -> Result<Array, Error> {
        match self.dtype() {
            Some(dtype) if dtype.is_integer() => Ok(self),
            Some(dtype) if dtype.is_float() && self.inner.conversion.is_none() => {
                self.converted(Conversion::Whole(dtype))
            }
            other => Err(self.invalid("integers", other.map_or("text", DType::name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::memory::memory_parts;
    use crate::dtype::Values;

    fn array(values: Values, shape: &[u64]) -> Array {
        let grid = Grid::single(shape.to_vec()).expect("a small shape");
        let bytes = values.as_slice().as_bytes().to_vec();
        Array::new(memory_parts(
            "x",
            grid,
            ItemType::Number(values.dtype()),
            bytes,
        ))
    }

    #[test]
    fn conversion_of_whole_floats_makes_integers() {
        for values in [
            Values::F64(vec![0.0, -0.0, 3.0, -1.0, 9_007_199_254_740_992.0]),
            Values::F32(vec![0.0, -0.0, 3.0, -1.0, 9_007_199_254_740_992.0]),
        ] {
            let array = array(values, &[5]).into_integers().expect("floats");
            let expected = Values::I64(vec![0, 0, 3, -1, 9_007_199_254_740_992]);
            assert_eq!(array.read_all().expect("whole numbers"), expected);
        }
        let halves = Values::F16(vec![crate::f16::from_f32(7.0)]);
        let array = array(halves, &[1]).into_integers().expect("floats");
        assert_eq!(array.read_all().expect("whole"), Values::I64(vec![7]));
    }

    #[test]
    fn conversion_names_floats_that_are_not_whole() {
        for (value, text) in [(1.5, "1.5"), (f64::NAN, "NaN"), (1e300, "1e300")] {
            let array = array(Values::F64(vec![1.0, value]), &[2]);
            let error = array.into_integers().expect("floats").read_all();
            let error = error.expect_err("not whole").to_string();
            assert!(
                error.contains("whole numbers") && error.contains(text),
                "{error}"
            );
        }
        let booleans = array(Values::zeros(DType::Bool, 2), &[2]);
        booleans.into_integers().expect_err("no integers");
    }

    #[test]
    fn converted_array_in_one_piece_is_cut_into_blocks() {
        let values: Vec<f64> = (0..300_000).map(f64::from).collect();
        let array = array(Values::F64(values), &[300_000])
            .into_integers()
            .expect("floats");
        assert_eq!(array.chunk_shape(), [131_072]);
        let all = array.read_all().expect("whole numbers");
        assert_eq!(all, Values::I64((0..300_000).collect()));
    }

    #[test]
    fn conversion_accepts_booleans_of_any_width() {
        let words = Values::I32(vec![0, 1, -1, 256, i32::MIN]);
        let truth = array(words.clone(), &[5]).converted(Conversion::Truth(4));
        let truth = truth.expect("in memory").read_all().expect("readable");
        assert_eq!(truth.as_slice().to_vec::<u8>(), [0, 1, 1, 1, 1]);
        let missing = u64::from(i32::MIN as u32);
        let equal = array(words, &[5]).converted(Conversion::Equals(4, missing));
        let equal = equal.expect("in memory").read_all().expect("readable");
        assert_eq!(equal.as_slice().to_vec::<u8>(), [0, 0, 0, 0, 1]);
    }

    #[test]
    fn table_of_rows_without_bytes_is_empty() {
        assert!(table_of(0, 1 << 52, 1 << 20, 0).is_empty());
        assert_eq!(table_of(8, 5, 2, 16).len(), 3);
    }
}
