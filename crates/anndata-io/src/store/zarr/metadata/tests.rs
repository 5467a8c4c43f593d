use serde_json::json;

use super::*;
use crate::array::decode::{Codec, Elements, Step, StoredType, Sum};
use crate::dtype::DType;
use crate::error::ErrorKind;

fn v2(text: &str) -> Parsed<ArrayMetadata> {
    ArrayMetadata::from_v2(&serde_json::from_str(text).expect("valid JSON"), None)
}

#[test]
fn from_v2_reads_a_document() {
    let metadata = v2(
        r#"{"shape":[5,3],"chunks":[2,3],"dtype":">i4","order":"F","fill_value":7,
            "compressor":{"id":"blosc"},"filters":[{"id":"shuffle","elementsize":4}]}"#,
    )
    .unwrap_or_else(|kind| panic!("{kind}"));
    assert_eq!(metadata.grid.counts(), [3, 1]);
    assert!(metadata.big_endian);
    assert_eq!(metadata.stored_axes, Some(vec![1, 0]));
    assert_eq!(metadata.fill, 7i32.to_ne_bytes());
}

#[test]
fn from_v2_names_unsupported_content() {
    let error =
        v2(r#"{"shape":[5],"chunks":[2],"dtype":"<i4","order":"C","compressor":{"id":"zfpy"}}"#);
    assert!(
        error
            .err()
            .expect("unknown codec")
            .to_string()
            .contains("zarr codec zfpy")
    );
    let error = v2(r#"{"shape":[5],"chunks":[2],"dtype":"<c8","order":"C","compressor":null}"#);
    assert!(
        error
            .err()
            .expect("unknown type")
            .to_string()
            .contains("<c8")
    );
    let error = v2(r#"{"shape":[5],"chunks":[0],"dtype":"<i4","order":"C","compressor":null}"#);
    assert!(matches!(error.err(), Some(ErrorKind::Invalid { .. })));
}

/// A document with some members replaced; null removes a member.
fn changed(document: &Value, changes: Value) -> Value {
    let mut document = document.clone();
    for (name, value) in changes.as_object().expect("members") {
        document[name] = value.clone();
    }
    let members = document.as_object_mut().expect("an object");
    members.retain(|name, _| !changes[name].is_null() || changes.get(name).is_none());
    document
}

#[test]
fn from_v2_takes_no_document_on_trust() {
    let document = json!({
        "zarr_format": 2, "shape": [5], "chunks": [2], "dtype": "<i4", "order": "C",
        "fill_value": 0, "filters": null, "compressor": null
    });
    let of = |changes: Value| {
        let document = changed(&document, changes);
        ArrayMetadata::from_v2(&document, None).map(|metadata| (metadata.fill, metadata.separator))
    };
    let fine = |changes: Value| assert!(of(changes.clone()).is_ok(), "{changes}");
    fine(json!({"fill_value": null}));
    fine(json!({"fill_value": 7.0}));
    fine(json!({"filters": []}));
    fine(json!({"dimension_separator": "/"}));
    fine(json!({"dimension_separator": null}));
    fine(json!({"zarr_format": null}));
    fine(json!({"any": "member", "of": {"others": 1}}));
    fine(json!({"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": ""}));
    for (changes, says) in [
        (
            json!({"fill_value": "7"}),
            "fill_value of int32, found \"7\"",
        ),
        (json!({"fill_value": 1.5}), "fill_value of int32, found 1.5"),
        (
            json!({"fill_value": 4_000_000_000_u64}),
            "fill_value of int32",
        ),
        (
            json!({"filters": {"id": "delta"}}),
            "filters: a list or null",
        ),
        (json!({"filters": "delta"}), "filters: a list or null"),
        (json!({"filters": ["delta"]}), "a codec with an id"),
        (json!({"compressor": "zlib"}), "a codec with an id"),
        (json!({"order": "A"}), "order C or F"),
        (json!({"order": null}), "order C or F"),
        (json!({"dimension_separator": "_"}), "dimension_separator"),
        (json!({"dimension_separator": 5}), "dimension_separator"),
        (json!({"zarr_format": 3}), "zarr_format 2"),
        (json!({"shape": [-5]}), "shape"),
        (json!({"shape": 5}), "shape"),
        (json!({"chunks": [2, 2]}), "rank"),
        (json!({"filters": [{"id": "vlen-utf8"}]}), "dtype |O"),
    ] {
        let error = of(changes).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    let long = of(json!({"fill_value": "x".repeat(1 << 20)})).expect_err("no number");
    assert!(long.to_string().len() < 400, "errors show the beginning");
}

#[test]
fn from_v3_takes_no_document_on_trust() {
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [5, 4], "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 4]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [
            {"name": "bytes"}, {"name": "zstd", "configuration": {"level": 0, "checksum": false}}
        ]
    });
    let of = |changes: Value| {
        let metadata = ArrayMetadata::from_v3(&changed(&document, changes));
        metadata.map(|metadata| (metadata.key_prefix, metadata.separator))
    };
    let fine = |changes: Value| assert!(of(changes.clone()).is_ok(), "{changes}");
    fine(json!({}));
    fine(json!({"storage_transformers": []}));
    fine(json!({"dimension_names": ["cells", null]}));
    fine(json!({"chunk_key_encoding": {"name": "v2"}}));
    fine(json!({"codecs": ["bytes", "crc32c"]}));
    fine(json!({"codecs": [{"name": "bytes", "configuration": {}}]}));
    assert_eq!(
        of(json!({"chunk_key_encoding": "v2"})).ok(),
        Some(("", '.'))
    );
    let early = json!({"chunk_key_encoding": {"name": "default", "separator": "."}});
    assert_eq!(of(early).ok(), Some(("c", '.')));
    let blosc =
        json!({"typesize": 1, "cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0});
    fine(json!({"codecs": ["bytes", {"name": "blosc", "configuration": blosc}]}));
    let regular = |more: Value| {
        let grid = json!({"name": "regular", "configuration": {"chunk_shape": [2, 4]}});
        json!({"chunk_grid": changed(&grid, more)})
    };
    let codecs = |list: Value| json!({"codecs": list});
    let with = |name: &str, configuration: Value| json!(["bytes", {"name": name, "configuration": configuration}]);
    for (changes, says) in [
        (json!({"fill_value": null}), "fill_value of uint8"),
        (json!({"fill_value": 300}), "fill_value of uint8, found 300"),
        (
            json!({"storage_transformers": [{"name": "x"}]}),
            "storage transformers",
        ),
        (
            json!({"storage_transformers": {"name": "x"}}),
            "storage_transformers: a list",
        ),
        (json!({"dimension_names": ["cells"]}), "dimension_names"),
        (json!({"dimension_names": "cells"}), "dimension_names"),
        (
            regular(json!({"origin": [1, 0]})),
            "\"origin\" of the zarr chunk grid",
        ),
        (
            regular(json!({"configuration": {"chunk_shape": [2, 4], "by": 1}})),
            "by: 1 of the zarr chunk grid",
        ),
        (
            json!({"chunk_grid": {"name": "rectilinear"}}),
            "chunk grid rectilinear",
        ),
        (
            json!({"chunk_key_encoding": {"name": "default", "configuration": {"base": 16}}}),
            "base: 16",
        ),
        (
            json!({"chunk_key_encoding": {"name": "default", "configuration": {"separator": "-"}}}),
            "separator . or /",
        ),
        (
            json!({"chunk_key_encoding": {"name": "default", "separator": "/", "base": 16}}),
            "chunk key encoding",
        ),
        (
            json!({"data_type": {"name": "uint8", "configuration": {"endian": "big"}}}),
            "endian: \"big\" of the zarr data type",
        ),
        (
            json!({"data_type": {"name": "uint8", "bits": 4}}),
            "\"bits\" of the zarr data type",
        ),
        (json!({"data_type": "u1"}), "data type \"u1\""),
        (codecs(json!([])), "bytes of elements"),
        (codecs(json!(["zstd"])), "in order"),
        (codecs(json!(["bytes", "bytes"])), "in order"),
        (
            codecs(json!(["bytes", {"name": "transpose", "configuration": {"order": [1, 0]}}])),
            "in order",
        ),
        (codecs(json!(["vlen-utf8"])), "in order"),
        (
            codecs(with("zstd", json!({"level": 1, "dictionary": "x"}))),
            "dictionary: \"x\"",
        ),
        (
            codecs(with("crc32c", json!({"location": "start"}))),
            "location: \"start\"",
        ),
        (codecs(with("gzip", json!([5]))), "configuration of gzip"),
        (
            codecs(json!([{"name": "bytes", "endian": "big"}])),
            "\"endian\" of the zarr codec bytes",
        ),
        (codecs(with("delta", json!({}))), "in order"),
        (codecs(json!(["cast_value"])), "codec cast_value"),
    ] {
        let error = of(changes.clone()).expect_err(says).to_string();
        assert!(error.contains(says), "{changes}: {error}");
    }
}

#[test]
fn numcodecs_filters_are_read_in_both_formats() {
    let delta = json!({"id": "delta", "dtype": "<i4", "astype": ">i2"});
    let pipeline = |filters: Value| {
        let document = json!({
            "shape": [5], "chunks": [2], "dtype": "<i4", "order": "C", "fill_value": 0,
            "filters": filters, "compressor": {"id": "bz2", "level": 1}
        });
        ArrayMetadata::from_v2(&document, None).map(|metadata| metadata.pipeline)
    };
    let stored = |dtype, big_endian| StoredType { dtype, big_endian };
    let sum = |from| {
        Codec::Elements(Elements {
            from,
            to: stored(DType::I32, false),
            step: Step::Sum,
        })
    };
    let expected = CodecPipeline::new(vec![sum(stored(DType::I16, true)), Codec::Bz2]);
    assert!(pipeline(json!([delta])).is_ok_and(|found| found == expected));
    let nothing = pipeline(json!([{"id": "bitround", "keepbits": 3}]));
    assert!(nothing.is_ok_and(|found| found == CodecPipeline::new(vec![Codec::Bz2])));
    for (filter, says) in [
        (json!({"id": "delta"}), "dtype"),
        (json!({"id": "delta", "dtype": "<M8[s]"}), "dtype"),
        (json!({"id": "delta", "dtype": 4}), "dtype"),
        (
            json!({"id": "fixedscaleoffset", "dtype": "<i4", "scale": "2", "offset": 0}),
            "scale",
        ),
        (json!({"id": "crc32", "location": "middle"}), "location"),
        (json!({"id": "jenkins_lookup3", "initval": 5}), "initval"),
        (json!({"id": "lzma", "format": 3}), "format 3"),
        (json!({"id": "categorize"}), "codec categorize"),
    ] {
        let error = pipeline(json!([filter])).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    let chain = |codecs: Value| {
        let document = json!({
            "zarr_format": 3, "node_type": "array", "shape": [5], "data_type": "int32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
            "chunk_key_encoding": "default", "fill_value": 0, "codecs": codecs
        });
        ArrayMetadata::from_v3(&document).map(|metadata| metadata.pipeline)
    };
    let numcodec = |name: &str, configuration: Value| json!({"name": format!("numcodecs.{name}"), "configuration": configuration});
    let delta = || numcodec("delta", json!({"dtype": "<i4", "astype": "int16"}));
    let expected = CodecPipeline::new(vec![
        sum(stored(DType::I16, false)),
        Codec::Checksum {
            sum: Sum::Crc32,
            at_start: true,
        },
    ]);
    let found = chain(json!([delta(), "bytes", numcodec("crc32", json!({}))]));
    assert!(found.is_ok_and(|found| found == expected));
    let big = json!({"name": "bytes", "configuration": {"endian": "big"}});
    for (codecs, says) in [
        (json!([delta(), big]), "big-endian"),
        (json!([delta(), delta(), "bytes"]), "elements of int16"),
        (
            json!([numcodec("delta", json!({"dtype": "<i8"})), "bytes"]),
            "elements of int32",
        ),
        (
            json!([numcodec("delta", json!({"dtype": ">i4"})), "bytes"]),
            "dtype",
        ),
        (
            json!([numcodec("packbits", json!({})), "bytes"]),
            "booleans",
        ),
        (json!(["bytes", delta()]), "in order"),
        (json!(["bytes", "adler32"]), "codec adler32"),
        (
            json!([delta(), {"name": "transpose", "configuration": {"order": [0]}}, "bytes"]),
            "before a transpose",
        ),
    ] {
        let error = chain(codecs).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}
