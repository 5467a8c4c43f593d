//! How often each code of an encoded key is there, by what is in memory.

use crate::collection::MappedCollection;
use crate::plan::ObsColumn;

/// How many rows have each code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodeCounts {
    /// The codes that rows have, each with their number, in the order of their first rows.
    pub counts: Vec<(i64, u64)>,
    /// Rows without a label.
    pub missing: u64,
}

impl MappedCollection {
    /// Counts the codes of an encoded key over the rows that passed the filter; `None` when the key
    /// is not encoded. No file is read.
    pub fn code_counts(&self, key: &str) -> Option<CodeCounts> {
        let plan = self.plan();
        let number = plan.obs.iter().position(|obs| obs.name == key)?;
        let encoder = plan.obs[number].encoder.as_ref()?;
        // The unknown label, -1, is the first of all.
        let mut counts = vec![0; encoder.n_classes() + 1];
        let (mut order, mut missing) = (Vec::new(), 0);
        for store in &plan.stores {
            let Some(ObsColumn::Labels { codes, encoded, .. }) = &store.columns[number] else {
                missing += store.rows.len() as u64;
                continue;
            };
            for index in 0..store.rows.len() {
                let label = codes.get(store.rows.get(index) as usize);
                let code = label.and_then(|label| encoded[label as usize]);
                let Some(code) = code else {
                    missing += 1;
                    continue;
                };
                let count = &mut counts[(code + 1) as usize];
                if *count == 0 {
                    order.push(code);
                }
                *count += 1;
            }
        }
        let of = |code: i64| (code, counts[(code + 1) as usize]);
        Some(CodeCounts {
            counts: order.into_iter().map(of).collect(),
            missing,
        })
    }
}
