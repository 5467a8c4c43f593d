//! Undoes what a writer did to the bytes of one chunk: HDF5 filters, zarr codecs.
//!
//! Bytes go in, exactly as many decoded bytes as the caller's slice holds come out. The bytes are
//! a stranger's: every length in them is held against the length that is expected before it is
//! used, and nothing is allocated beyond the expected size and its checksums. (Two compressors in
//! a row have a bound of their own, see [`Pipeline::decode`]; the Blosc library takes a buffer of
//! two blocks for the time of a call, and refuses a block longer than the output; bzip2 takes up to
//! 4 MiB, xz up to 64 MiB.)

mod blosc;
mod checksum;
mod deflate;
mod elements;
#[cfg(test)]
mod encode;
#[cfg(test)]
mod golden;
mod lz4;
mod lzf;
mod scratch;
mod shuffle;
mod streams;

pub(crate) use checksum::Sum;
pub(crate) use elements::{Elements, Step, Stored};
pub(crate) use scratch::Scratch;

use checksum::CHECKSUM_LEN;
use scratch::{Tools, room};
use thiserror::Error;

/// One step that a writer applied to a chunk, to be undone here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Codec {
    /// A zlib stream: HDF5's `deflate`, numcodecs' `zlib`.
    Deflate,
    /// One gzip member: zarr's `gzip`.
    Gzip,
    /// Byte `k` of every element, for each `k` in turn.
    Shuffle {
        /// Bytes an element; 0 and 1 leave the data as they are.
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
    /// LZ4 blocks as HDF5's registered filter 32004 frames them.
    Lz4Hdf5,
    /// One LZ4 block after its decoded size, as numcodecs frames it.
    Lz4Numcodecs,
    /// A version 1 Blosc buffer, whatever compressor and shuffle it names.
    Blosc,
    /// One bzip2 stream.
    Bz2,
    /// One xz stream: numcodecs' `lzma`.
    Xz,
    /// A checksum of numcodecs.
    Checksum {
        /// Which.
        sum: Sum,
        /// Whether it is in the first 4 bytes instead of the last.
        at_start: bool,
    },
    /// Elements converted by numcodecs' `delta`, `fixedscaleoffset`, `astype` or `quantize`.
    Elements(Elements),
    /// Booleans as bits, after the number of bits that were added at the end.
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
    fn is_checksum(self) -> bool {
        matches!(
            self,
            Self::Fletcher32 | Self::Crc32c | Self::Checksum { .. }
        )
    }

    /// The length that this codec turns `decoded` bytes into, where that is known beforehand.
    fn encoded_len(self, decoded: usize) -> Option<usize> {
        match self {
            Self::Shuffle { .. } => Some(decoded),
            Self::Elements(elements) => elements.encoded_len(decoded),
            Self::PackBits => decoded.div_ceil(8).checked_add(1),
            _ if self.is_checksum() => decoded.checked_add(CHECKSUM_LEN),
            _ => None,
        }
    }

    /// The decoded length that encoded bytes give for themselves.
    fn claimed_len(self, source: &[u8]) -> Option<usize> {
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

    /// More than this codec expands in good faith: deflate reaches 1032, LZ4 and LZF 255, zstd's
    /// run-length blocks 32 KiB for each byte, bzip2 a million, xz 7090.
    fn best_ratio(self) -> usize {
        match self {
            Self::Shuffle { .. } | Self::Fletcher32 | Self::Crc32c | Self::Checksum { .. } => 1,
            // From one byte to eight, from a bit to a byte.
            Self::Elements(_) | Self::PackBits => 8,
            Self::Xz => 1 << 13,
            Self::Bz2 => 1 << 20,
            Self::Deflate | Self::Gzip => 1032,
            Self::Lzf | Self::Lz4Hdf5 | Self::Lz4Numcodecs => 256,
            Self::Zstd | Self::Blosc => 1 << 16,
        }
    }

    /// The bytes before the checksum, verified, when this codec is one: nothing has to move.
    fn without_checksum(self, source: &[u8]) -> Option<Result<&[u8], DecodeError>> {
        match self {
            Self::Fletcher32 => Some(checksum::fletcher32(source)),
            Self::Crc32c => Some(checksum::crc32c(source)),
            Self::Checksum { sum, at_start } => Some(sum.verified(source, at_start)),
            _ => None,
        }
    }

    /// Decodes `source` into the front of `out`: how many bytes that gave, never more than fit.
    fn undo(self, source: &[u8], out: &mut [u8], tools: &mut Tools) -> Result<usize, DecodeError> {
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

/// Why the bytes of a chunk could not be decoded.
#[derive(Debug, Error)]
pub(crate) enum DecodeError {
    /// The bytes are not what the codec writes.
    #[error("the {codec} data is corrupt: {detail}")]
    Corrupt {
        /// The codec that met them.
        codec: &'static str,
        /// What is wrong with them.
        detail: String,
    },
    /// The bytes decode, to another length than the chunk has.
    #[error("the {codec} data is {found} bytes long where {expected} were expected")]
    Length {
        /// The codec whose output it is; `stored` for a chunk without codecs.
        codec: &'static str,
        /// Bytes that the chunk should have here.
        expected: usize,
        /// Bytes that it has, or says that it has.
        found: usize,
    },
    /// The bytes changed after they were written.
    #[error("the {codec} checksum is {stored:#010x}, the data gives {computed:#010x}")]
    Checksum {
        /// The checksum's name.
        codec: &'static str,
        /// What the file says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A container codec names a compressor that it is not known to have.
    #[error("{codec} data compressed with {inner}, which this build does not read")]
    UnsupportedInner {
        /// The container.
        codec: &'static str,
        /// The compressor inside it.
        inner: String,
    },
}

impl DecodeError {
    fn corrupt(codec: &'static str, detail: impl ToString) -> Self {
        Self::Corrupt {
            codec,
            detail: detail.to_string(),
        }
    }
}

/// What a chunk that does not say how long it is may be made of next to nothing.
const FREE_BYTES: usize = 32 << 20;

/// The codecs of an array, in the order in which a writer applied them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pipeline {
    codecs: Vec<Codec>,
}

/// Where the bytes lie that the next step reads.
#[derive(Clone, Copy)]
enum Place {
    Raw,
    A,
    B,
}

impl Pipeline {
    /// A pipeline of `codecs`, in the order of writing.
    pub(crate) fn new(codecs: Vec<Codec>) -> Self {
        Self { codecs }
    }

    /// Whether chunks are stored as they are.
    pub(crate) fn is_empty(&self) -> bool {
        self.codecs.is_empty()
    }

    /// Whether a checksum stands over all stored bytes of a chunk with this mask.
    pub(crate) fn ends_in_checksum(&self, skip_mask: u32) -> bool {
        let mut applied = (0..self.codecs.len()).filter(|&i| is_applied(i, skip_mask));
        let last = applied.next_back().map(|i| self.codecs[i]);
        last.is_some_and(Codec::is_checksum)
    }

    /// How many bytes one stored byte may become, in good faith.
    pub(crate) fn best_ratio(&self) -> u64 {
        let ratios = self.codecs.iter().map(|codec| codec.best_ratio() as u64);
        ratios.fold(1, u64::saturating_mul).min(1 << 20)
    }

    /// Decodes the stored bytes `raw` of one chunk into `out`, whose length is the chunk's.
    ///
    /// Bit `i` of `skip_mask` says that codec `i` was not applied to this chunk. The codec undone
    /// last writes straight into `out`; what others write goes to `scratch`. After an error `out`
    /// holds anything.
    ///
    /// Undoing a codec gives a known length, unless another compressor was applied before it: the
    /// outer one may then decode to no more than twice the length of `out`, or 4 KiB if that is
    /// more. (A compressor that makes its input longer than that is not one to wrap in another.)
    ///
    /// # Errors
    /// Any [`DecodeError`], when `raw` is not what the codecs make of that many bytes.
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
        let (mut place, mut span) = (Place::Raw, 0..raw.len());
        for i in applied.rev().chain([first]) {
            let codec = self.codecs[i];
            let Scratch { a, b, tools } = scratch;
            let (source, spare, spare_place) = match place {
                Place::Raw => (raw, a, Place::A),
                Place::A => (a.as_slice(), b, Place::B),
                Place::B => (b.as_slice(), a, Place::A),
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
                place = spare_place;
            }
            let len = span.len();
            check_len(codec.name(), expected.unwrap_or(len), len)?;
        }
        Ok(())
    }

    /// Decodes a chunk whose length is not known beforehand.
    ///
    /// What the bytes say of their own length is believed up to the best ratio of their codec, and
    /// up to that of deflate where that makes more than [`FREE_BYTES`].
    ///
    /// # Errors
    /// Any [`DecodeError`], when `raw` is not what the codecs make.
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
                .min(ratio(Codec::Deflate.best_ratio()).saturating_add(FREE_BYTES));
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
                    // A zlib stream says nothing: try with more room.
                    Err(_) if claimed.is_none() && len < limit => {
                        len = len.saturating_mul(8).min(limit);
                    }
                    Err(error) => return Err(error),
                }
            };
        }
        Ok(data)
    }

    /// The length that the data had before codec `i` was applied to it, where it is known.
    fn len_before(&self, i: usize, skip_mask: u32, decoded: usize) -> Option<usize> {
        let before = self.codecs[..i].iter().enumerate();
        before
            .filter(|&(j, _)| is_applied(j, skip_mask))
            .try_fold(decoded, |len, (_, codec)| codec.encoded_len(len))
    }
}

