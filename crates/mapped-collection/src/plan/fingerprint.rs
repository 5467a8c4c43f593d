//! A hash that distinguishes the data of one collection from that of another.

use crate::error::read::ReadError;
use crate::plan::Plan;

/// The most rows whose names are hashed. They distinguish collections of the same shape.
const NAMES: usize = 1024;

/// FNV-1a.
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.bytes(&word.to_le_bytes());
    }

    pub(crate) fn rows(&mut self, rows: &[u32]) {
        rows.iter().for_each(|&row| self.word(row.into()));
    }

    pub(crate) fn floats(&mut self, floats: &[f64]) {
        floats.iter().for_each(|float| self.word(float.to_bits()));
    }

    /// Keeps the hash below 2^63: many checkpoint formats have no larger integers.
    pub(crate) fn finish(self) -> u64 {
        self.0 >> 1
    }
}

impl Plan {
    /// A hash of the data: shapes, kept rows, and the names of some rows. The first call reads the
    /// names.
    ///
    /// # Errors
    /// When obs names cannot be read.
    pub(crate) fn fingerprint(&self) -> Result<u64, ReadError> {
        let hash = || Ok(Box::new(self.hash()?));
        self.fingerprint.get_or_try_init(hash).copied()
    }

    fn hash(&self) -> Result<u64, ReadError> {
        let mut hash = Hash::new();
        for store in &self.stores {
            hash.word(store.n_file_obs.into());
            hash.word(store.rows.len() as u64);
            hash.word(store.n_vars);
        }
        let n_obs = self.n_obs();
        let n_names = n_obs.min(NAMES);
        // In 128 bits, the product cannot overflow.
        let position = |i: usize| (i as u128 * n_obs as u128 / n_names as u128) as usize;
        let rows: Vec<usize> = (0..n_names).map(position).collect();
        for name in self.obs_names(&rows)? {
            hash.word(name.len() as u64);
            hash.bytes(name.as_bytes());
        }
        Ok(hash.finish())
    }
}
