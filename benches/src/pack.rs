//! Packed rows: their size, and how fast one thread packs them and reads them at random.

use std::path::PathBuf;
use std::time::Instant;

use anndata_io::{AnnDataFile, DType, LayerKey, ReadScratch, RowSink, Scalar, ValuesRef};
use clap::{Args, ValueEnum};
use row_pack::{Level, Pack, PackBuilder};
use serde_json::json;

use crate::Failure;
use crate::repeat::Repeat;

/// The rows of a batch.
const BATCH: usize = 512;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A file whose X is sparse, of float32 or float64.
    path: PathBuf,
    /// How tightly rows are packed.
    #[arg(long, value_enum, default_value = "bits")]
    level: LevelArg,
    /// The rows to pack, from the first on.
    #[arg(long, default_value_t = 20_000)]
    rows: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LevelArg {
    Bytes,
    Bits,
}

pub(crate) fn run(repeat: &Repeat, options: &Options) -> Result<(), Failure> {
    let x = AnnDataFile::open(&options.path)?.layer(&LayerKey::X)?;
    let x = x.ok_or("the file has no X")?;
    match x.dtype() {
        DType::F32 => run_as::<f32>(repeat, options, &x),
        DType::F64 => run_as::<f64>(repeat, options, &x),
        other => Err(format!("expected float32 or float64, found {other}").into()),
    }
}

/// Rows in memory.
struct Rows<T> {
    rows: Vec<(Vec<u32>, Vec<T>)>,
}

impl<T: Scalar> RowSink for Rows<T> {
    fn dense(&mut self, _row: usize, _start: usize, _values: ValuesRef<'_>) {
        unreachable!("X is sparse")
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.rows[row] = (columns.to_vec(), values.to_vec::<T>());
    }
}

fn run_as<T: Scalar + row_pack::Value>(
    repeat: &Repeat,
    options: &Options,
    x: &anndata_io::MatrixSource,
) -> Result<(), Failure> {
    if !x.is_sparse() {
        return Err("X is dense".into());
    }
    let n_rows = (x.n_rows() as usize).min(options.rows);
    let n_columns = x.shape()[1] as u32;
    let mut read = Rows::<T> {
        rows: vec![Default::default(); n_rows],
    };
    let numbers: Vec<u64> = (0..n_rows as u64).collect();
    x.read_rows(&numbers, &mut ReadScratch::default(), &mut read)?;
    let rows = read.rows;
    let nonzeros: usize = rows.iter().map(|(columns, _)| columns.len()).sum();
    let level = match options.level {
        LevelArg::Bytes => Level::Bytes,
        LevelArg::Bits => Level::Bits,
    };
    let about = json!({
        "question": "pack", "level": format!("{level:?}"), "dtype": T::DTYPE.name(),
        "rows": n_rows, "nonzeros": nonzeros,
    });
    repeat.each(&about, |request| {
        let start = Instant::now();
        let mut builder = PackBuilder::new::<T>(n_columns, level);
        for (columns, values) in &rows {
            builder.push(columns, values)?;
        }
        let pack = Pack::parse(builder.finish())?;
        let packing = start.elapsed().as_secs_f64();
        let order: Vec<usize> = mapped_collection::permutation(n_rows as u32, request.seed, 0)
            .iter()
            .map(|&row| row as usize)
            .collect();
        let csr = read_csr::<T>(&pack, &order)?;
        let dense = read_dense::<T>(&pack, &order)?;
        check(&pack, &rows)?;
        let rate = |seconds: f64| (nonzeros as f64 / seconds / 1e6).round();
        let rows_per_second = |seconds: f64| (n_rows as f64 / seconds).round();
        Ok(json!({
            "seed": request.seed,
            "bytes_per_nonzero": pack.as_bytes().len() as f64 / nonzeros as f64,
            "pack_mnnz_per_second": rate(packing),
            "csr_mnnz_per_second": rate(csr),
            "pack_rows_per_second": rows_per_second(packing),
            "csr_rows_per_second": rows_per_second(csr),
            "dense_rows_per_second": rows_per_second(dense),
        }))
    })
}

/// Reads batches of rows into the same two lists. Returns the seconds.
fn read_csr<T: row_pack::Value>(pack: &Pack<Vec<u8>>, order: &[usize]) -> Result<f64, Failure> {
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for batch in order.chunks(BATCH) {
        let mut at = 0;
        for &number in batch {
            let row = pack.row(number)?;
            let end = at + row.len();
            if columns.len() < end {
                columns.resize(2 * end, 0);
                values.resize(2 * end, T::default());
            }
            row.read(
                pack.n_columns(),
                &mut columns[at..end],
                &mut values[at..end],
            )?;
            at = end;
        }
        std::hint::black_box((&columns, &values));
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Reads batches of rows into the same dense matrix. Returns the seconds.
fn read_dense<T: row_pack::Value>(pack: &Pack<Vec<u8>>, order: &[usize]) -> Result<f64, Failure> {
    let mut dense = vec![T::default(); BATCH * pack.n_columns()];
    let start = Instant::now();
    for batch in order.chunks(BATCH) {
        for (&number, out) in batch.iter().zip(dense.chunks_exact_mut(pack.n_columns())) {
            out.fill(T::default());
            pack.row(number)?.scatter(None, out, |value: T| value)?;
        }
        std::hint::black_box(&dense);
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Compares every row with what was packed, bit for bit.
fn check<T: row_pack::Value>(
    pack: &Pack<Vec<u8>>,
    rows: &[(Vec<u32>, Vec<T>)],
) -> Result<(), Failure> {
    for (number, (columns, values)) in rows.iter().enumerate() {
        let (mut found, mut found_values) =
            (vec![0; columns.len()], vec![T::default(); columns.len()]);
        pack.row(number)?
            .read(pack.n_columns(), &mut found, &mut found_values)?;
        let bits = |values: &[T]| {
            values
                .iter()
                .map(|value| value.to_word())
                .collect::<Vec<_>>()
        };
        if found != *columns || bits(&found_values) != bits(values) {
            return Err(format!("row {number} is another one when it is read").into());
        }
    }
    Ok(())
}
