//! Reads lists of genes and tables of two columns from text, csv, tsv and JSON files.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anndata_io::{ErrorKind, nearest_name};

use super::GeneList;
use super::json::Json;
use crate::error::open::OpenError;
use crate::error::{Error, quoted};

/// The most bytes of such a file. The longest vocabularies have some 60,000 names.
const MAX_BYTES: u64 = 256 << 20;
/// The most names of columns in an error.
const MOST_COLUMNS: usize = 20;

pub(super) fn read_genes(
    path: &Path,
    column: Option<&str>,
    special: Option<&[String]>,
) -> Result<GeneList, Error> {
    let text = read(path)?;
    let form = Form::of(path, &text);
    let lines = |text: &str| {
        let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
        GeneList::new(names)
    };
    if special.is_some() && form != Form::Json {
        let expected = "a vocabulary (.json) for special names";
        return Err(invalid(path, "", expected, "a list without ids"));
    }
    let list = match (form, column) {
        (Form::Json, None) => match Json::parse(path, &text)? {
            Json::Names(_) if special.is_some() => {
                let expected = "an object of names and ids, for special names";
                return Err(invalid(path, "", expected, "an array"));
            }
            Json::Names(names) => GeneList::new(names),
            Json::Members(members) => {
                let id = |value: &serde_json::Value| value.as_i64();
                let entries = typed(path, members, "a whole number", id)?;
                GeneList::from_vocabulary(entries, special)?
            }
        },
        (Form::Json, Some(column)) => {
            let found = format!("a JSON file with the column {column:?}");
            return Err(invalid(path, "", "a JSON file without a column", found));
        }
        (Form::Lines, None) => lines(&text),
        (Form::Table(separator), Some(column)) => {
            GeneList::new(table_column(path, &text, separator, column)?)
        }
        (Form::Lines, Some(column)) => {
            let separator = separator_of(&text);
            GeneList::new(table_column(path, &text, separator, column)?)
        }
        (Form::Table(separator), None) => {
            let columns = header(path, &text, separator)?;
            let expected = "the name of a column after the path, as in genes.csv:COLUMN";
            return Err(invalid(path, "", expected, listed(&columns)));
        }
    };
    if list.names().is_empty() {
        return Err(invalid(path, "", "at least one name", "no name"));
    }
    Ok(list)
}

/// Reads pairs of names, such as old and new ones for
/// [`aliases`](crate::MappedCollectionBuilder::aliases): from an object of JSON, or from two columns
/// without a header, separated by tabs or commas.
///
/// # Errors
/// When the file cannot be read, has another form, or has two second names for one first name.
pub fn read_pairs(path: impl AsRef<Path>) -> Result<Vec<(String, String)>, Error> {
    let path = path.as_ref();
    let text = read(path)?;
    let pairs = match Form::of(path, &text) {
        Form::Json => match Json::parse(path, &text)? {
            Json::Names(_) => {
                let expected = "an object of old and new names";
                return Err(invalid(path, "", expected, "an array"));
            }
            Json::Members(members) => {
                let name = |value: &serde_json::Value| value.as_str().map(str::to_owned);
                let pairs = typed(path, members, "a name", name)?;
                pairs
                    .into_iter()
                    .map(|pair| (format!("{:?}", pair.0), pair))
                    .collect()
            }
        },
        form => two_columns(path, &text, form, "two names, the old and the new one")?,
    };
    let mut known: HashMap<&str, &str> = HashMap::new();
    for (place, (old, new)) in &pairs {
        if let Some(other) = known.insert(old, new).filter(|other| other != new) {
            let expected = format!("one new name for {old:?}");
            let found = format!("{other:?} and {new:?}");
            return Err(invalid(path, place, expected, found));
        }
    }
    Ok(pairs.into_iter().map(|(_, pair)| pair).collect())
}