/// Whether codec `i` was applied to a chunk; a mask has no bit for the 33rd and further ones.
fn is_applied(i: usize, skip_mask: u32) -> bool {
    i >= 32 || skip_mask >> i & 1 == 0
}

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

/// The first `found` bytes of `out`, or an error when it has fewer.
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

#[cfg(test)]
mod tests {
    use super::encode::{encode, encode_all};
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    const SHUFFLE: Codec = Codec::Shuffle { element_size: 4 };

    fn decode(
        codecs: &[Codec],
        raw: &[u8],
        skip_mask: u32,
        len: usize,
    ) -> Result<Vec<u8>, DecodeError> {
        let mut out = vec![0; len];
        let pipeline = Pipeline::new(codecs.to_vec());
        pipeline.decode(raw, skip_mask, &mut out, &mut Scratch::default())?;
        Ok(out)
    }

    fn any_codec() -> impl Strategy<Value = Codec> {
        prop_oneof![
            Just(Codec::Deflate),
            Just(Codec::Gzip),
            (0..10_usize).prop_map(|element_size| Codec::Shuffle { element_size }),
            Just(Codec::Fletcher32),
            Just(Codec::Crc32c),
            Just(Codec::Lzf),
            Just(Codec::Zstd),
            Just(Codec::Lz4Hdf5),
            Just(Codec::Lz4Numcodecs),
            Just(Codec::Blosc),
            Just(Codec::Bz2),
            (select(&Sum::ALL[..]), any::<bool>())
                .prop_map(|(sum, at_start)| Codec::Checksum { sum, at_start }),
        ]
    }

