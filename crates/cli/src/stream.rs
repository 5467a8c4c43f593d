//! `stream`: epochs of batches, and how fast they come.

use std::io::Write;
use std::time::{Duration, Instant};

use mapped_anndata::io::{Scalar, ValuesRef, with_dtype};
use mapped_anndata::{
    Batch, BatchColumn, LoaderOptions, MISSING_CODE, MappedCollection, Matrix, RowLocation, Shuffle,
};
use serde::Serialize;

use crate::Result;
use crate::args::StreamArgs;
use crate::cache::{self, CachedLine};
use crate::effort::{Counts, Entropy, LabelEntropy};
use crate::escape::escape;
use crate::info::write_summary;
use crate::json::{Number, write_line};
use crate::opened::Opened;
use crate::output::OutputArg;
use crate::progress::{Progress, before_epochs};
use crate::text;

/// The most rows of the first batch that are shown.
const N_ROWS: usize = 5;

pub(crate) fn run(args: &StreamArgs, json: bool, out: &mut impl Write) -> Result<()> {
    let opened = Opened::open(&args.paths, &args.collection)?;
    let cells = &opened.cells;
    let mut options = LoaderOptions::new(args.batch_size)
        .shuffle(args.shuffle)
        .seed(args.seed)
        .workers(args.workers)
        .memory(args.memory)
        .rank(args.rank, args.world_size);
    options = args.output.apply(options)?;
    if let Some(sampler) = &args.sampler {
        options = options.sampler(sampler.make(cells)?);
    }
    before_epochs(cells)?;
    let batches = cells.loader(options)?;
    let mut entropy = Entropy::new(cells);
    if !json {
        write_summary(&opened, out)?;
        writeln!(out, "\n{}", order_text(args))?;
        out.flush()?;
    }

    let mut sum = opened
        .layers
        .first()
        .filter(|_| json && args.output.layout() != OutputArg::Tokens)
        .map(|layer| Sum { layer, value: 0.0 });
    let mut first = None;
    let mut first_batch_seconds = None;
    let counts = Counts::of(cells);
    let epoch_rows = (cells.n_obs() / args.world_size) as u64;
    let mut progress = Progress::new(epoch_rows.saturating_mul(args.epochs));
    let (mut rows, mut n_batches) = (0, 0);
    let start = Instant::now();
    for epoch in 0..args.epochs {
        let start = Instant::now();
        let before = (rows, n_batches);
        for batch in batches.epoch(epoch) {
            let batch = batch?;
            first_batch_seconds.get_or_insert_with(|| start.elapsed().as_secs_f64());
            rows += batch.n_obs() as u64;
            n_batches += 1;
            entropy.add(&batch);
            if let Some(sum) = &mut sum {
                sum.add(&batch);
            }
            progress.advance(batch.n_obs() as u64);
            if first.is_none() && !json {
                first = Some(batch);
            }
        }
        if json {
            let speed = Speed::new(rows - before.0, n_batches - before.1, start.elapsed());
            write_line(out, &EpochLine { epoch, speed })?;
            out.flush()?;
        }
    }
    let speed = Speed::new(rows, n_batches, start.elapsed());
    drop(progress);
    if json {
        let summary = Summary {
            speed,
            first_batch_seconds,
            peak_rss_bytes: peak_rss_bytes(),
            counts: Counts::of(cells).since(&counts),
            label_entropy: entropy.result(cells, args.batch_size)?,
            x_sum: sum.map(|sum| Number::f64(sum.value)),
            cached: cells.cached().map(CachedLine::from),
        };
        return Ok(write_line(out, &summary)?);
    }
    if let Some(batch) = first {
        write_batch(cells, &batch, out)?;
    }
    writeln!(out, "\n{}", speed.in_words())?;
    if let Some(seconds) = first_batch_seconds {
        writeln!(out, "the first batch came after {seconds:.3} s")?;
    }
    writeln!(out, "{}", Counts::of(cells).since(&counts).in_words())?;
    if let Some(cached) = cells.cached() {
        writeln!(out, "{}", cache::in_words(&cached))?;
    }
    if let Some(entropy) = entropy.result(cells, args.batch_size)? {
        writeln!(out, "{}", entropy.in_words())?;
    }
    if opened.is_demo() {
        writeln!(
            out,
            "with files of your own: mapped-anndata stream a.h5ad b.zarr --obs cell_type"
        )?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Speed {
    rows: u64,
    batches: u64,
    seconds: f64,
    rows_per_second: f64,
}

#[derive(Serialize)]
struct EpochLine {
    epoch: u64,
    #[serde(flatten)]
    speed: Speed,
}

#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    speed: Speed,
    first_batch_seconds: Option<f64>,
    peak_rss_bytes: Option<u64>,
    #[serde(flatten)]
    counts: Counts,
    label_entropy: Option<LabelEntropy>,
    x_sum: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<CachedLine>,
}

impl Speed {
    fn new(rows: u64, batches: u64, took: Duration) -> Speed {
        let seconds = took.as_secs_f64();
        let rows_per_second = if rows == 0 {
            0.0
        } else {
            rows as f64 / seconds.max(1e-9)
        };
        Speed {
            rows,
            batches,
            seconds,
            rows_per_second,
        }
    }

    fn in_words(&self) -> String {
        let (rows, batches) = (self.rows as usize, self.batches as usize);
        format!(
            "{} in {} took {:.3} s: {} rows a second",
            text::count(rows, "row"),
            if batches == 1 {
                "1 batch".to_owned()
            } else {
                text::count(batches, "batche")
            },
            self.seconds,
            text::thousands(self.rows_per_second.round() as u64)
        )
    }
}

/// The sum of all elements of a layer that were streamed.
struct Sum<'a> {
    layer: &'a str,
    value: f64,
}

