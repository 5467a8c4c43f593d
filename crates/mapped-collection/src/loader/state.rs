//! Where an epoch stands, and what tells whether it can go on there.

use serde::{Deserialize, Serialize};

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::loader::options::BatchOptions;
use crate::order::{Sampler, Shuffle};

/// Where an epoch stands: enough to go on at the next batch, in another process and with another
/// batch size or number of ranks. All numbers are below 2^63.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderState {
    /// The epoch.
    pub epoch: u64,
    /// Rows of the order that all ranks together have had.
    pub rows: u64,
    /// The seed of the order.
    pub seed: u64,
    /// What the order was made of: the data, the sampler, the shuffle. Paths are not part of it.
    pub fingerprint: u64,
    /// A hash of the rows that a sampler [drew](Sampler::Drawn) for this epoch; `None` for other
    /// samplers, and before the first batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<u64>,
}

/// Names of at most so many rows tell one collection from another of the same shape.
const NAMES: usize = 1024;

/// FNV-1a.
pub(crate) struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn word(&mut self, word: u64) {
        self.bytes(&word.to_le_bytes());
    }

    /// Below 2^63: many formats of checkpoints have no larger integers.
    fn finish(self) -> u64 {
        self.0 >> 1
    }
}

/// A hash of the data: shapes, kept rows, and the names of some.
///
/// # Errors
/// When obs names cannot be read.
pub(crate) fn of_data(collection: &MappedCollection) -> Result<u64, Error> {
    let mut hash = Hash::new();
    for store in &collection.plan().stores {
        hash.word(store.n_file_obs.into());
        hash.word(store.rows.len() as u64);
        hash.word(store.n_vars);
    }
    let n_obs = collection.n_obs();
    let n_names = n_obs.min(NAMES);
    // In 128 bits, the product cannot overflow.
    let position = |i: usize| (i as u128 * n_obs as u128 / n_names as u128) as i64;
    let rows: Vec<i64> = (0..n_names).map(position).collect();
    for name in collection.obs_names(&rows)? {
        hash.word(name.len() as u64);
        hash.bytes(name.as_bytes());
    }
    Ok(hash.finish())
}

/// A hash of all that an epoch's order depends on, besides the seed.
pub(crate) fn fingerprint(data: u64, options: &BatchOptions) -> u64 {
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
            rows.iter().for_each(|&row| hash.word(row.into()));
        }
        Sampler::Weighted {
            weights,
            n_samples,
            replacement,
        } => {
            hash.word(2 + u64::from(*replacement));
            hash.word(n_samples.map_or(u64::MAX, |n| n as u64));
            weights
                .iter()
                .for_each(|weight| hash.word(weight.to_bits()));
        }
        Sampler::Drawn(_) => hash.word(4),
    }
    hash.finish()
}

/// A hash of rows that were drawn for one epoch; `None` for samplers that need none.
pub(crate) fn of_drawn(sampler: &Sampler) -> Option<u64> {
    let Sampler::Drawn(rows) = sampler else {
        return None;
    };
    let mut hash = Hash::new();
    rows.iter().for_each(|&row| hash.word(row.into()));
    Some(hash.finish())
}
