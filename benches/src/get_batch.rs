//! Many rows a call, at random.

use clap::Args;
use mapped_collection::BatchFormat;
use serde_json::json;

use crate::Failure;
use crate::repeat::Repeat;
use crate::task::{OutputName, Source, random_row};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rows a call.
    #[arg(long, default_value_t = 512)]
    batch_size: u64,
    /// The layout of the matrix.
    #[arg(long, value_enum, default_value_t = OutputName::Dense)]
    output: OutputName,
}

pub(crate) fn run(source: &Source, repeat: &Repeat, options: &Options) -> Result<(), Failure> {
    let cells = source.open()?;
    let n_obs = cells.n_obs();
    let format = BatchFormat::new().output(options.output.into());
    let about = json!({ "question": "get_batch", "n_obs": n_obs, "n_vars": cells.n_vars() });
    repeat.run(&about, |request| {
        let mut meter = request.start();
        for start in (0..).step_by(options.batch_size as usize) {
            if meter.is_over() {
                break;
            }
            let numbers = start..start + options.batch_size;
            let rows: Vec<i64> = numbers
                .map(|number| random_row(request.seed, number, n_obs))
                .collect();
            let batch = cells.get_batch_with(&rows, &format)?;
            meter.deliver(batch, rows.len(), |sum, batch| sum.batch(batch))?;
        }
        Ok(meter)
    })
}
