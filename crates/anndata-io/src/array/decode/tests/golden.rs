//! Every codec against chunks that other libraries wrote, and against their decoded contents.

use crate::array::decode::{Codec, CodecPipeline, Elements, Scratch, Step, StoredType, Sum};
use crate::dtype::DType;
use proptest::prelude::*;
use proptest::sample::{Index, select};

struct Sample {
    name: &'static str,
    raw: &'static [u8],
    codecs: &'static [Codec],
    decoded: Decoded,
}

/// The data from which `samples/make.py` wrote the samples.
#[derive(Clone, Copy)]
enum Decoded {
    Counts,
    CountsBigEndian,
    CountsAsFloats,
    Odd { len: usize },
    Noise { len: usize },
}

impl Decoded {
    fn bytes(self) -> Vec<u8> {
        let count = |i: u32| i * i % 11 * (i % 7);
        match self {
            Self::Counts => (0..240).flat_map(|i| count(i).to_le_bytes()).collect(),
            Self::CountsBigEndian => (0..240).flat_map(|i| count(i).to_be_bytes()).collect(),
            Self::CountsAsFloats => (0..240)
                .flat_map(|i| f64::from(count(i)).to_le_bytes())
                .collect(),
            Self::Odd { len } => (0..len as u32).map(|i| (count(i) % 2) as u8).collect(),
            Self::Noise { len } => (0..len as u32)
                .map(|i| (i * i * i % 1009 * 7919 % 251) as u8)
                .collect(),
        }
    }
}

macro_rules! samples {
    ($($name:literal $codecs:expr => $decoded:expr;)*) => {
        &[$(Sample {
            name: $name,
            raw: include_bytes!(concat!("../samples/", $name, ".bin")),
            codecs: &$codecs,
            decoded: $decoded,
        }),*]
    };
}

use Codec::{
    Blosc, Bz2, Crc32c, Deflate, Fletcher32, Gzip, Lz4Hdf5, Lz4Numcodecs, Lzf, PackBits, Xz, Zstd,
};
use Decoded::{Counts, CountsAsFloats, CountsBigEndian, Noise, Odd};

const fn shuffle(element_size: usize) -> Codec {
    Codec::Shuffle { element_size }
}

const fn sum(sum: Sum, at_start: bool) -> Codec {
    Codec::Checksum { sum, at_start }
}

const fn elements(from: DType, to: DType, step: Step, big_endian: bool) -> Codec {
    Codec::Elements(Elements {
        from: StoredType {
            dtype: from,
            big_endian,
        },
        to: StoredType {
            dtype: to,
            big_endian,
        },
        step,
    })
}

