//! Unusual content of HDF5 files: types that are converted when read, messages that objects share,
//! and names that are not text. `fixtures/generate/hdf5_layouts.py` writes the files.

use std::path::Path;

use anndata_io::{
    AnnDataFile, Array, Attribute, Check, DType, IoContext, LayerKey, Node, Store, Values,
};

fn open(name: &str) -> Store {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hdf5");
    Store::open(&path.join(name), &IoContext::default()).expect("a fixture")
}

fn array(store: &Store, name: &str) -> Array {
    store.array(name).expect("readable")
}

fn read(store: &Store, name: &str) -> Values {
    array(store, name).read_all().expect("readable")
}

#[test]
fn floats_of_other_layouts_are_converted() {
    let store = open("types_uncommon.h5");
    for (name, dtype, digits) in [
        ("x87", DType::F64, 63),
        ("quad", DType::F64, 112),
        ("bfloat16", DType::F32, 7),
        ("wide32", DType::F64, 20),
        ("wide64", DType::F64, 48),
    ] {
        // Bits 0101..., to the length of the mantissa, behind the leading one.
        let bits = 0x5A5A_5A5A_5A5A_5A5A_5A5A_5A5A_5A5Au128;
        let kept = if name == "x87" { 64 } else { digits };
        let mantissa = bits >> (112 - kept) >> 1;
        // Rounding to 64 bits first loses nothing that a float64 holds.
        let fraction = (mantissa as f64) / 2f64.powi(digits);
        let numbers = (-4..5).map(|exponent| (1.0 + fraction) * 2f64.powi(exponent));
        let mut expected: Vec<f64> = numbers.collect();
        expected.extend([0.0, -0.0, 1.0, f64::INFINITY, -expected[0]]);
        for suffix in ["", "_be", "_gzip", "_be_gzip"] {
            let name = format!("{name}{suffix}");
            assert_eq!(array(&store, &name).dtype(), Some(dtype), "{name}");
            let found = read(&store, &name).as_slice().to_vec::<f64>();
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(
                    found.to_bits(),
                    expected.to_bits(),
                    "{name}: {found} {expected}"
                );
            }
            assert_eq!(found.len(), expected.len(), "{name}");
        }
    }
}

#[test]
fn enumerations_are_booleans_or_integers() {
    let store = open("types_uncommon.h5");
    let smallest = i64::from(i32::MIN);
    for suffix in ["le4", "be4", "le8", "be8"] {
        let booleans = read(&store, &format!("bool_{suffix}"));
        assert_eq!(booleans.dtype(), DType::Bool);
        assert_eq!(booleans.as_slice().to_vec::<u8>(), [0, 1].repeat(3));
        for name in ["logical", "colour"] {
            let integers = read(&store, &format!("{name}_{suffix}"));
            assert!(integers.dtype().is_integer());
            assert_eq!(
                integers.as_slice().to_vec::<i64>(),
                [0, 1, smallest].repeat(3)
            );
        }
    }
}

#[test]
fn bit_fields_are_unsigned_integers() {
    let store = open("types_uncommon.h5");
    assert_eq!(
        read(&store, "bits_8"),
        Values::U8(vec![0, 1, 1 << 7, u8::MAX])
    );
    assert_eq!(
        read(&store, "bits_16"),
        Values::U16(vec![0, 1, 1 << 15, u16::MAX])
    );
    assert_eq!(
        read(&store, "bits_32"),
        Values::U32(vec![0, 1, 1 << 31, u32::MAX])
    );
    assert_eq!(
        read(&store, "bits_64"),
        Values::U64(vec![0, 1, 1 << 63, u64::MAX])
    );
    assert_eq!(
        read(&store, "bits_16_be"),
        Values::U16(vec![0, 1, 0x102, 0xfffe])
    );
}

#[test]
fn whole_floats_of_attributes_are_integers() {
    let store = open("types_uncommon.h5");
    let attribute = |name| store.attribute("", name).expect("readable");
    assert_eq!(attribute("whole"), Some(Attribute::Integers(vec![12, 7])));
    assert_eq!(attribute("named"), Some(Attribute::Integers(vec![12, 7])));
    assert_eq!(
        attribute("fraction"),
        Some(Attribute::Other("[12.5, 7.0]".to_owned()))
    );
}

#[test]
fn named_type_is_not_an_element() {
    let store = open("types_uncommon.h5");
    assert_eq!(store.node("named_type").expect("readable"), None);
    let names = store.children("").expect("readable");
    assert!(!names.contains(&"named_type".to_owned()), "{names:?}");
    let about = store.attribute("named_type", "about").expect("readable");
    assert!(matches!(about, Some(Attribute::Text(_))), "{about:?}");
}

