//! Buffers and decompressors that decoding needs, kept from one chunk to the next.

use super::DecodeError;
use super::streams::{Xz, new_xz};
use libdeflater::Decompressor as Inflater;
use std::fmt;
use zstd::bulk::Decompressor as ZstdDecompressor;

/// Buffers and decompressors of one thread; each is made when a chunk first needs it.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) a: Vec<u8>,
    pub(super) b: Vec<u8>,
    pub(super) tools: Tools,
}

/// The decompressors whose state is worth keeping.
#[derive(Default)]
pub(super) struct Tools {
    inflater: Option<Inflater>,
    zstd: Option<ZstdDecompressor<'static>>,
    xz: Option<Xz>,
}

impl Tools {
    pub(super) fn inflater(&mut self) -> &mut Inflater {
        self.inflater.get_or_insert_default()
    }

    pub(super) fn xz(&mut self) -> &mut Xz {
        self.xz.get_or_insert_with(new_xz)
    }

    /// Decompresses the Zstandard frames `source` into the front of `out`. A frame that claims to
    /// be longer than `out` is an error, not an allocation.
    pub(super) fn zstd(&mut self, source: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
        let corrupt = |error| DecodeError::corrupt("zstd", error);
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(ZstdDecompressor::new().map_err(corrupt)?),
        };
        zstd.decompress_to_buffer(source, out).map_err(corrupt)
    }
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools")
            .field("inflater", &self.inflater.is_some())
            .field("zstd", &self.zstd.is_some())
            .field("xz", &self.xz.is_some())
            .finish()
    }
}

/// Returns the first `len` bytes of a buffer that only ever grows.
pub(super) fn room(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.reserve_exact(len - buffer.len());
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_allocates_once_and_no_more_than_asked() {
        let mut buffer = Vec::new();
        assert_eq!(room(&mut buffer, 1000).len(), 1000);
        let (at, capacity) = (buffer.as_ptr(), buffer.capacity());
        assert_eq!(capacity, 1000);
        assert_eq!(room(&mut buffer, 10).len(), 10);
        assert_eq!(room(&mut buffer, 1000).as_ptr(), at);
        assert_eq!(buffer.capacity(), capacity);
    }

    #[test]
    fn zstd_frames_may_follow_one_another_and_may_not_outgrow_the_output() {
        let frame = zstd::bulk::compress(&[7; 500], 1).expect("compresses");
        let frames = [&frame[..], &frame[..]].concat();
        let mut tools = Tools::default();
        let mut out = [0; 1000];
        assert_eq!(tools.zstd(&frames, &mut out).expect("both frames"), 1000);
        assert_eq!(out, [7; 1000]);
        let error = tools.zstd(&frames, &mut out[..999]).expect_err("too long");
        assert!(error.to_string().contains("zstd"), "{error}");
    }
}
