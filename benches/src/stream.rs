//! Epochs of batches.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use mapped_collection::{LoaderOptions, MappedCollection, Sampler, Shuffle};
use serde_json::json;

use crate::Failure;
use crate::checksum::LABEL;
use crate::repeat::Repeat;
use crate::task::{OutputName, Source};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The order of rows: `file`, `exact`, or `blocks:ROWS`.
    #[arg(long, default_value = "exact")]
    order: Order,
    /// Which rows there are.
    #[arg(long, value_enum, default_value_t = SamplerName::All)]
    sampler: SamplerName,
    /// Rows a batch.
    #[arg(long, default_value_t = 512)]
    batch_size: usize,
    /// The layout of the matrix.
    #[arg(long, value_enum, default_value_t = OutputName::Dense)]
    output: OutputName,
    /// Threads that read ahead; by default, the library's choice.
    #[arg(long)]
    workers: Option<usize>,
    /// MiB for rows and chunks in flight; by default, the library's choice.
    #[arg(long)]
    memory_mib: Option<usize>,
    /// Which epochs of a loader are timed.
    #[arg(long, value_enum, default_value_t = Epochs::First)]
    epochs: Epochs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Epochs {
    /// The first one: every repetition makes a new loader, which has nothing in memory, and first
    /// empties the cache folder (not timed).
    First,
    /// All epochs of one loader; the first repetition reads the files.
    Later,
}

#[derive(Debug, Clone, Copy)]
struct Order(Shuffle);

impl FromStr for Order {
    type Err = String;

    fn from_str(name: &str) -> Result<Order, String> {
        let shuffle = match name.split_once(':') {
            None if name == "file" => Some(Shuffle::None),
            None if name == "exact" => Some(Shuffle::Exact),
            Some(("blocks", rows)) => rows.parse().ok().map(|rows| Shuffle::Blocks { rows }),
            _ => None,
        };
        shuffle
            .map(Order)
            .ok_or_else(|| "expected `file`, `exact`, or `blocks:ROWS`".to_owned())
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SamplerName {
    /// Each row once.
    All,
    /// As many draws as there are rows, with replacement, each label as likely as the others.
    Weighted,
}

impl Options {
    fn batch_options(&self, cells: &MappedCollection) -> Result<LoaderOptions, Failure> {
        let sampler = match self.sampler {
            SamplerName::All => Sampler::All,
            SamplerName::Weighted => {
                let weights = cells.label_weights([LABEL])?.weights(None).into();
                Sampler::Weighted {
                    weights,
                    n_samples: None,
                    replacement: true,
                }
            }
        };
        let mut options = LoaderOptions::new(self.batch_size)
            .shuffle(self.order.0)
            .sampler(sampler)
            .output(self.output.into());
        if let Some(workers) = self.workers {
            options = options.workers(workers);
        }
        if let Some(mib) = self.memory_mib {
            options = options.memory(mib << 20);
        }
        Ok(options)
    }
}

pub(crate) fn run(source: &Source, repeat: &Repeat, options: &Options) -> Result<(), Failure> {
    let mut cells = source.open()?;
    let new_loader = |cells: &MappedCollection| {
        let loader = cells.loader(options.batch_options(cells)?);
        loader.map_err(Failure::from)
    };
    let mut loader = new_loader(&cells)?;
    let about = json!({ "question": "stream", "n_obs": cells.n_obs(), "n_vars": cells.n_vars() });
    repeat.run(&about, |request| {
        if options.epochs == Epochs::First {
            if let Some(cache) = cells.io().cache() {
                cache.clear()?;
                cells = source.open()?;
            }
            loader = new_loader(&cells)?;
        }
        let decoded = cells.io().decoded_chunks();
        let mut meter = request.start();
        for batch in loader.epoch(request.seed) {
            let batch = batch?;
            let rows = batch.n_obs();
            meter.deliver(batch, rows, |sum, batch| sum.batch(batch))?;
            if meter.is_over() {
                break;
            }
        }
        meter.note("decoded_chunks", cells.io().decoded_chunks() - decoded);
        Ok(meter)
    })
}
