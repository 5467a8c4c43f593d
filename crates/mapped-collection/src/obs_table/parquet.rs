//! Reads tables of cells from parquet files.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use anndata_io::{Bool8, ColumnRows, ColumnValues, ErrorKind, Scalar, Values, f16};
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::ObsTable;
use super::column::TableColumn;
use super::file::{cell_place, check_header};
use super::texts::TextCodes;
use crate::error::Error;
use crate::genes::file::{file_error, invalid};

/// The rows that are decoded at once.
const BATCH: usize = 8192;

pub(super) fn read_parquet(path: &Path, cell_column: Option<&str>) -> Result<ObsTable, Error> {
    // The crate panics at some damaged files. It reads from a file of its own, so nothing that it leaves
    // half-done is used again.
    let read = catch_unwind(AssertUnwindSafe(|| read_file(path, cell_column)));
    read.unwrap_or_else(|_| Err(invalid(path, "", "a valid parquet file", "a damaged one")))
}

fn read_file(path: &Path, cell_column: Option<&str>) -> Result<ObsTable, Error> {
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => file_error(path, "", ErrorKind::NotFound),
        _ => file_error(path, "", ErrorKind::Io(Arc::new(error))),
    })?;
    let damaged = |place: &str, error: ParquetError| {
        invalid(path, place, "a valid parquet file", error.to_string())
    };
    let file = SerializedFileReader::new(file).map_err(|error| damaged("", error))?;
    let metadata = file.metadata().file_metadata();
    let schema = metadata.schema_descr();
    let header: Vec<String> = schema.columns().iter().map(|c| c.path().string()).collect();
    if header.is_empty() {
        return Err(invalid(path, "", "a table with columns", "no column"));
    }
    let entries = metadata.key_value_metadata().into_iter().flatten();
    let mut entries = entries.filter(|entry| entry.key == "pandas");
    let pandas = entries.next().and_then(|entry| entry.value.as_deref());
    let index = pandas.and_then(index_of_pandas);
    // A file that pandas wrote with numbers as its index does not have it as a column.
    let cell_column = cell_column.or_else(|| {
        let index = index.as_deref()?;
        header.iter().any(|name| name == index).then_some(index)
    });
    let cells_at = cell_place(path, &header, cell_column)?;
    check_header(path, &header, cells_at)?;
    let mut table = ObsTable::new([""; 0]);
    for (at, name) in header.iter().enumerate() {
        let descriptor = schema.column(at);
        let mut column = Building::new(&descriptor);
        for group in 0..file.num_row_groups() {
            let group = file.get_row_group(group);
            let before = column.len;
            let read = group.and_then(|group| {
                column.read(group.get_column_reader(at)?, &descriptor)?;
                Ok(group.metadata().num_rows())
            });
            let expected = read.map_err(|error| damaged(name, error))?;
            let found = column.len - before;
            if found as i64 != expected {
                let expected = format!("{expected} rows in each column of a group");
                return Err(invalid(path, name, expected, found.to_string()));
            }
        }
        if at == cells_at {
            table.names = Arc::new(column.into_names(path, name)?);
        } else {
            table = table.column(name, column.into_column(&descriptor));
        }
    }
    Ok(table)
}

/// The column that pandas made of the index of a table.
fn index_of_pandas(metadata: &str) -> Option<String> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).ok()?;
    match metadata.get("index_columns")?.as_array()?.as_slice() {
        [name] => name.as_str().map(str::to_owned),
        _ => None,
    }
}

/// The values of a column so far.
struct Building {
    values: Built,
    valid: Vec<bool>,
    len: usize,
}

enum Built {
    Numbers(Values),
    Texts(TextCodes),
    Unsupported,
}

impl Building {
    fn new(descriptor: &ColumnDescriptor) -> Building {
        Building {
            values: Built::of(descriptor),
            valid: Vec::new(),
            len: 0,
        }
    }

