//! Undoes what a writer did to the bytes of one chunk: HDF5 filters, zarr codecs.
//!
//! Takes encoded bytes. Fills the caller's slice with exactly as many decoded bytes as it holds.
//! Each codec has its own file; `codec.rs` lists them, `pipeline.rs` undoes several in turn:
//!
//! ```text
//! stored bytes ─▶ codec n ─▶ scratch a ─▶ codec n-1 ─▶ scratch b ─▶ … ─▶ codec 0 ─▶ output
//! ```
//!
//! The bytes are untrusted: every length in them is compared with the expected one before it is
//! used, and nothing is allocated beyond the expected size and its checksums. Two compressors in a
//! row have a limit of their own, see [`CodecPipeline::decode`]. The Blosc library takes a buffer
//! of two blocks during a call, and refuses a block longer than the output; bzip2 takes up to 4
//! MiB, xz up to 64 MiB.

mod blosc;
mod checksum;
mod codec;
mod deflate;
mod elements;
mod error;
mod lz4;
mod lzf;
mod pipeline;
mod scratch;
mod shuffle;
mod streams;
#[cfg(test)]
mod tests;

pub(crate) use checksum::Sum;
pub(crate) use codec::Codec;
pub(crate) use elements::{Elements, Step, StoredType};
pub(crate) use error::DecodeError;
pub(crate) use pipeline::CodecPipeline;
pub(crate) use scratch::Scratch;

fn check_len(codec: &'static str, expected: usize, found: usize) -> Result<(), DecodeError> {
    if expected == found {
        return Ok(());
    }
    Err(DecodeError::Length {
        codec,
        expected,
        found,
    })
}

/// Returns the first `found` bytes of `out`, or an error if it has fewer.
fn head_of<'a>(
    codec: &'static str,
    out: &'a mut [u8],
    found: usize,
) -> Result<&'a mut [u8], DecodeError> {
    let expected = out.len();
    out.get_mut(..found).ok_or(DecodeError::Length {
        codec,
        expected,
        found,
    })
}

fn copy(codec: &'static str, data: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    head_of(codec, out, data.len())?.copy_from_slice(data);
    Ok(data.len())
}