const SAMPLES: &[Sample] = samples! {
    "h5-gzip" [Deflate] => Counts;
    "h5-gzip-shuffle" [shuffle(4), Deflate] => Counts;
    "h5-gzip-shuffle-fletcher32" [shuffle(4), Deflate, Fletcher32] => Counts;
    "h5-lzf" [Lzf] => Counts;
    "h5-lzf-shuffle" [shuffle(4), Lzf] => Counts;
    "h5-fletcher32" [Fletcher32] => Counts;
    "h5-fletcher32-odd" [Fletcher32] => Noise { len: 255 };
    "h5-shuffle-3-bytes" [shuffle(3)] => Noise { len: 240 };
    "h5-zstd" [Zstd] => Counts;
    "h5-zstd-shuffle" [shuffle(4), Zstd] => Counts;
    "h5-lz4" [Lz4Hdf5] => Counts;
    "h5-lz4-blocks" [Lz4Hdf5] => Counts;
    "h5-lz4-stored" [Lz4Hdf5] => Noise { len: 256 };
    "h5-blosc-blosclz-plain" [Blosc] => Counts;
    "h5-blosc-blosclz-shuffle" [Blosc] => Counts;
    "h5-blosc-blosclz-bitshuffle" [Blosc] => Counts;
    "h5-blosc-lz4-plain" [Blosc] => Counts;
    "h5-blosc-lz4-shuffle" [Blosc] => Counts;
    "h5-blosc-lz4-bitshuffle" [Blosc] => Counts;
    "h5-blosc-lz4hc-plain" [Blosc] => Counts;
    "h5-blosc-lz4hc-shuffle" [Blosc] => Counts;
    "h5-blosc-lz4hc-bitshuffle" [Blosc] => Counts;
    "h5-blosc-zlib-plain" [Blosc] => Counts;
    "h5-blosc-zlib-shuffle" [Blosc] => Counts;
    "h5-blosc-zlib-bitshuffle" [Blosc] => Counts;
    "h5-blosc-zstd-plain" [Blosc] => Counts;
    "h5-blosc-zstd-shuffle" [Blosc] => Counts;
    "h5-blosc-zstd-bitshuffle" [Blosc] => Counts;
    "nc-zlib" [Deflate] => Counts;
    "nc-gzip" [Gzip] => Counts;
    "nc-zstd" [Zstd] => Counts;
    "nc-zstd-checksum" [Zstd] => Counts;
    "nc-lz4" [Lz4Numcodecs] => Counts;
    "nc-shuffle" [shuffle(8)] => Counts;
    "nc-fletcher32" [Fletcher32] => Counts;
    "nc-blosc-lz4-shuffle" [Blosc] => Counts;
    "nc-blosc-zstd-bitshuffle" [Blosc] => Counts;
    "nc-blosc-stored" [Blosc] => Noise { len: 256 };
    "nc-bz2" [Bz2] => Counts;
    "nc-lzma" [Xz] => Counts;
    "nc-lzma-unchecked" [Xz] => Counts;
    "nc-lzma-delta" [Xz] => Counts;
    "nc-crc32" [sum(Sum::Crc32, true)] => Counts;
    "nc-crc32-end" [sum(Sum::Crc32, false)] => Counts;
    "nc-crc32c-start" [sum(Sum::Crc32c, true)] => Counts;
    "nc-adler32" [sum(Sum::Adler32, true)] => Counts;
    "nc-jenkins" [sum(Sum::Lookup3, false)] => Counts;
    "nc-delta" [elements(DType::U32, DType::U32, Step::Sum, false)] => Counts;
    "nc-delta-narrow" [elements(DType::I8, DType::U32, Step::Sum, false)] => Counts;
    "nc-delta-big-endian" [elements(DType::I16, DType::U32, Step::Sum, true)] => CountsBigEndian;
    "nc-delta-zlib" [elements(DType::I16, DType::U32, Step::Sum, false), Deflate] => Counts;
    "nc-delta-crc32-zlib" [
        elements(DType::I16, DType::U32, Step::Sum, false),
        sum(Sum::Crc32, true),
        Deflate
    ] => Counts;
    "nc-delta-float" [elements(DType::F32, DType::F64, Step::Sum, false)] => CountsAsFloats;
    "nc-fixedscaleoffset" [
        elements(DType::I8, DType::U32, Step::Scale { scale: 1.0, offset: 5.0 }, false)
    ] => Counts;
    "nc-fixedscaleoffset-float" [
        elements(DType::F32, DType::F64, Step::Scale { scale: 2.0, offset: -3.0 }, false)
    ] => CountsAsFloats;
    "nc-astype" [elements(DType::I16, DType::U32, Step::Cast, false)] => Counts;
    "nc-quantize" [elements(DType::F32, DType::F64, Step::Cast, false)] => CountsAsFloats;
    "nc-packbits" [PackBits] => Odd { len: 237 };
    "crc32c" [Crc32c] => Counts;
};

/// Decodes `raw` to `len` bytes; `None` if it does not decode. Panics if the decoder wrote outside
/// of them, or took more memory than is promised.
fn guarded(codecs: &[Codec], raw: &[u8], len: usize) -> Option<Vec<u8>> {
    const GUARD: usize = 64;
    let mut around = vec![0xa5; len + 2 * GUARD];
    let mut scratch = Scratch::default();
    let pipeline = CodecPipeline::new(codecs.to_vec());
    let result = pipeline.decode(raw, 0, &mut around[GUARD..GUARD + len], &mut scratch);
    let (before, rest) = around.split_at(GUARD);
    let (out, after) = rest.split_at(len);
    assert!(
        before.iter().chain(after).all(|&byte| byte == 0xa5),
        "overrun"
    );
    let most = len + 4 * codecs.len();
    assert!(scratch.a.capacity() <= most && scratch.b.capacity() <= most);
    result.is_ok().then(|| out.to_vec())
}

/// Whether `codecs` notice any single bit that changes.
fn is_checked(codecs: &[Codec]) -> bool {
    codecs
        .last()
        .is_some_and(|last| matches!(last, Deflate | Gzip) || last.is_checksum())
}