/// Reads names with a number for each, such as those for
/// [`Transform::divide_genes`](crate::Transform::divide_genes): from an object of JSON, or from two
/// columns without a header, separated by tabs or commas.
///
/// # Errors
/// When the file cannot be read, has another form, or has a name twice.
pub fn read_numbers(path: impl AsRef<Path>) -> Result<Vec<(String, f64)>, Error> {
    let path = path.as_ref();
    let text = read(path)?;
    let numbers = match Form::of(path, &text) {
        Form::Json => match Json::parse(path, &text)? {
            Json::Names(_) => {
                let expected = "an object of names and numbers";
                return Err(invalid(path, "", expected, "an array"));
            }
            Json::Members(members) => typed(path, members, "a number", serde_json::Value::as_f64)?,
        },
        form => {
            let expected = "a name and a number";
            let pairs = two_columns(path, &text, form, expected)?.into_iter();
            let number = |(place, (name, number)): Placed| match number.parse::<f64>() {
                Ok(number) => Ok((name, number)),
                Err(_) => Err(invalid(path, &place, "a number", format!("{number:?}"))),
            };
            pairs.map(number).collect::<Result<_, _>>()?
        }
    };
    let mut known = HashSet::new();
    match numbers
        .iter()
        .find(|(name, _)| !known.insert(name.as_str()))
    {
        None => Ok(numbers),
        Some((name, _)) => {
            let expected = "each name once";
            Err(invalid(path, "", expected, format!("{name:?} twice")))
        }
    }
}

/// A pair of names, and its place in the file.
type Placed = (String, (String, String));

fn two_columns(path: &Path, text: &str, form: Form, expected: &str) -> Result<Vec<Placed>, Error> {
    let separator = match form {
        Form::Table(separator) => separator,
        _ => separator_of(text),
    };
    let mut pairs = Vec::new();
    let mut reader = reader_of(separator);
    let reader = reader.has_headers(false).flexible(true);
    for record in reader.from_reader(text.as_bytes()).records() {
        let record = checked(path, record)?;
        let line = record.position().map_or(0, csv::Position::line);
        let [old, new] = [record.get(0), record.get(1)].map(|name| name.unwrap_or("").trim());
        if record.len() != 2 || old.is_empty() || new.is_empty() {
            let found = format!("{:?}", record.iter().collect::<Vec<_>>());
            return Err(invalid(path, &format!("line {line}"), expected, found));
        }
        pairs.push((format!("line {line}"), (old.to_owned(), new.to_owned())));
    }
    Ok(pairs)
}

/// The path and the column of an argument on a command line: `FILE`, or `FILE:COLUMN` unless a file of
/// that whole name exists.
///
/// # Errors
/// When it is a URL.
pub(crate) fn path_and_column<'a>(
    option: &'static str,
    text: &'a str,
) -> Result<(&'a str, Option<&'a str>), Error> {
    if text.contains("://") {
        let expected = "the path of a file on this machine";
        return Err(Error::option(option, expected, text));
    }
    Ok(match text.rsplit_once(':') {
        Some((path, column)) if !Path::new(text).exists() => (path, Some(column)),
        _ => (text, None),
    })
}

/// How a file holds names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Lines,
    /// The separator of its columns.
    Table(u8),
}

impl Form {
    pub(crate) fn of(path: &Path, text: &str) -> Form {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match &*extension.to_ascii_lowercase() {
            "json" => Form::Json,
            "csv" => match text.lines().next() {
                // Spreadsheets of many countries write semicolons.
                Some(line) if line.contains(';') && !line.contains(',') => Form::Table(b';'),
                _ => Form::Table(b','),
            },
            "tsv" => Form::Table(b'\t'),
            _ => Form::Lines,
        }
    }
}

