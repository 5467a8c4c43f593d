//! The readable parts of an element, in pieces that threads take in any order.

use std::ops::Range;

use super::report::ElementCounts;
use super::sparse::Sparse;
use crate::array::chunk_reader::{CachePolicy, ChunkReader};
use crate::array::rows::Buffers;
use crate::array::{Array, STEP_ELEMENTS};
use crate::column::check_code;
use crate::dtype::{NumericValue, Scalar, ValuesRef};
use crate::error::{Error, ErrorKind};
use crate::io::buffers::AlignedBytes;
use crate::limits::MAX_LISTED_FAULTS;
use crate::with_dtype;

/// Bytes of an uncompressed matrix that are read together.
const PIECE_BYTES: u64 = 1 << 20;

/// One array, or the two of a sparse matrix.
pub(super) enum Source {
    /// A matrix of any rank, by chunks.
    Dense(Array),
    Sparse(Sparse),
    /// Numbers in one dimension.
    Numbers(Array),
    /// Numbers, some of which are masked: masked ones may have any value.
    Masked(Array),
    /// True where a value is missing.
    Mask(Array),
    Codes {
        codes: Array,
        n_categories: usize,
    },
    Texts(Array),
}

/// The buffers of one thread, and the chunks that it decoded last.
pub(super) struct Scratch {
    pub(super) first: ChunkReader,
    pub(super) second: ChunkReader,
    pub(super) first_bytes: AlignedBytes,
    pub(super) second_bytes: AlignedBytes,
}

impl Scratch {
    /// Makes buffers for a scan that needs each chunk once, so none goes into the cache. Files are
    /// read, not mapped, so that a failing disk causes an error.
    pub(super) fn new() -> Scratch {
        Scratch {
            first: ChunkReader::new(CachePolicy::Nothing),
            second: ChunkReader::new(CachePolicy::Nothing),
            first_bytes: AlignedBytes::default(),
            second_bytes: AlignedBytes::default(),
        }
    }
}

/// The findings in a piece.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) counts: ElementCounts,
    pub(super) faults: Vec<Error>,
    /// The number of faults that are not listed.
    pub(super) more_faults: u64,
}

impl Findings {
    pub(super) fn fault(&mut self, error: impl FnOnce() -> Error) {
        if self.faults.len() < MAX_LISTED_FAULTS {
            self.faults.push(error());
        } else {
            self.more_faults += 1;
        }
    }

    /// Counts a chunk that was never written. A chunk that cannot be located fails when it is read.
    fn look_for(&mut self, array: &Array, chunk: u64) {
        if let Ok(false) = array.is_written(chunk) {
            self.counts.unwritten += 1;
        }
    }

    /// Looks for the chunks that begin in a range of a 1-D array.
    pub(super) fn look_for_range(&mut self, array: &Array, range: &Range<u64>) {
        let extent = array.chunk_shape().first().copied().unwrap_or(1);
        for chunk in range.start.div_ceil(extent)..range.end.div_ceil(extent) {
            self.look_for(array, chunk);
        }
    }

    pub(super) fn count(&mut self, values: ValuesRef<'_>, sparse: bool) {
        with_dtype!(values.dtype(), T => {
            let values = <T as Scalar>::from_slice(values).unwrap_or_default();
            self.count_typed::<T>(values, sparse);
        });
    }

    fn count_typed<T: Scalar>(&mut self, values: &[T], sparse: bool) {
        let (mut nan, mut infinite, mut negative, mut zeros) = (0, 0, 0, 0);
        for &value in values {
            let (is_nan, is_infinite, is_negative) = match value.to_number() {
                NumericValue::Bool(_) | NumericValue::Unsigned(_) => (false, false, false),
                NumericValue::Signed(value) => (false, false, value < 0),
                NumericValue::F32(value) => (value.is_nan(), value.is_infinite(), value < 0.0),
                NumericValue::F64(value) => (value.is_nan(), value.is_infinite(), value < 0.0),
            };
            nan += u64::from(is_nan);
            infinite += u64::from(is_infinite);
            negative += u64::from(is_negative);
            zeros += u64::from(value.is_zero());
        }
        self.counts.nan += nan;
        self.counts.infinite += infinite;
        self.counts.negative += negative;
        if sparse {
            self.counts.explicit_zeros += zeros;
        }
    }
}

impl Source {
    /// The number of pieces.
    pub(super) fn n_pieces(&self) -> u64 {
        match self {
            Source::Dense(array) => {
                let n_chunks: u64 = array.parts().grid.counts().iter().product();
                n_chunks.saturating_mul(parts_of_chunk(array).1)
            }
            Source::Sparse(sparse) => sparse.n_elements().div_ceil(sparse.piece_len()),
            Source::Numbers(array)
            | Source::Masked(array)
            | Source::Mask(array)
            | Source::Codes { codes: array, .. }
            | Source::Texts(array) => array.len().div_ceil(border(array)),
        }
    }

