//! Random words: the same for a seed on every platform, and in every later release.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What random words are drawn for, in 16 ASCII bytes.
pub(crate) type Domain = [u8; 16];

/// ChaCha with 8 rounds, at stream `stream` of the key whose 32 bytes are: the seed (8 bytes,
/// little-endian), the epoch (8 bytes, little-endian), and the domain.
pub(crate) fn generator(seed: u64, epoch: u64, domain: &Domain, stream: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..].copy_from_slice(domain);
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(stream);
    rng
}

/// The [`generator`] of a row of a file, whose stream is `store * 2^32 + row`: the same whatever is
/// read before it, and by whom.
pub(crate) fn generator_of_row(
    seed: u64,
    epoch: u64,
    domain: &Domain,
    (store, row): (u32, u32),
) -> ChaCha8Rng {
    generator(
        seed,
        epoch,
        domain,
        (u64::from(store) << 32) | u64::from(row),
    )
}

/// A uniform number in `[0, 1)`, in steps of 2^-53.
pub(crate) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}