#[test]
fn decode_accepts_samples_of_the_original_writers() {
    for Sample {
        name,
        raw,
        codecs,
        decoded,
    } in SAMPLES
    {
        let expected = decoded.bytes();
        let out = guarded(codecs, raw, expected.len());
        assert!(out.as_ref() == Some(&expected), "{name}");
        for wrong in [
            0,
            1,
            expected.len() - 1,
            expected.len() + 1,
            expected.len() * 4,
        ] {
            assert!(
                guarded(codecs, raw, wrong).is_none(),
                "{name} as {wrong} bytes"
            );
        }
    }
}

#[test]
fn blosc_samples_hold_the_compressors_of_their_names() {
    for Sample { name, raw, .. } in SAMPLES {
        let compressors = ["-blosclz-", "-lz4", "-snappy-", "-zlib-", "-zstd-"];
        if let Some(rest) = name.strip_prefix("h5-blosc") {
            let number = compressors.iter().position(|c| rest.starts_with(c));
            assert_eq!(number, Some(usize::from(raw[2] >> 5)), "{name}");
            let shuffle = ["-plain", "-shuffle", "?", "?", "-bitshuffle"];
            assert!(name.ends_with(shuffle[usize::from(raw[2] & 7)]), "{name}");
        }
    }
}

#[test]
fn decode_of_a_chunk_cut_short_is_an_error() {
    for Sample {
        name,
        raw,
        codecs,
        decoded,
    } in SAMPLES
    {
        let len = decoded.bytes().len();
        for end in 0..raw.len() {
            assert!(
                guarded(codecs, &raw[..end], len).is_none(),
                "{name} cut at {end}"
            );
        }
    }
}

#[test]
fn decode_survives_a_flipped_bit() {
    for Sample {
        name,
        raw,
        codecs,
        decoded,
    } in SAMPLES
    {
        let expected = decoded.bytes();
        let mut flipped = raw.to_vec();
        for bit in 0..8 * raw.len() {
            flipped[bit / 8] ^= 1 << (bit % 8);
            let out = guarded(codecs, &flipped, expected.len());
            if let Some(out) = out.filter(|_| is_checked(codecs)) {
                assert!(out == expected, "{name}: bit {bit} went unnoticed");
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn decode_survives_any_damage(
        sample in 0..SAMPLES.len(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        header in prop::collection::vec((0..24_usize, select(&[0, 1, 2, 4, 0x7f, 0x80, 0xff][..])), 0..4),
        len in select(&[0, 1, 100, 959, 960, 961, 2000][..]),
    ) {
        let Sample { raw, codecs, .. } = SAMPLES[sample];
        let mut damaged = raw.to_vec();
        for (at, byte) in changes {
            damaged[at.index(raw.len())] = byte;
        }
        for (at, byte) in header {
            damaged[at] = byte;
        }
        guarded(codecs, &damaged, len);
        guarded(codecs, &damaged, 960);
    }

    #[test]
    fn decode_survives_any_bytes(
        codec in select(vec![
            Deflate, Gzip, shuffle(4), Fletcher32, Crc32c, Lzf, Zstd, Lz4Hdf5, Lz4Numcodecs, Bz2, Xz,
            PackBits, sum(Sum::Adler32, true), elements(DType::I16, DType::F64, Step::Sum, true),
        ]),
        raw in prop::collection::vec(any::<u8>(), 0..300),
        len in 0..1000_usize,
    ) {
        guarded(&[codec], &raw, len);
    }

    /// Blosc headers that pass the checks, with any bytes after them, reach the library.
    #[test]
    fn blosc_survives_any_header(
        flags in any::<u8>(),
        element_size in select(&[1, 2, 3, 4, 8, 16, 17, 255][..]),
        block_len in select(&[1_u32, 8, 127, 128, 500, 512, 1000, 1 << 31, u32::MAX][..]),
        offset in 0..64_u32,
        block in prop::collection::vec(any::<u8>(), 0..300),
        stored_len in 0..320_u32,
    ) {
        for len in [1000, 1024_usize] {
            let mut raw = vec![2, 1, flags, element_size];
            raw.extend((len as u32).to_le_bytes());
            raw.extend(block_len.to_le_bytes());
            raw.extend((24 + block.len() as u32).to_le_bytes());
            raw.extend(offset.to_le_bytes());
            raw.extend(stored_len.to_le_bytes());
            raw.extend(&block);
            guarded(&[Blosc], &raw, len);
        }
    }
}
