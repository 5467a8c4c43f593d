//! The last steps of any dense loader, alone: zero a row, scatter a cell's values into it through
//! a gene map. Decoding is timed in `ceiling.py`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use feature_join::{Join, JointVars, VarNames};
use serde_json::json;

use crate::Failure;
use crate::repeat::Repeat;
use crate::task::random_row;

const GENES: u64 = 20_000;
const SHARED: u64 = 16_350;
const NONZEROS: u64 = 1_000;
const BATCH: usize = 512;

pub(crate) fn run(repeat: &Repeat) -> Result<(), Failure> {
    // Two stores that share SHARED genes, the second in another order.
    let first: VarNames = (0..GENES).map(|gene| gene.to_string()).collect();
    let step = 7_919; // a prime: its multiples visit every gene
    let second: VarNames = (0..GENES)
        .map(|gene| (gene * step % GENES + (GENES - SHARED)).to_string())
        .collect();
    let joint = JointVars::new(Some(Join::Inner), &[Arc::new(first), Arc::new(second)])?;
    let map = &joint.maps()[1];
    let width = joint.n_vars().ok_or("an inner join has variables")?;

    let mut columns: Vec<u32> = (0..NONZEROS)
        .map(|k| random_row(0, k, GENES as usize) as u32)
        .collect();
    columns.sort_unstable();
    columns.dedup();
    let values = vec![1.0_f32; columns.len()];
    let mut batch = vec![0.0_f32; BATCH * width];
    let about = json!({ "question": "ceiling", "n_vars": width, "nonzeros": columns.len() });
    repeat.each(&about, |request| {
        let start = Instant::now();
        let mut rows = 0_u64;
        while start.elapsed().as_secs_f64() < 0.5 {
            for row in batch.chunks_exact_mut(width) {
                row.fill(0.0);
                map.scatter_sparse(&columns, &values, row, |value| value)?;
            }
            black_box(&mut batch);
            rows += BATCH as u64;
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(json!({
            "seed": request.seed,
            "rows": rows,
            "seconds": seconds,
            "rows_per_second": rows as f64 / seconds,
        }))
    })
}
