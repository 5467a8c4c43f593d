//! One row a call.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::Failure;
use crate::repeat::Repeat;
use crate::task::{Source, random_row};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which rows.
    #[arg(long, value_enum, default_value_t = Order::Random)]
    order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    /// At random, with replacement.
    Random,
    /// From the first on.
    Sequential,
}

pub(crate) fn run(source: &Source, repeat: &Repeat, options: &Options) -> Result<(), Failure> {
    let cells = source.open()?;
    let n_obs = cells.n_obs();
    let random = options.order == Order::Random;
    let about = json!({ "question": "items", "n_obs": n_obs, "n_vars": cells.n_vars() });
    repeat.run(&about, |request| {
        let mut meter = request.start();
        for number in 0.. {
            if meter.is_over() || !random && number == n_obs as u64 {
                break;
            }
            let row = if random {
                random_row(request.seed, number, n_obs)
            } else {
                number as i64
            };
            let item = cells.get(row)?;
            meter.deliver(item, 1, |sum, item| sum.item(item))?;
        }
        Ok(meter)
    })
}