    /// Adds a group of rows.
    fn read(
        &mut self,
        reader: ColumnReader,
        descriptor: &ColumnDescriptor,
    ) -> Result<(), ParquetError> {
        let (valid, most) = (&mut self.valid, descriptor.max_def_level());
        self.len += match (&mut self.values, reader) {
            (Built::Unsupported, reader) => skip(reader)?,
            (Built::Texts(texts), ColumnReader::ByteArrayColumnReader(reader)) => {
                let mut fault = None;
                let n_rows = read(reader, most, |value| {
                    match value.map(|v| std::str::from_utf8(v.data())) {
                        Some(Err(error)) => fault = Some(error),
                        Some(Ok(text)) => texts.push(Some(text)),
                        None => texts.push(None),
                    }
                })?;
                if let Some(error) = fault {
                    return Err(ParquetError::General(format!(
                        "a text not in UTF-8: {error}"
                    )));
                }
                n_rows
            }
            // Of a column without any value, the type is unknown.
            (Built::Texts(texts), reader) => {
                let n_rows = skip(reader)?;
                (0..n_rows).for_each(|_| texts.push(None));
                n_rows
            }
            (Built::Numbers(values), ColumnReader::BoolColumnReader(reader)) => {
                numbers(reader, most, values, valid, |&value| {
                    Some(Bool8(value.into()))
                })?
            }
            (Built::Numbers(values), ColumnReader::Int32ColumnReader(reader)) => match values {
                Values::I8(_) => numbers(reader, most, values, valid, |&v| i8::try_from(v).ok())?,
                Values::I16(_) => numbers(reader, most, values, valid, |&v| i16::try_from(v).ok())?,
                Values::U8(_) => numbers(reader, most, values, valid, |&v| u8::try_from(v).ok())?,
                Values::U16(_) => numbers(reader, most, values, valid, |&v| u16::try_from(v).ok())?,
                Values::U32(_) => numbers(reader, most, values, valid, |&v| Some(v as u32))?,
                _ => numbers(reader, most, values, valid, |&v| Some(v))?,
            },
            (Built::Numbers(values), ColumnReader::Int64ColumnReader(reader)) => match values {
                Values::U64(_) => numbers(reader, most, values, valid, |&v| Some(v as u64))?,
                _ => numbers(reader, most, values, valid, |&v| Some(v))?,
            },
            (Built::Numbers(values), ColumnReader::FloatColumnReader(reader)) => {
                numbers(reader, most, values, valid, |&value| Some(value))?
            }
            (Built::Numbers(values), ColumnReader::DoubleColumnReader(reader)) => {
                numbers(reader, most, values, valid, |&value| Some(value))?
            }
            (Built::Numbers(values), ColumnReader::FixedLenByteArrayColumnReader(reader)) => {
                numbers(reader, most, values, valid, |value| {
                    Some(f16::from_le_bytes(value.data().try_into().ok()?))
                })?
            }
            (Built::Numbers(_), _) => {
                let text = "a column of another type than the schema says".to_owned();
                return Err(ParquetError::General(text));
            }
        };
        Ok(())
    }

    fn into_column(self, descriptor: &ColumnDescriptor) -> TableColumn {
        match self.values {
            Built::Texts(texts) => texts.into(),
            Built::Unsupported => TableColumn::unsupported(what(descriptor), self.len),
            Built::Numbers(values) => {
                let values = ColumnValues::Numbers(values);
                let valid = self.valid.contains(&false).then_some(self.valid);
                ColumnRows { values, valid }.into()
            }
        }
    }

    /// The values as names of cells.
    fn into_names(self, path: &Path, column: &str) -> Result<anndata_io::Strings, Error> {
        let without = |row: usize| {
            let expected = format!("a cell name in {column:?}");
            invalid(path, &format!("row {row}"), expected, "nothing")
        };
        match &self.values {
            Built::Texts(texts) => {
                let mut names = anndata_io::Strings::default();
                for (row, &code) in texts.codes().iter().enumerate() {
                    let name = texts.texts().get(code as usize);
                    names.push(
                        name.filter(|name| !name.is_empty())
                            .ok_or_else(|| without(row))?,
                    );
                }
                Ok(names)
            }
            Built::Numbers(values) if !values.dtype().is_float() => {
                if let Some(row) = self.valid.iter().position(|&valid| !valid) {
                    return Err(without(row));
                }
                let values = values.as_slice();
                let mut names = anndata_io::Strings::default();
                for row in 0..values.len() {
                    let label = crate::label_values::number_label(values, row);
                    names.push(&label.map(|label| label.to_string()).unwrap_or_default());
                }
                Ok(names)
            }
            _ => {
                let expected = "names of cells, which are texts or whole numbers";
                Err(invalid(path, column, expected, "values of another type"))
            }
        }
    }
}