impl Sum<'_> {
    fn add(&mut self, batch: &Batch) {
        if let Some(matrix) = batch.matrix(self.layer) {
            self.value += sum(matrix.values().as_slice());
        }
    }
}

/// The sum in double precision, in lanes that the processor adds side by side.
fn sum(values: ValuesRef<'_>) -> f64 {
    with_dtype!(values.dtype(), T => {
        let typed = <T as Scalar>::from_slice(values).unwrap_or_default();
        let mut lanes = [0.0; 8];
        let (chunks, rest) = typed.as_chunks::<8>();
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += f64::cast_from(value);
            }
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|&value| f64::cast_from(value)).sum::<f64>()
    })
}

/// The most memory that the process ever held, if the system reports it.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn order_text(args: &StreamArgs) -> String {
    let order = match (&args.sampler, args.shuffle) {
        (Some(sampler), _) => sampler.text(),
        (None, Shuffle::None) => "in file order".to_owned(),
        (None, Shuffle::Exact) => format!("shuffled with seed {}", args.seed),
        (None, Shuffle::Blocks { rows }) => {
            format!("shuffled by blocks of {rows} with seed {}", args.seed)
        }
        (None, other) => format!("shuffled as {other:?} with seed {}", args.seed),
    };
    let output = match args.output.layout() {
        OutputArg::Csr => "CSR",
        OutputArg::Dense => "dense",
        OutputArg::Tokens => "tokens",
    };
    let epochs = text::count(args.epochs as usize, "epoch");
    format!(
        "{epochs} in batches of {}, {order}, {output}",
        text::thousands(args.batch_size as u64)
    )
}

/// The contents of a batch, and its first rows.
fn write_batch(cells: &MappedCollection, batch: &Batch, out: &mut impl Write) -> Result<()> {
    writeln!(out, "\nthe first batch")?;
    for (name, matrix) in &batch.matrices {
        writeln!(out, "  {}: {}", escape(name), matrix_text(matrix))?;
    }
    for (name, column) in &batch.obs {
        writeln!(out, "  {}: {}", escape(name), column_text(column))?;
    }
    let n_rows = batch.n_obs().min(N_ROWS);
    writeln!(out, "\nits first {}", text::count(n_rows, "row"))?;
    for row in 0..n_rows {
        let labels = batch.obs.iter().map(|(name, column)| {
            let label = label_text(cells, name, column, row);
            format!(", {} {label}", escape(name))
        });
        let RowLocation {
            store,
            row: in_file,
        } = batch.location(row);
        writeln!(
            out,
            "  store {store}, row {in_file}{}",
            labels.collect::<String>()
        )?;
    }
    Ok(())
}