    #[test]
    fn without_codecs_bytes_are_copied_when_there_are_as_many() {
        assert!(Pipeline::default().is_empty());
        assert_eq!(decode(&[], b"abc", 0, 3).expect("as long"), b"abc");
        for len in [2, 4] {
            let error = decode(&[], b"abc", 0, len).expect_err("not as long");
            let says = format!("the stored data is 3 bytes long where {len} were expected");
            assert_eq!(error.to_string(), says);
        }
    }

    #[test]
    fn a_length_that_is_not_known_is_found() {
        let data: Vec<u8> = (0..90_000u32).map(|i| (i / 1000) as u8).collect();
        for codec in [
            Codec::Deflate,
            Codec::Gzip,
            SHUFFLE,
            Codec::Fletcher32,
            Codec::Crc32c,
            Codec::Zstd,
            Codec::Lz4Numcodecs,
            Codec::Blosc,
        ] {
            let raw = encode(codec, &data);
            let pipeline = Pipeline::new(vec![codec]);
            let out = pipeline.decode_unsized(&raw, &mut Scratch::default());
            assert!(out.expect("well formed") == data, "{codec:?}");
            let cut = &raw[..raw.len() / 2];
            if !matches!(codec, Codec::Shuffle { .. }) {
                assert!(
                    pipeline
                        .decode_unsized(cut, &mut Scratch::default())
                        .is_err(),
                    "{codec:?}"
                );
            }
        }
    }