impl Built {
    fn of(descriptor: &ColumnDescriptor) -> Built {
        let is_flat = descriptor.max_rep_level() == 0 && descriptor.max_def_level() <= 1;
        let logical = descriptor.logical_type_ref();
        if !is_flat || descriptor.path().parts().len() > 1 {
            return Built::Unsupported;
        }
        if let Some(LogicalType::Unknown) = logical {
            return Built::Texts(TextCodes::default());
        }
        // Both say the same, but younger types have no converted type.
        let is_plain = matches!(
            logical,
            None | Some(LogicalType::Integer(_) | LogicalType::String | LogicalType::Enum)
        );
        let is_half = matches!(logical, Some(LogicalType::Float16));
        match (descriptor.physical_type(), descriptor.converted_type()) {
            (Physical::FIXED_LEN_BYTE_ARRAY, _) if is_half => {
                Built::Numbers(Values::F16(Vec::new()))
            }
            _ if !is_plain => Built::Unsupported,
            (Physical::BYTE_ARRAY, ConvertedType::UTF8 | ConvertedType::ENUM) => {
                Built::Texts(TextCodes::default())
            }
            (Physical::BOOLEAN, _) => Built::Numbers(Values::Bool(Vec::new())),
            (Physical::FLOAT, _) => Built::Numbers(Values::F32(Vec::new())),
            (Physical::DOUBLE, _) => Built::Numbers(Values::F64(Vec::new())),
            (Physical::INT32, ConvertedType::INT_8) => Built::Numbers(Values::I8(Vec::new())),
            (Physical::INT32, ConvertedType::INT_16) => Built::Numbers(Values::I16(Vec::new())),
            (Physical::INT32, ConvertedType::UINT_8) => Built::Numbers(Values::U8(Vec::new())),
            (Physical::INT32, ConvertedType::UINT_16) => Built::Numbers(Values::U16(Vec::new())),
            (Physical::INT32, ConvertedType::UINT_32) => Built::Numbers(Values::U32(Vec::new())),
            (Physical::INT32, ConvertedType::NONE | ConvertedType::INT_32) => {
                Built::Numbers(Values::I32(Vec::new()))
            }
            (Physical::INT64, ConvertedType::UINT_64) => Built::Numbers(Values::U64(Vec::new())),
            (Physical::INT64, ConvertedType::NONE | ConvertedType::INT_64) => {
                Built::Numbers(Values::I64(Vec::new()))
            }
            _ => Built::Unsupported,
        }
    }
}

/// The type of a column, in words.
fn what(descriptor: &ColumnDescriptor) -> String {
    match descriptor.logical_type_ref() {
        _ if descriptor.path().parts().len() > 1 || descriptor.max_rep_level() > 0 => {
            "a column of nested values".to_owned()
        }
        Some(logical) => format!("a column of the parquet type {logical:?}"),
        None => format!(
            "a column of the parquet type {} ({})",
            descriptor.physical_type(),
            descriptor.converted_type()
        ),
    }
}

/// Adds numbers; `convert` returns nothing for a value that its type does not hold.
fn numbers<D: DataType, T: Scalar>(
    reader: ColumnReaderImpl<D>,
    most: i16,
    values: &mut Values,
    valid: &mut Vec<bool>,
    convert: impl Fn(&D::T) -> Option<T>,
) -> Result<usize, ParquetError> {
    let Some(values) = T::as_mut_vec(values) else {
        let text = "a column of another type than the schema says".to_owned();
        return Err(ParquetError::General(text));
    };
    let mut is_held = true;
    let n_rows = read(reader, most, |value| {
        let converted = value.map(&convert);
        is_held &= converted.as_ref().is_none_or(Option::is_some);
        let value = converted.flatten();
        valid.push(value.is_some());
        values.push(value.unwrap_or_default());
    })?;
    match is_held {
        true => Ok(n_rows),
        false => Err(ParquetError::General(
            "a number that its type does not hold".to_owned(),
        )),
    }
}

/// Calls `take` with each value of a column that is not nested, or with `None` where it is missing.
/// Returns their number.
fn read<D: DataType>(
    mut reader: ColumnReaderImpl<D>,
    most: i16,
    mut take: impl FnMut(Option<&D::T>),
) -> Result<usize, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut n_rows = 0;
    loop {
        levels.clear();
        values.clear();
        let (n, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
        if n == 0 {
            return Ok(n_rows);
        }
        n_rows += n;
        let mut values = values.iter();
        match most {
            0 => values.for_each(|value| take(Some(value))),
            _ => levels.iter().for_each(|&level| match level == most {
                true => take(values.next()),
                false => take(None),
            }),
        }
    }
}

/// The number of rows of a column whose values are not read.
fn skip(reader: ColumnReader) -> Result<usize, ParquetError> {
    fn all<D: DataType>(mut reader: ColumnReaderImpl<D>) -> Result<usize, ParquetError> {
        let mut n_rows = 0;
        loop {
            match reader.skip_records(BATCH)? {
                0 => return Ok(n_rows),
                n => n_rows += n,
            }
        }
    }
    match reader {
        ColumnReader::BoolColumnReader(reader) => all(reader),
        ColumnReader::Int32ColumnReader(reader) => all(reader),
        ColumnReader::Int64ColumnReader(reader) => all(reader),
        ColumnReader::Int96ColumnReader(reader) => all(reader),
        ColumnReader::FloatColumnReader(reader) => all(reader),
        ColumnReader::DoubleColumnReader(reader) => all(reader),
        ColumnReader::ByteArrayColumnReader(reader) => all(reader),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => all(reader),
    }
}

#[cfg(test)]
mod tests;