fn matrix_text(matrix: &Matrix) -> String {
    let layout = match matrix {
        Matrix::Dense { .. } => "dense",
        Matrix::Csr { .. } => "CSR",
    };
    let shape = matrix.shape();
    let share = text::nonzero(matrix.values().as_slice(), shape.iter().product());
    format!("{layout} {shape:?} {}, {share}", matrix.dtype())
}

fn column_text(column: &BatchColumn) -> String {
    match column {
        BatchColumn::Codes(codes) => format!("codes [{}] int64", codes.len()),
        BatchColumn::Numbers { values, .. } => format!("[{}] {}", values.len(), values.dtype()),
        BatchColumn::Texts(texts) => format!("[{}] texts", texts.len()),
    }
}

fn label_text(cells: &MappedCollection, name: &str, column: &BatchColumn, row: usize) -> String {
    match column {
        BatchColumn::Codes(codes) if codes[row] == MISSING_CODE => text::MISSING.to_owned(),
        BatchColumn::Codes(codes) => text::code(cells.encoder(name), codes[row]),
        BatchColumn::Numbers { valid, .. } if !valid[row] => text::MISSING.to_owned(),
        BatchColumn::Numbers { values, .. } => {
            text::or_missing(text::number(values.as_slice(), row))
        }
        BatchColumn::Texts(texts) => match &texts[row] {
            Some(label) => text::label(label).into_owned(),
            None => text::MISSING.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use mapped_anndata::{MemoryStore, Values};

    use super::*;

    fn cells() -> MappedCollection {
        let store = MemoryStore::new("a")
            .dataframe("obs", &["c1", "c2", "c3"])
            .categorical("obs/cell_type", vec![1, 0, -1], &["B", "T"])
            .dataframe("var", &["G", "H"])
            .csr(
                "X",
                [3, 2],
                vec![0, 1, 1, 3],
                vec![0, 0, 1],
                Values::F32(vec![1.5, 2.0, 0.0]),
            );
        MappedCollection::builder([store])
            .obs(["cell_type"])
            .open()
            .unwrap()
    }

    #[test]
    fn batch_is_put_in_words() {
        let batch = cells().get_batch(&[2, 1, 0]).unwrap();
        let mut out = Vec::new();
        write_batch(&cells(), &batch, &mut out).unwrap();
        let expected = "
the first batch
  X: dense [3, 2] float32, 33.3% nonzero
  cell_type: codes [3] int64

its first 3 rows
  store 0, row 2, cell_type (missing)
  store 0, row 1, cell_type 0 (B)
  store 0, row 0, cell_type 1 (T)
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn sum_takes_every_element_once() {
        let values: Vec<u16> = (0..100).collect();
        assert_eq!(sum(ValuesRef::U16(&values)), 4950.0);
        assert_eq!(sum(ValuesRef::F32(&[0.5; 13])), 6.5);
        assert_eq!(sum(ValuesRef::I8(&[])), 0.0);
        let mut total = Sum {
            layer: "X",
            value: 0.0,
        };
        total.add(&cells().get_batch(&[0, 2, 2]).unwrap());
        assert_eq!(total.value, 5.5);
    }

    #[test]
    fn speed_without_rows_is_none() {
        let speed = Speed::new(0, 0, Duration::ZERO);
        assert_eq!(speed.rows_per_second, 0.0);
        let speed = Speed::new(3000, 6, Duration::from_millis(500));
        assert_eq!(
            speed.in_words(),
            "3,000 rows in 6 batches took 0.500 s: 6,000 rows a second"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_known() {
        assert!(peak_rss_bytes().unwrap() > 100_000);
    }
}