/// Returns the text of a file, without a byte order mark.
fn read(path: &Path) -> Result<String, Error> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => file_error(path, "", ErrorKind::NotFound),
        _ => file_error(path, "", ErrorKind::Io(Arc::new(error))),
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut limited = file.take(MAX_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        let expected = format!("a list of at most {MAX_BYTES} bytes");
        return Err(invalid(path, "", expected, "a longer one"));
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let expected = "text";
        return Err(invalid(
            path,
            "",
            expected,
            "gzip: decompress the file first",
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        invalid(path, "", "text in UTF-8", format!("other bytes at {at}"))
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The separator of a table whose extension says nothing of it.
fn separator_of(text: &str) -> u8 {
    match text.lines().next() {
        Some(line) if line.contains('\t') => b'\t',
        _ => b',',
    }
}

/// A reader of a table. Tabs need no quotes: there, a quote is a part of a field.
fn reader_of(separator: u8) -> csv::ReaderBuilder {
    let mut reader = csv::ReaderBuilder::new();
    reader.delimiter(separator).quoting(separator != b'\t');
    reader
}

/// # Errors
/// When a line is malformed, or a field has a line break: a quote that is not closed would hide all
/// lines behind it.
fn checked(
    path: &Path,
    record: csv::Result<csv::StringRecord>,
) -> Result<csv::StringRecord, Error> {
    let record = record.map_err(|error| malformed(path, &error))?;
    if record.iter().any(|field| field.contains('\n')) {
        let line = record.position().map_or(0, csv::Position::line);
        let expected = "quotes that are closed in the same line";
        let found = "a field with a line break";
        return Err(invalid(path, &format!("line {line}"), expected, found));
    }
    Ok(record)
}

fn header(path: &Path, text: &str, separator: u8) -> Result<Vec<String>, Error> {
    let mut reader = reader_of(separator);
    let reader = reader.has_headers(false).flexible(true);
    let mut records = reader.from_reader(text.as_bytes()).into_records();
    let Some(record) = records.next() else {
        return Ok(Vec::new());
    };
    Ok(checked(path, record)?.iter().map(str::to_owned).collect())
}

fn table_column(
    path: &Path,
    text: &str,
    separator: u8,
    column: &str,
) -> Result<Vec<String>, Error> {
    let columns = header(path, text, separator)?;
    let mut places = (0..columns.len()).filter(|&at| columns[at] == column);
    let (Some(at), None) = (places.next(), places.next()) else {
        let near = nearest_name(column, columns.iter().map(String::as_str));
        let expected = match near.filter(|near| near != column) {
            Some(near) => format!("one column {column:?} (did you mean {near:?}?)"),
            None => format!("one column {column:?}"),
        };
        return Err(invalid(path, "", expected, listed(&columns)));
    };
    let mut names = Vec::new();
    let reader = reader_of(separator);
    for record in reader.from_reader(text.as_bytes()).records() {
        let record = checked(path, record)?;
        let name = record.get(at).unwrap_or_default().trim();
        if name.is_empty() {
            let line = record.position().map_or(0, csv::Position::line);
            let place = format!("line {line}");
            return Err(invalid(
                path,
                &place,
                format!("a name in {column:?}"),
                "nothing",
            ));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

pub(crate) fn listed(columns: &[String]) -> String {
    let names = quoted(columns.iter().take(MOST_COLUMNS));
    let more = columns.len().saturating_sub(MOST_COLUMNS);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("the columns {names}{more}")
}

/// Converts the values of the members of an object.
fn typed<T>(
    path: &Path,
    members: Vec<(String, serde_json::Value)>,
    expected: &str,
    convert: impl Fn(&serde_json::Value) -> Option<T>,
) -> Result<Vec<(String, T)>, Error> {
    let typed = members
        .into_iter()
        .map(|(name, value)| match convert(&value) {
            Some(value) => Ok((name, value)),
            None => Err(invalid(
                path,
                &format!("{name:?}"),
                expected,
                value.to_string(),
            )),
        });
    typed.collect()
}

pub(crate) fn malformed(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let place = format!("line {line}");
    invalid(
        path,
        &place,
        "a line with as many columns as the first",
        error.to_string(),
    )
}

pub(crate) fn invalid(
    path: &Path,
    place: &str,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    let (expected, found) = (expected.into(), found.into());
    file_error(path, place, ErrorKind::Invalid { expected, found })
}

pub(crate) fn file_error(path: &Path, place: &str, kind: ErrorKind) -> Error {
    OpenError::File(anndata_io::Error::new(path, place, kind)).into()
}
