//! A table of numbers (a DataFrame in obsm), read as the matrix of its columns.

use super::RowSink;
use crate::array::Array;
use crate::array::chunk_reader::ChunkReader;
use crate::column::legacy_categories;
use crate::dtype::{DType, Values};
use crate::error::Error;
use crate::path::member;
use crate::store::{Attribute, Node, Store};

/// The advice for a table with other columns.
const NUMBERS_ONLY: &str = "leave the element out, or write it with columns of numbers alone";

/// The numeric columns of a DataFrame, in its order. The index does not count as a column.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    shape: [u64; 2],
    dtype: DType,
    columns: Vec<Array>,
}

impl Frame {
    pub(super) fn open(store: &Store, element: &str) -> Result<Frame, Error> {
        let names = match store.attribute(element, "column-order")? {
            Some(Attribute::Texts(names)) => names,
            found => {
                let found = found.map_or("none".to_owned(), |found| found.to_string());
                return Err(store.invalid(element, "attribute column-order of names", found));
            }
        };
        let index = store
            .text_attribute(element, "_index")?
            .unwrap_or_else(|| "_index".to_owned());
        let n_rows = crate::column::Column::open(store, element, &index)?
            .ok_or_else(|| store.invalid(element, format!("an index {index}"), "none"))?
            .len();
        let unsupported = |path: &str, encoding: &str| {
            let what = format!("a {encoding} column in a table that is read as a matrix");
            Err(Error::unsupported(store.path(), path, what, NUMBERS_ONLY))
        };
        let mut columns = Vec::with_capacity(names.len());
        for name in &names {
            let path = member(element, name);
            match store.node(&path)? {
                Some(Node::Array) => {}
                Some(Node::Group | Node::Table) => {
                    let encoding = store.text_attribute(&path, "encoding-type")?;
                    return unsupported(&path, encoding.as_deref().unwrap_or("unknown"));
                }
                None => {
                    return Err(store.invalid(&path, "the column that column-order names", "none"));
                }
            }
            if legacy_categories(store, element, name)?.is_some() {
                return unsupported(&path, "categorical");
            }
            let column = store.array(&path)?;
            if column.dtype().is_none() {
                return unsupported(&path, "text");
            }
            if column.shape() != [n_rows] {
                let expected = format!("{n_rows} rows");
                return Err(column.invalid(expected, format!("shape {:?}", column.shape())));
            }
            columns.push(column);
        }
        let types = columns.iter().filter_map(Array::dtype);
        let dtype = types.reduce(DType::promote).unwrap_or(DType::F64);
        Ok(Frame {
            shape: [n_rows, columns.len() as u64],
            dtype,
            columns,
        })
    }

    pub(super) fn columns(&self) -> &[Array] {
        &self.columns
    }

    pub(super) fn shape(&self) -> &[u64] {
        &self.shape
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(super) fn read_rows(&self, rows: &[u64], sink: &mut impl RowSink) -> Result<(), Error> {
        for (number, column) in self.columns.iter().enumerate() {
            column.check_rows(rows, self.shape[0])?;
            let mut values = Values::new(column.number_type()?);
            let ranges = rows.iter().map(|&row| row..row + 1);
            column.read_ranges(ranges, &mut values, &mut ChunkReader::default())?;
            for row in 0..rows.len() {
                sink.dense(row, number, values.as_slice().range(row, row + 1));
            }
        }
        Ok(())
    }
}
