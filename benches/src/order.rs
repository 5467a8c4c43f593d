//! The order of an epoch of very many rows: time, and memory at the most.

use std::hint::black_box;
use std::time::Instant;

use clap::Args;
use mapped_collection::permutation;
use serde_json::json;

use crate::Failure;
use crate::memory::Watch;
use crate::repeat::Repeat;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rows to shuffle.
    #[arg(long, default_value_t = 100_000_000)]
    rows: u32,
}

pub(crate) fn run(repeat: &Repeat, options: &Options) -> Result<(), Failure> {
    repeat.each(&json!({ "question": "order" }), |request| {
        let memory = Watch::start();
        let start = Instant::now();
        let rows = black_box(permutation(options.rows, request.seed, 0)).len();
        let seconds = start.elapsed().as_secs_f64();
        Ok(json!({
            "seed": request.seed,
            "rows": rows,
            "seconds": seconds,
            "peak_own_bytes": memory.most(),
        }))
    })
}