    /// Reads a piece. An error ends only the reading of one chunk.
    pub(super) fn scan(&self, piece: u64, scratch: &mut Scratch) -> Findings {
        let mut found = Findings::default();
        if let Source::Numbers(array) | Source::Masked(array) | Source::Codes { codes: array, .. } =
            self
        {
            found.look_for_range(array, &range_of(array, piece));
        }
        match self {
            Source::Dense(array) => {
                scan_dense(array, piece, scratch, &mut found);
            }
            Source::Sparse(sparse) => sparse.scan(piece, scratch, &mut found),
            Source::Texts(array) => scan_texts(array, range_of(array, piece), &mut found),
            Source::Numbers(array) => {
                scan_numbers(array, piece, scratch, &mut found, |found, values| {
                    found.count(values, false);
                })
            }
            Source::Masked(array) => scan_numbers(array, piece, scratch, &mut found, |_, _| {}),
            Source::Mask(array) => {
                scan_numbers(array, piece, scratch, &mut found, |found, mask| {
                    let masked = mask.as_bytes().iter().filter(|&&masked| masked != 0);
                    found.counts.missing += masked.count() as u64;
                })
            }
            Source::Codes {
                codes,
                n_categories,
            } => {
                let first = range_of(codes, piece).start;
                scan_numbers(codes, piece, scratch, &mut found, |found, values| {
                    for i in 0..values.len() {
                        let code = match values.get(i) {
                            NumericValue::Signed(code) => code,
                            NumericValue::Unsigned(code) => i64::try_from(code).unwrap_or(i64::MAX),
                            // Columns with other codes do not open.
                            _ => continue,
                        };
                        match check_code(codes, code, *n_categories) {
                            Ok(Some(_)) => {}
                            Ok(None) => found.counts.missing += 1,
                            Err(error) => found.fault(|| in_row(error, first + i as u64)),
                        }
                    }
                });
            }
        }
        found
    }
}

/// Returns the same error with its row.
fn in_row(error: Error, row: u64) -> Error {
    match error.kind() {
        ErrorKind::Invalid { expected, found } => Error::invalid(
            error.file(),
            error.element(),
            expected.as_str(),
            format!("{found} in row {row}"),
        ),
        _ => error,
    }
}

/// The number of elements of a 1-D array between two borders: those of a chunk, if chunks are
/// decoded.
pub(super) fn border(array: &Array) -> u64 {
    match array.is_direct() {
        true => STEP_ELEMENTS,
        false => array.chunk_shape().first().copied().unwrap_or(1),
    }
}

fn range_of(array: &Array, piece: u64) -> Range<u64> {
    let start = piece.saturating_mul(border(array));
    start..start.saturating_add(border(array)).min(array.len())
}

/// The rows of a part of a chunk, and the number of parts: more than one if rows can be read
/// separately.
fn parts_of_chunk(array: &Array) -> (u64, u64) {
    let chunk = array.chunk_shape();
    let Some((&n_rows, row)) = chunk.split_first() else {
        return (1, 1);
    };
    if !array.is_direct() {
        return (n_rows, 1);
    }
    let item = array.dtype().map_or(1, |dtype| dtype.size()) as u64;
    let row_bytes = row.iter().product::<u64>().saturating_mul(item);
    let rows = (PIECE_BYTES / row_bytes.max(1)).clamp(1, n_rows);
    (rows, n_rows.div_ceil(rows))
}

fn scan_dense(array: &Array, piece: u64, scratch: &mut Scratch, found: &mut Findings) {
    let (n_rows, n_parts) = parts_of_chunk(array);
    let (chunk, part) = (piece / n_parts, piece % n_parts);
    let grid = &array.parts().grid;
    let first = grid.coords(chunk)[0] * grid.chunk[0];
    let last = (first + grid.chunk[0]).min(grid.shape[0]);
    let start = first + part * n_rows;
    let rows = start..(start + n_rows).min(last);
    if rows.is_empty() {
        return;
    }
    if part == 0 {
        found.look_for(array, chunk);
    }
    let buffers = Buffers {
        reader: &mut scratch.first,
        bytes: &mut scratch.first_bytes,
    };
    let read = array.read_chunk_rows(chunk, rows, buffers, &mut |run| found.count(run, false));
    if let Err(error) = read {
        found.fault(|| error);
    }
}

fn scan_numbers(
    array: &Array,
    piece: u64,
    scratch: &mut Scratch,
    found: &mut Findings,
    look: impl FnOnce(&mut Findings, ValuesRef<'_>),
) {
    let range = range_of(array, piece);
    let read = array.number_type().and_then(|dtype| {
        let bytes = array.read_or_view(range, &mut scratch.first, &mut scratch.first_bytes)?;
        Ok(ValuesRef::from_bytes(dtype, bytes))
    });
    match read {
        Ok(values) => look(found, values),
        Err(error) => found.fault(|| error),
    }
}

fn scan_texts(array: &Array, range: Range<u64>, found: &mut Findings) {
    found.look_for_range(array, &range);
    let rows: Vec<u64> = range.collect();
    let Err(error) = array.read_string_rows(&rows) else {
        return;
    };
    if !array.is_direct() || !matches!(error.kind(), ErrorKind::Invalid { .. }) {
        return found.fault(|| error);
    }
    // Find the faulty rows among those that can be read one by one.
    for &row in &rows {
        if let Err(error) = array.read_string_rows(&[row]) {
            found.fault(|| in_row(error, row));
        }
    }
}