#[test]
fn shared_messages_are_followed() {
    for name in ["earliest", "v110", "v110_tree"] {
        let store = open(&format!("shared_{name}.h5"));
        for i in 0..3 {
            let group = format!("group{i}");
            let element = format!("{group}/gzip");
            let expected: Vec<i32> = (0..9).map(|i| i * i - 100).collect();
            assert_eq!(read(&store, &element), Values::I32(expected), "{name}");
            let shape = store.attribute(&element, "shape").expect("readable");
            assert_eq!(shape, Some(Attribute::Integers(vec![12, 7])));
            let names = store.attribute_names(&group).expect("readable");
            assert_eq!(names.len(), 12, "{name}: {names:?}");
            for j in 0..12 {
                let found = store.attribute(&group, &format!("attribute {j}"));
                let expected = Attribute::Text(format!("text {j}"));
                assert_eq!(found.expect("readable"), Some(expected), "{name}");
            }
            assert_eq!(store.attribute(&group, "none").expect("readable"), None);
        }
    }
}

#[test]
fn shared_message_table_with_damage_is_an_error() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hdf5/shared_v110.h5");
    let bytes = std::fs::read(path).expect("a fixture");
    let table = bytes.windows(4).position(|part| part == b"SMTB");
    let table = table.expect("it shares messages");
    for at in table..table + 60 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x11;
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), damaged).expect("room for a file");
        let store = Store::open(file.path(), &IoContext::default()).expect("its head is fine");
        let attribute = store.attribute("group0", "attribute 3");
        attribute.expect_err("it is shared");
    }
}

#[test]
fn names_in_another_encoding_hide_no_other() {
    for version in ["earliest", "v110"] {
        let store = open(&format!("names_{version}.h5"));
        for (group, count) in [("few", 2), ("many", 30)] {
            let mut names = store.children(group).expect("readable");
            names.sort_unstable();
            // The name of a link to such a name is not text either.
            let mut expected: Vec<String> = (0..count).map(|i| format!("member {i}")).collect();
            expected.push("to member".to_owned());
            expected.sort_unstable();
            assert_eq!(names, expected);
            let last = format!("{group}/member {}", count - 1);
            assert_eq!(read(&store, &last), Values::I16(vec![count - 1]));
            assert_eq!(
                read(&store, &format!("{group}/to member")),
                Values::I16(vec![1])
            );
            assert_eq!(store.node(&format!("{group}/café")).expect("absent"), None);
            let errors = store.unreadable(group).expect("readable");
            let mut elements: Vec<&str> = errors.iter().map(|error| error.element()).collect();
            elements.sort_unstable();
            let expected = [r"caf\xe9", r"to caf\xe9"].map(|name| format!("{group}/{name}"));
            assert_eq!(elements, expected, "{version}");
            assert!(errors[0].to_string().contains("UTF-8"), "{}", errors[0]);
        }
        assert!(store.unreadable("").expect("readable").is_empty());
    }
}

#[test]
fn damaged_headers_hide_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hdf5/names_v110.h5");
    let bytes = std::fs::read(path).expect("a fixture");
    let before = open("names_v110.h5").children("many").expect("readable");
    let headers = bytes.windows(4).enumerate();
    let headers = headers.filter(|(_, part)| *part == b"OHDR");
    let mut n_damaged = 0;
    for (at, _) in headers {
        let mut bytes = bytes.clone();
        bytes[at + 8] ^= 0xff;
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("room for a file");
        let store = Store::open(file.path(), &IoContext::default()).expect("its head is fine");
        // The damage hit the root's header, or the group's own.
        let Ok(names) = store.children("many") else {
            continue;
        };
        assert_eq!(names, before);
        let node = |name: &&String| store.node(&format!("many/{name}"));
        let (fine, damaged): (Vec<_>, Vec<_>) = names.iter().partition(|name| node(name).is_ok());
        // A member, and perhaps the link that leads to it.
        assert!(damaged.len() <= 2, "{damaged:?}");
        assert!(
            fine.iter()
                .all(|name| matches!(node(name), Ok(Some(Node::Array))))
        );
        let errors = store.unreadable("many").expect("readable");
        for name in &damaged {
            let named = format!("many/{name}");
            assert!(errors.iter().any(|error| error.element() == named));
        }
        n_damaged += damaged.len();
    }
    assert_eq!(n_damaged, 31);
}

/// A column whose name was damaged: once in the group, once in the attribute that lists it.
#[test]
fn check_reports_members_that_cannot_be_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores/base_a_csr.h5ad");
    let bytes = std::fs::read(path).expect("a fixture");
    let places = bytes.windows(6).enumerate();
    let places = places.filter(|(_, part)| *part == b"donor\0");
    let mut found = Vec::new();
    for (at, _) in places {
        let mut bytes = bytes.clone();
        bytes[at + 3] = 0xe9;
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("room for a file");
        let cells = AnnDataFile::open(file.path()).expect("its tables are fine");
        let x = cells.layer(&LayerKey::X).expect("readable");
        assert!(x.is_some());
        let kind = cells.obs_column("cell_type").expect("readable");
        assert!(kind.is_some());
        let keys = cells.obs_keys().expect("readable");
        assert!(keys.contains(&"score".to_owned()), "{keys:?}");
        let report = Check::new().check_file(&cells, &mut |_, _| {});
        assert!(!report.faults.is_empty());
        found.extend(report.faults.iter().map(|fault| fault.element().to_owned()));
    }
    assert!(found.contains(&r"obs/don\xe9r".to_owned()), "{found:?}");
}
