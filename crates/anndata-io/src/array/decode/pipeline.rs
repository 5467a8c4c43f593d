//! The codecs of an array, undone one after the other.

use super::codec::Codec;
use super::scratch::{Scratch, room};
use super::{DecodeError, check_len, copy};
use crate::limits::{DEFLATE_RATIO, FREE_TEXT_CHUNK_BYTES, MAX_PIPELINE_RATIO};

/// The codecs of an array, in the order in which a writer applied them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CodecPipeline {
    codecs: Vec<Codec>,
}

/// The buffer from which the next step reads.
#[derive(Clone, Copy)]
enum Buffer {
    Raw,
    A,
    B,
}

impl CodecPipeline {
    /// Makes a pipeline of `codecs`, in the order of writing.
    pub(crate) fn new(codecs: Vec<Codec>) -> Self {
        Self { codecs }
    }

    /// Whether chunks are stored unencoded.
    pub(crate) fn is_empty(&self) -> bool {
        self.codecs.is_empty()
    }

    /// Whether a checksum covers all stored bytes of a chunk with this mask.
    pub(crate) fn ends_in_checksum(&self, skip_mask: u32) -> bool {
        let mut applied = (0..self.codecs.len()).filter(|&i| is_applied(i, skip_mask));
        let last = applied.next_back().map(|i| self.codecs[i]);
        last.is_some_and(Codec::is_checksum)
    }

    /// The most bytes that an honest stored byte may become.
    pub(crate) fn best_ratio(&self) -> u64 {
        let ratios = self.codecs.iter().map(|codec| codec.best_ratio() as u64);
        ratios.fold(1, u64::saturating_mul).min(MAX_PIPELINE_RATIO)
    }

    /// Decodes the stored bytes `raw` of one chunk into `out`, whose length is that of the chunk.
    ///
    /// If bit `i` of `skip_mask` is set, codec `i` was not applied to this chunk. The codec that is
    /// undone last writes straight into `out`; the others write into `scratch`. After an error the
    /// contents of `out` are unspecified.
    ///
    /// The length after a codec is undone is known, unless another compressor was applied before
    /// it: the outer one may then decode to no more than twice the length of `out`, or 4 KiB if
    /// that is more. (A compressor that makes its input longer than that is not one to wrap in
    /// another.)
    ///
    /// # Errors
    /// Any [`DecodeError`], when `raw` is not the encoded form of that many bytes.
    pub(crate) fn decode(
        &self,
        raw: &[u8],
        skip_mask: u32,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<(), DecodeError> {
        let mut applied = (0..self.codecs.len()).filter(|&i| is_applied(i, skip_mask));
        let Some(first) = applied.next() else {
            return check_len("stored", out.len(), copy("stored", raw, out)?);
        };
        let (mut buffer, mut span) = (Buffer::Raw, 0..raw.len());
        for i in applied.rev().chain([first]) {
            let codec = self.codecs[i];
            let Scratch { a, b, tools } = scratch;
            let (source, spare, spare_buffer) = match buffer {
                Buffer::Raw => (raw, a, Buffer::A),
                Buffer::A => (a.as_slice(), b, Buffer::B),
                Buffer::B => (b.as_slice(), a, Buffer::A),
            };
            let source = &source[span.clone()];
            let expected = self.len_before(i, skip_mask, out.len());
            if i == first {
                span = 0..codec.undo(source, out, tools)?;
            } else if let Some(data) = codec.without_checksum(source) {
                let len = data?.len();
                span = match codec {
                    Codec::Checksum { at_start: true, .. } => span.end - len..span.end,
                    _ => span.start..span.start + len,
                };
            } else {
                let limit =
                    expected.unwrap_or(out.len().saturating_mul(2).max(4096).saturating_add(64));
                span = 0..codec.undo(source, room(spare, limit), tools)?;
                buffer = spare_buffer;
            }
            let len = span.len();
            check_len(codec.name(), expected.unwrap_or(len), len)?;
        }
        Ok(())
    }

    /// Decodes a chunk whose length is not known beforehand.
    ///
    /// The length that the bytes claim is believed up to the best ratio of their codec, but not
    /// beyond that of deflate plus [`FREE_TEXT_CHUNK_BYTES`].
    ///
    /// # Errors
    /// Any [`DecodeError`], when `raw` is not valid output of the codecs.
    pub(crate) fn decode_unsized(
        &self,
        raw: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Vec<u8>, DecodeError> {
        let mut data = raw.to_vec();
        for codec in self.codecs.iter().rev() {
            let ratio = |ratio: usize| data.len().saturating_mul(ratio);
            let limit = ratio(codec.best_ratio())
                .saturating_add(4096)
                .min(ratio(DEFLATE_RATIO).saturating_add(FREE_TEXT_CHUNK_BYTES));
            let claimed = codec.claimed_len(&data);
            let mut len = claimed
                .unwrap_or(data.len().saturating_mul(8) + 4096)
                .min(limit);
            data = loop {
                let mut out = vec![0; len];
                match codec.undo(&data, &mut out, &mut scratch.tools) {
                    Ok(found) => {
                        out.truncate(found);
                        break out;
                    }
                    // A zlib stream does not state its length: try with more room.
                    Err(_) if claimed.is_none() && len < limit => {
                        len = len.saturating_mul(8).min(limit);
                    }
                    Err(error) => return Err(error),
                }
            };
        }
        Ok(data)
    }

    /// The length of the data before codec `i` was applied, if it is known.
    fn len_before(&self, i: usize, skip_mask: u32, decoded: usize) -> Option<usize> {
        let before = self.codecs[..i].iter().enumerate();
        before
            .filter(|&(j, _)| is_applied(j, skip_mask))
            .try_fold(decoded, |len, (_, codec)| codec.encoded_len(len))
    }
}

/// Whether codec `i` was applied to a chunk; a mask has no bit for codecs from the 33rd on.
fn is_applied(i: usize, skip_mask: u32) -> bool {
    i >= 32 || skip_mask >> i & 1 == 0
}
