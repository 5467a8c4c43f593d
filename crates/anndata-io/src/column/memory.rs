//! Columns that were never in a file: labels and numbers that a caller has in memory.

use std::path::Path;

use super::{Column, EncodedColumn, Kind};
use crate::array::grid::Grid;
use crate::array::memory::memory_parts;
use crate::array::{Array, ItemType};
use crate::dtype::{Bool8, Scalar, Values};
use crate::error::Error;
use crate::io::context::IoContext;

/// Where errors say that a column in memory is, and the context that closes it.
#[derive(Debug, Clone, Copy)]
pub struct ColumnPlace<'a> {
    /// The file of its table.
    pub file: &'a Path,
    /// Its element.
    pub element: &'a str,
    /// The context of the files that it is read with.
    pub context: &'a IoContext,
}

impl Column {
    /// A categorical column in memory.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use anndata_io::{Codes, Column, ColumnPlace, ColumnValues, EncodedColumn, IoContext};
    ///
    /// let labels = EncodedColumn {
    ///     categories: ColumnValues::Texts(["B", "T"].into_iter().collect()),
    ///     codes: Codes::new(2, [Some(1), None, Some(0)].into_iter()),
    /// };
    /// let (file, context) = (Path::new("labels.csv"), IoContext::default());
    /// let place = ColumnPlace { file, element: "cell_type", context: &context };
    /// let column = Column::of_labels(&labels, place)?;
    /// assert_eq!(column.read_labels()?, labels);
    /// # Ok::<(), anndata_io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Never for a column whose codes have categories: a code without one is an error when it is read.
    pub fn of_labels(labels: &EncodedColumn, place: ColumnPlace<'_>) -> Result<Column, Error> {
        let codes = &labels.codes;
        let codes = (0..codes.len()).map(|row| codes.get(row).map_or(-1, i64::from));
        // The narrowest signed integers: -1 is a missing label.
        let codes = match labels.categories.len() {
            0..0x80 => Values::I8(codes.map(|code| code as i8).collect()),
            0x80..0x8000 => Values::I16(codes.map(|code| code as i16).collect()),
            0x8000..0x8000_0000 => Values::I32(codes.map(|code| code as i32).collect()),
            _ => Values::I64(codes.collect()),
        };
        Column::checked(Kind::Categorical {
            codes: array(codes, place)?,
            categories: labels.categories.clone(),
        })
    }

    /// A column of numbers or booleans in memory. `valid` tells which rows have a value; without it,
    /// all have, and a NaN is missing.
    ///
    /// # Errors
    /// When there are not as many of one as of the other.
    pub fn of_numbers(
        values: Values,
        valid: Option<&[bool]>,
        place: ColumnPlace<'_>,
    ) -> Result<Column, Error> {
        if let Some(valid) = valid.filter(|valid| valid.len() != values.len()) {
            let expected = format!("validity of {} values", values.len());
            let found = format!("of {}", valid.len());
            return Err(Error::invalid(place.file, place.element, expected, found));
        }
        let masked = |valid: &[bool]| valid.iter().map(|&valid| Bool8((!valid).into())).collect();
        let mask = valid.map(|valid| array(Values::Bool(masked(valid)), place));
        Column::plain(array(values, place)?, mask.transpose()?)
    }
}

/// An array of one dimension in memory.
fn array(values: Values, place: ColumnPlace<'_>) -> Result<Array, Error> {
    let item = ItemType::Number(values.dtype());
    let n_rows = values.len() as u64;
    let grid = Grid::single(vec![n_rows]).ok_or_else(|| {
        let expected = "a number of rows that can be addressed";
        Error::invalid(place.file, place.element, expected, n_rows.to_string())
    })?;
    let bytes = crate::with_dtype!(values.dtype(), T => {
        let values = <T as Scalar>::from_values(values).expect("its own type");
        bytemuck::cast_slice(&values).to_vec()
    });
    let mut parts = memory_parts(place.element, grid, item, bytes);
    parts.context = place.context.clone();
    parts.file = place.file.to_owned();
    Ok(Array::new(parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Codes, ColumnRows, ColumnValues};

    fn place(context: &IoContext) -> ColumnPlace<'_> {
        ColumnPlace {
            file: Path::new("t.csv"),
            element: "x",
            context,
        }
    }

    #[test]
    fn numbers_in_memory_are_read_like_those_of_a_file() {
        let context = IoContext::default();
        let values = Values::I64(vec![7, 0, 9]);
        let column = Column::of_numbers(values, Some(&[true, false, true]), place(&context));
        let column = column.unwrap();
        assert_eq!((column.len(), column.is_nullable()), (3, true));
        let read = column.read_rows(&[2, 1]).unwrap();
        assert_eq!(read.values, ColumnValues::Numbers(Values::I64(vec![9, 0])));
        assert_eq!(read.valid, Some(vec![true, false]));
        let labels = column.read_labels().unwrap();
        assert_eq!(labels.codes, Codes::U8(vec![0, u8::MAX, 1]));
        let empty = Column::of_numbers(Values::F32(Vec::new()), None, place(&context)).unwrap();
        assert_eq!(empty.read_labels().unwrap().codes.len(), 0);
    }

    #[test]
    fn labels_in_memory_are_read_in_codes_of_any_width() {
        let context = IoContext::default();
        for n_categories in [0, 1, 127, 128, 255, 256, 32_768, 65_536] {
            let texts: Vec<String> = (0..n_categories).map(|i| i.to_string()).collect();
            let last = (n_categories as u32).checked_sub(1);
            let labels = EncodedColumn {
                categories: ColumnValues::Texts(texts.iter().map(String::as_str).collect()),
                codes: Codes::new(n_categories, [last, None].into_iter()),
            };
            let column = Column::of_labels(&labels, place(&context)).unwrap();
            assert_eq!(column.read_labels().unwrap(), labels);
            let read: ColumnRows = column.read_rows(&[0]).unwrap();
            assert_eq!(read.is_valid(0), last.is_some());
        }
    }

    #[test]
    fn column_in_memory_is_closed_with_its_context() {
        let context = IoContext::default();
        let column = Column::of_numbers(Values::I8(vec![1]), None, place(&context)).unwrap();
        context.close();
        let error = column.read_rows(&[0]).unwrap_err().to_string();
        assert!(error.starts_with("t.csv: x: closed"), "{error}");
    }
}
