//! Reads tables of cells from files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use anndata_io::{ErrorKind, nearest_name};
use csv::{ReaderBuilder, StringRecord};

use super::ObsTable;
use super::kinds::typed;
use super::texts::TextCodes;
use crate::error::Error;
use crate::genes::file::{Form, file_error, invalid, listed, malformed};

/// The bytes that are read at once. The first line must fit.
const BUFFER: usize = 1 << 20;

pub(super) fn read_table(path: &Path, cell_column: Option<&str>) -> Result<ObsTable, Error> {
    let extension = path.extension().unwrap_or_default();
    if extension.eq_ignore_ascii_case("parquet") {
        return read_parquet(path, cell_column);
    }
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => file_error(path, "", ErrorKind::NotFound),
        _ => file_error(path, "", ErrorKind::Io(Arc::new(error))),
    };
    let file = File::open(path).map_err(failed)?;
    let mut file = BufReader::with_capacity(BUFFER, file);
    let head = file.fill_buf().map_err(failed)?;
    if head.starts_with(&[0x1f, 0x8b]) {
        let found = "gzip: decompress the file first";
        return Err(invalid(path, "", "text", found));
    }
    match Form::of(path, &String::from_utf8_lossy(head)) {
        Form::Table(separator) => read_rows(path, file, separator, cell_column),
        Form::Json | Form::Lines => {
            let expected = "a table: a file that ends with .csv, .tsv or .parquet";
            let found = match extension.is_empty() {
                true => "no such ending".to_owned(),
                false => format!(".{}", extension.display()),
            };
            Err(invalid(path, "", expected, found))
        }
    }
}

#[cfg(feature = "parquet")]
use super::parquet::read_parquet;

#[cfg(not(feature = "parquet"))]
fn read_parquet(path: &Path, _: Option<&str>) -> Result<ObsTable, Error> {
    let expected = "a build with the feature parquet, or a .csv or .tsv file";
    Err(invalid(path, "", expected, "a .parquet file"))
}

fn read_rows(
    path: &Path,
    file: BufReader<File>,
    separator: u8,
    cell_column: Option<&str>,
) -> Result<ObsTable, Error> {
    // Programs that write tables of labels quote fields, also between tabs.
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(separator)
        .from_reader(file);
    let mut record = StringRecord::new();
    if !next_record(path, &mut reader, &mut record)? {
        return Err(invalid(path, "", "a line with names of columns", "nothing"));
    }
    let header: Vec<String> = record.iter().map(str::to_owned).collect();
    let cells_at = cell_place(path, &header, cell_column)?;
    check_header(path, &header, cells_at)?;
    let mut names = anndata_io::Strings::default();
    let mut columns: Vec<TextCodes> = header.iter().map(|_| TextCodes::default()).collect();
    while next_record(path, &mut reader, &mut record)? {
        for (at, (field, column)) in record.iter().zip(&mut columns).enumerate() {
            if at != cells_at {
                column.push(Some(field).filter(|field| !field.is_empty()));
            } else if field.is_empty() {
                let expected = format!("a cell name in {:?}", header[at]);
                return Err(invalid(path, &line(&record), expected, "nothing"));
            } else {
                names.push(field);
            }
        }
    }
    let mut table = ObsTable::new([""; 0]);
    table.names = Arc::new(names);
    let columns = header.into_iter().zip(columns).enumerate();
    let columns = columns.filter(|(at, _)| *at != cells_at);
    Ok(columns.fold(table, |table, (_, (name, column))| {
        table.column(name, typed(column))
    }))
}

/// The place of the column of cell names.
pub(super) fn cell_place(
    path: &Path,
    header: &[String],
    cell_column: Option<&str>,
) -> Result<usize, Error> {
    let Some(column) = cell_column else {
        return Ok(0);
    };
    let mut places = (0..header.len()).filter(|&at| header[at] == column);
    match (places.next(), places.next()) {
        (Some(at), None) => Ok(at),
        _ => {
            let near = nearest_name(column, header.iter().map(String::as_str));
            let near = near.filter(|near| near != column);
            let hint = near.map(|near| format!(" (did you mean {near:?}?)"));
            let expected = format!("one column {column:?}{}", hint.unwrap_or_default());
            Err(invalid(path, "", expected, listed(header)))
        }
    }
}

/// Checks that no two columns have one name.
pub(super) fn check_header(path: &Path, header: &[String], cells_at: usize) -> Result<(), Error> {
    for (at, name) in header.iter().enumerate() {
        let mut earlier = header[..at].iter().enumerate();
        if at != cells_at && earlier.any(|(other, known)| other != cells_at && known == name) {
            let found = format!("{name:?} twice");
            return Err(invalid(path, "", "columns of different names", found));
        }
    }
    Ok(())
}

/// Reads the next line; returns false at the end.
fn next_record(
    path: &Path,
    reader: &mut csv::Reader<BufReader<File>>,
    record: &mut StringRecord,
) -> Result<bool, Error> {
    let is_read = reader.read_record(record).map_err(|error| {
        let place = |position: &Option<csv::Position>| {
            let line = position.as_ref().map_or(0, csv::Position::line);
            format!("line {line}")
        };
        match error.kind() {
            csv::ErrorKind::Utf8 { pos, .. } => {
                invalid(path, &place(pos), "text in UTF-8", "other bytes")
            }
            _ => malformed(path, &error),
        }
    })?;
    // A quote that is not closed would hide all lines behind it.
    if is_read && record.iter().any(|field| field.contains('\n')) {
        let expected = "quotes that are closed in the same line";
        let found = "a field with a line break";
        return Err(invalid(path, &line(record), expected, found));
    }
    Ok(is_read)
}

fn line(record: &StringRecord) -> String {
    let line = record.position().map_or(0, csv::Position::line);
    format!("line {line}")
}