    #[test]
    fn a_length_that_is_only_claimed_takes_no_memory() {
        // The ratio of zstd, and more than any chunk of text is made of.
        let mut raw = encode(Codec::Blosc, &[7; 4000]);
        raw[4..8].copy_from_slice(&(40u32 << 20).to_le_bytes());
        raw.resize(4000, 0);
        raw[12..16].copy_from_slice(&4000u32.to_le_bytes());
        let pipeline = Pipeline::new(vec![Codec::Blosc]);
        let error = pipeline.decode_unsized(&raw, &mut Scratch::default());
        assert!(
            matches!(error, Err(DecodeError::Length { .. })),
            "{error:?}"
        );
    }

    #[test]
    fn a_skipped_codec_is_not_undone() {
        let data = [5; 400];
        let codecs = [SHUFFLE, Codec::Deflate, Codec::Fletcher32];
        for skip_mask in 0..8 {
            let raw = encode_all(&codecs, skip_mask, &data);
            let out = decode(&codecs, &raw, skip_mask, 400);
            assert_eq!(out.expect("as written"), data, "{skip_mask:03b}");
        }
        let many = vec![Codec::Crc32c; 40];
        let raw = encode_all(&many[..8], 0, &data);
        assert_eq!(
            decode(&many, &raw, u32::MAX, 400).expect("the last 8 hold"),
            data
        );
    }

    #[test]
    fn the_codec_undone_last_writes_to_the_output() {
        let data = [5; 4000];
        let mut scratch = Scratch::default();
        let mut out = vec![0; 4000];
        for (codecs, a, b) in [
            (vec![Codec::Deflate], 0, 0),
            (vec![Codec::Deflate, Codec::Fletcher32], 0, 0),
            (vec![SHUFFLE, Codec::Zstd, Codec::Crc32c], 4000, 0),
            (vec![Codec::Fletcher32, SHUFFLE, Codec::Lzf], 4004, 4004),
        ] {
            let raw = encode_all(&codecs, 0, &data);
            let pipeline = Pipeline::new(codecs);
            pipeline
                .decode(&raw, 0, &mut out, &mut scratch)
                .expect("as written");
            assert_eq!(out, data);
            assert_eq!((scratch.a.capacity(), scratch.b.capacity()), (a, b));
        }
    }

    #[test]
    fn a_compressor_within_another_has_a_bound() {
        let data: Vec<u8> = (0..1000_u32).map(|i| (i * i % 7) as u8).collect();
        let codecs = [Codec::Gzip, Codec::Crc32c, Codec::Zstd];
        let raw = encode_all(&codecs, 0, &data);
        assert_eq!(decode(&codecs, &raw, 0, 1000).expect("as written"), data);
        let bomb = encode(Codec::Zstd, &vec![0; 1 << 20]);
        assert!(decode(&codecs, &bomb, 0, 1000).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_any_codecs_make_comes_back(
            codecs in prop::collection::vec(any_codec(), 0..5),
            skip_mask in any::<u32>(),
            data in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..1500),
                prop::collection::vec(0_u8..3, 0..1500),
            ],
        ) {
            let raw = encode_all(&codecs, skip_mask, &data);
            prop_assert_eq!(decode(&codecs, &raw, skip_mask, data.len()).expect("as written"), data.clone());
            for wrong in [0, data.len() / 2, data.len() + 1] {
                if wrong != data.len() {
                    prop_assert!(decode(&codecs, &raw, skip_mask, wrong).is_err());
                }
            }
        }
    }
}
