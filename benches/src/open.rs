//! Opening: time, and memory that stays.

use std::time::Instant;

use serde_json::json;

use crate::Failure;
use crate::memory;
use crate::repeat::Repeat;
use crate::task::Source;

pub(crate) fn run(source: &Source, repeat: &Repeat) -> Result<(), Failure> {
    // Memory is told of the first opening only: later ones reuse what it left behind.
    let mut first = true;
    repeat.each(&json!({ "question": "open" }), |request| {
        let before = memory::anonymous();
        let start = Instant::now();
        let cells = source.open()?;
        let seconds = start.elapsed().as_secs_f64();
        let grown = memory::anonymous()
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before));
        let n_obs = cells.n_obs();
        let mut report = json!({
            "seed": request.seed,
            "rows": n_obs,
            "n_stores": cells.n_stores(),
            "seconds": seconds,
            "opens_per_second": 1.0 / seconds,
        });
        if std::mem::take(&mut first) {
            report["bytes_per_cell"] = json!(grown.map(|bytes| bytes as f64 / n_obs as f64));
            report["peak_rss_bytes"] = json!(memory::peak());
        }
        Ok(report)
    })
}
