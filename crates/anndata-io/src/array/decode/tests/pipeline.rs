//! Pipelines of several codecs.

use super::encode::{encode, encode_all};
use crate::array::decode::{Codec, CodecPipeline, DecodeError, Scratch, Sum};
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
    let pipeline = CodecPipeline::new(codecs.to_vec());
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
fn pipeline_without_codecs_copies_all_bytes() {
    assert!(CodecPipeline::default().is_empty());
    assert_eq!(decode(&[], b"abc", 0, 3).expect("as long"), b"abc");
    for len in [2, 4] {
        let error = decode(&[], b"abc", 0, len).expect_err("not as long");
        let says = format!("the stored data is 3 bytes long where {len} were expected");
        assert_eq!(error.to_string(), says);
    }
}

#[test]
fn decode_unsized_finds_the_length() {
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
        let pipeline = CodecPipeline::new(vec![codec]);
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
fn decode_unsized_takes_no_memory_for_a_claimed_length() {
    // Beyond both the ratio of zstd and the most that a chunk of text may hold.
    let mut raw = encode(Codec::Blosc, &[7; 4000]);
    raw[4..8].copy_from_slice(&(40u32 << 20).to_le_bytes());
    raw.resize(4000, 0);
    raw[12..16].copy_from_slice(&4000u32.to_le_bytes());
    let pipeline = CodecPipeline::new(vec![Codec::Blosc]);
    let error = pipeline.decode_unsized(&raw, &mut Scratch::default());
    assert!(
        matches!(error, Err(DecodeError::Length { .. })),
        "{error:?}"
    );
}

#[test]
fn pipeline_leaves_out_a_skipped_codec() {
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
fn pipeline_writes_to_the_output_last() {
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
        let pipeline = CodecPipeline::new(codecs);
        pipeline
            .decode(&raw, 0, &mut out, &mut scratch)
            .expect("as written");
        assert_eq!(out, data);
        assert_eq!((scratch.a.capacity(), scratch.b.capacity()), (a, b));
    }
}

#[test]
fn pipeline_bounds_a_compressor_within_another() {
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
    fn pipeline_undoes_any_codecs(
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
