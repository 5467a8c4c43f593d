//! The codecs, by name: the encoding that each undoes, the length of its output, and its best
//! ratio.

use super::checksum::{self, CHECKSUM_LEN, Sum};
use super::elements::{self, Elements};
use super::scratch::Tools;
use super::{DecodeError, blosc, copy, deflate, lz4, lzf, shuffle, streams};
use crate::limits::{BZIP2_RATIO, DEFLATE_RATIO, ELEMENTS_RATIO, LZ_RATIO, XZ_RATIO, ZSTD_RATIO};

/// One step that a writer applied to a chunk, to be undone here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Codec {
    /// A zlib stream: HDF5's `deflate`, numcodecs' `zlib`.
    Deflate,
    /// One gzip member: zarr's `gzip`.
    Gzip,
    /// Byte `k` of every element, for each `k` in turn.
    Shuffle {
        /// Bytes per element; 0 and 1 leave the data unchanged.
        element_size: usize,
    },
    /// HDF5's checksum, in the last 4 bytes.
    Fletcher32,
    /// zarr's checksum, in the last 4 bytes.
    Crc32c,
    /// A raw LibLZF stream, as h5py writes it.
    Lzf,
    /// Zstandard frames.
    Zstd,
    /// LZ4 blocks in the framing of HDF5's registered filter 32004.
    Lz4Hdf5,
    /// One LZ4 block after its decoded size, in the framing of numcodecs.
    Lz4Numcodecs,
    /// A version 1 Blosc buffer with any compressor and shuffle.
    Blosc,
    /// One bzip2 stream.
    Bz2,
    /// One xz stream: numcodecs' `lzma`.
    Xz,
    /// A checksum of numcodecs.
    Checksum {
        /// The kind of checksum.
        sum: Sum,
        /// Whether the checksum is in the first 4 bytes instead of the last.
        at_start: bool,
    },
    /// Elements converted by numcodecs' `delta`, `fixedscaleoffset`, `astype` or `quantize`.
    Elements(Elements),
    /// Booleans as bits, after the number of padding bits at the end.
    PackBits,
}

impl Codec {
    /// The name that errors use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
            Self::Shuffle { .. } => "shuffle",
            Self::Fletcher32 => "fletcher32",
            Self::Crc32c => "crc32c",
            Self::Lzf => "lzf",
            Self::Zstd => "zstd",
            Self::Lz4Hdf5 | Self::Lz4Numcodecs => "lz4",
            Self::Blosc => "blosc",
            Self::Bz2 => "bz2",
            Self::Xz => "lzma",
            Self::Checksum { sum, .. } => sum.name(),
            Self::Elements(elements) => elements.name(),
            Self::PackBits => "packbits",
        }
    }

    /// Whether this is a checksum.
    pub(super) fn is_checksum(self) -> bool {
        matches!(
            self,
            Self::Fletcher32 | Self::Crc32c | Self::Checksum { .. }
        )
    }

    /// The length into which this codec encodes `decoded` bytes, if it is known beforehand.
    pub(super) fn encoded_len(self, decoded: usize) -> Option<usize> {
        match self {
            Self::Shuffle { .. } => Some(decoded),
            Self::Elements(elements) => elements.encoded_len(decoded),
            Self::PackBits => decoded.div_ceil(8).checked_add(1),
            _ if self.is_checksum() => decoded.checked_add(CHECKSUM_LEN),
            _ => None,
        }
    }

    /// The decoded length that the encoded bytes claim.
    pub(super) fn claimed_len(self, source: &[u8]) -> Option<usize> {
        let word = |at: usize| {
            let bytes = source.get(at..at.checked_add(4)?)?;
            usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
        };
        match self {
            Self::Shuffle { .. } | Self::Fletcher32 | Self::Crc32c | Self::Checksum { .. } => {
                Some(source.len())
            }
            Self::Elements(elements) => elements.decoded_len(source.len()),
            Self::PackBits => elements::packed_len(source),
            Self::Blosc => word(4),
            Self::Lz4Numcodecs => word(0),
            Self::Gzip => word(source.len().checked_sub(4)?),
            Self::Zstd => {
                let size = zstd::zstd_safe::get_frame_content_size(source).ok()??;
                usize::try_from(size).ok()
            }
            Self::Deflate | Self::Lzf | Self::Lz4Hdf5 | Self::Bz2 | Self::Xz => None,
        }
    }

    /// A ratio above any that this codec reaches in good faith.
    pub(super) fn best_ratio(self) -> usize {
        match self {
            Self::Shuffle { .. } | Self::Fletcher32 | Self::Crc32c | Self::Checksum { .. } => 1,
            Self::Elements(_) | Self::PackBits => ELEMENTS_RATIO,
            Self::Xz => XZ_RATIO,
            Self::Bz2 => BZIP2_RATIO,
            Self::Deflate | Self::Gzip => DEFLATE_RATIO,
            Self::Lzf | Self::Lz4Hdf5 | Self::Lz4Numcodecs => LZ_RATIO,
            Self::Zstd | Self::Blosc => ZSTD_RATIO,
        }
    }

    /// If this codec is a checksum, verifies it and returns the bytes before it, in place.
    pub(super) fn without_checksum(self, source: &[u8]) -> Option<Result<&[u8], DecodeError>> {
        match self {
            Self::Fletcher32 => Some(checksum::fletcher32(source)),
            Self::Crc32c => Some(checksum::crc32c(source)),
            Self::Checksum { sum, at_start } => Some(sum.verified(source, at_start)),
            _ => None,
        }
    }

    /// Decodes `source` into the front of `out`. Returns the decoded length, which never exceeds
    /// `out`.
    pub(super) fn undo(
        self,
        source: &[u8],
        out: &mut [u8],
        tools: &mut Tools,
    ) -> Result<usize, DecodeError> {
        match self {
            Self::Deflate => deflate::zlib(source, out, tools.inflater()),
            Self::Gzip => deflate::gzip(source, out, tools.inflater()),
            Self::Shuffle { element_size } => shuffle::undo(source, element_size, out),
            Self::Fletcher32 => copy(self.name(), checksum::fletcher32(source)?, out),
            Self::Crc32c => copy(self.name(), checksum::crc32c(source)?, out),
            Self::Lzf => lzf::decompress(source, out),
            Self::Zstd => tools.zstd(source, out),
            Self::Lz4Hdf5 => lz4::hdf5(source, out),
            Self::Lz4Numcodecs => lz4::numcodecs(source, out),
            Self::Blosc => blosc::decompress(source, out),
            Self::Bz2 => streams::bz2(source, out),
            Self::Xz => streams::xz(source, out, tools.xz()),
            Self::Checksum { sum, at_start } => {
                copy(self.name(), sum.verified(source, at_start)?, out)
            }
            Self::Elements(elements) => elements.undo(source, out),
            Self::PackBits => elements::unpack_bits(source, out),
        }
    }
}
