//! Where an epoch stands, and the hash that shows whether it can continue there.

use serde::{Deserialize, Serialize};

use crate::loader::options::LoaderOptions;
use crate::order::Shuffle;
use crate::order::sampler::Sampler;
use crate::plan::fingerprint::Hash;

/// Where an epoch stands. It is enough to continue at the next batch, even in another process or
/// with another batch size or number of ranks. All numbers are below 2^63.
///
/// ```
/// use mapped_collection::{LoaderOptions, LoaderState};
///
/// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
/// let loader = cells.loader(LoaderOptions::new(2))?;
/// let json = serde_json::to_string(&loader.epoch_start(1)?)?;
/// let state: LoaderState = serde_json::from_str(&json)?;
/// assert_eq!(state.epoch, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
// Exhaustive: callers that keep states in a form of their own make them from it.
pub struct LoaderState {
    /// The number of the epoch.
    pub epoch: u64,
    /// The number of rows of the order that all ranks together have had.
    pub rows: u64,
    /// The seed of the order.
    pub seed: u64,
    /// A hash of the inputs of the order: the data, the sampler and the shuffle. Paths are not part
    /// of it.
    pub fingerprint: u64,
    /// A hash of the rows that a sampler [drew](Sampler::Drawn) for this epoch; `None` for other
    /// samplers, and before the first batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<u64>,
}

/// A hash of everything that an epoch's order depends on, except the seed.
pub(crate) fn order_fingerprint(data: u64, options: &LoaderOptions) -> u64 {
    let mut hash = Hash::new();
    hash.word(data);
    match options.shuffle {
        Shuffle::None => hash.word(0),
        Shuffle::Exact => hash.word(1),
        Shuffle::Blocks { rows } => {
            hash.word(2);
            hash.word(rows as u64);
        }
    }
    match &options.sampler {
        Sampler::All => hash.word(0),
        Sampler::Rows(rows) => {
            hash.word(1);
            hash.rows(rows);
        }
        Sampler::Weighted {
            weights,
            n_samples,
            replacement,
        } => {
            hash.word(2 + u64::from(*replacement));
            hash.word(n_samples.map_or(u64::MAX, |n| n as u64));
            hash.floats(weights);
        }
        Sampler::Drawn(_) => hash.word(4),
        Sampler::Mixture { groups, n_samples } => {
            hash.word(5);
            hash.word(*n_samples as u64);
            for group in groups.iter() {
                hash.word(group.share.to_bits());
                hash.word(group.rows.len() as u64);
                hash.rows(&group.rows);
                hash.floats(group.weights.as_deref().unwrap_or_default());
            }
        }
    }
    if let Some(matched) = &options.matched {
        matched.words().for_each(|word| hash.word(word));
    }
    hash.finish()
}

/// A hash of the rows that were drawn for one epoch; `None` for other samplers.
pub(crate) fn of_drawn(sampler: &Sampler) -> Option<u64> {
    let Sampler::Drawn(rows) = sampler else {
        return None;
    };
    let mut hash = Hash::new();
    hash.rows(rows);
    Some(hash.finish())
}
