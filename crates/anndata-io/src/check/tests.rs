use std::num::NonZeroU64;

use super::*;
use crate::dtype::Values;
use crate::error::Error;
use crate::store::{Attribute, MemoryStore};

fn cells(n: usize, genes: &[&str]) -> MemoryStore {
    let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    MemoryStore::new("cells")
        .dataframe("obs", &names)
        .dataframe("var", genes)
}

fn check_with(check: &Check, store: MemoryStore) -> CheckReport {
    let file = AnnDataFile::from_store(store.into()).expect("obs and var are there");
    check.check_file(&file, &mut |_, _| {})
}

fn check(store: MemoryStore) -> CheckReport {
    check_with(&Check::new(), store)
}

fn element<'a>(report: &'a CheckReport, name: &str) -> &'a ElementReport {
    let found = report.elements.iter().find(|found| found.element == name);
    found.expect(name)
}

fn texts(errors: &[Error]) -> Vec<String> {
    errors.iter().map(Error::to_string).collect()
}

#[test]
fn check_counts_notable_values() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let values = vec![nan, -inf, 0.0, -1.0, 2.0, -0.0];
    let indptr = vec![0, 3, 6];
    let store = cells(2, &["a", "b", "c"])
        .array("X", &[2, 3], Values::F32(values.clone()))
        .csr(
            "layers/sparse",
            [2, 3],
            indptr,
            vec![0, 1, 2, 0, 1, 2],
            Values::F32(values),
        )
        .array("obsm/ints", &[2, 2], Values::I8(vec![-1, 0, -3, 4]));
    let report = check(store);
    assert_eq!((report.n_faults(), report.notices.len()), (0, 0));
    assert_eq!(report.shape, Some([2, 3]));
    let dense = ElementCounts {
        nan: 1,
        infinite: 1,
        negative: 2,
        ..Default::default()
    };
    assert_eq!(element(&report, "X").counts, dense);
    assert_eq!(element(&report, "X").stored, 6);
    let sparse = ElementCounts {
        explicit_zeros: 2,
        ..dense
    };
    assert_eq!(element(&report, "layers/sparse").counts, sparse);
    assert_eq!(element(&report, "obsm/ints").counts.negative, 2);
    let layouts = report.elements.iter().map(|element| element.layout.name());
    let expected = ["column", "column", "dense", "csr", "dense"];
    assert!(layouts.eq(expected));
}

/// Rows that ascend, that do not, and that repeat a column; chunk borders fall everywhere.
#[test]
fn check_counts_rows_out_of_order_across_chunks() {
    let rows: [&[i32]; 7] = [
        &[0, 1, 3],
        &[],
        &[2, 1],
        &[4],
        &[0, 0],
        &[0, 1, 2, 3, 4],
        &[3, 4, 1],
    ];
    let indices: Vec<i32> = rows.concat();
    let mut indptr = vec![0];
    for row in rows {
        indptr.push(indptr.last().expect("never empty") + row.len() as i64);
    }
    let genes = ["a", "b", "c", "d", "e"];
    for chunk in 1..=indices.len() as u64 + 1 {
        for workers in [1, 3] {
            let data = Values::U8(vec![1; indices.len()]);
            let store = cells(7, &genes)
                .csr("X", [7, 5], indptr.clone(), indices.clone(), data)
                .chunked(NonZeroU64::new(chunk).expect("not 0"));
            let report = check_with(&Check::new().workers(workers), store);
            assert_eq!(texts(&report.faults), [""; 0], "chunks of {chunk}");
            let x = element(&report, "X");
            assert_eq!((x.counts.unordered, x.stored), (3, 16), "chunks of {chunk}");
        }
    }
}

#[test]
fn check_reads_columns_as_they_are_stored() {
    let store = cells(3, &["a", "b"]).csc(
        "X",
        [3, 2],
        vec![0, 2, 3],
        vec![2, 0, 3, 1],
        Values::F32(vec![1.0, 0.0, 2.0, 3.0]),
    );
    let report = check(store);
    let expected = "cells: X/indices: expected rows from 0 to below 3, found row 3 in column 1";
    assert_eq!(texts(&report.faults), [expected]);
    let x = element(&report, "X");
    assert_eq!((x.layout, x.stored), (ElementLayout::Csc, 3));
    let expected = ElementCounts {
        explicit_zeros: 1,
        unordered: 1,
        unused: 1,
        ..Default::default()
    };
    assert_eq!(x.counts, expected);
}

#[test]
fn check_lists_every_fault_up_to_a_limit() {
    let n = 150;
    let ones = Values::F32(vec![1.0; n]);
    let indptr: Vec<i64> = (0..=n as i64).collect();
    let indices: Vec<i32> = (0..n as i32)
        .map(|row| if row == 7 { 0 } else { -1 })
        .collect();
    let mut codes = vec![0i8; n];
    (codes[3], codes[100], codes[101]) = (2, -2, -1);
    let store = cells(n, &["a"])
        .categorical("obs/kind", codes, &["B", "T"])
        .csr("X", [n as u64, 1], indptr, indices, ones);
    let report = check(store);
    assert_eq!(report.n_faults(), 2 + 149);
    assert_eq!(element(&report, "X").more_faults, 49);
    assert_eq!(element(&report, "obs/kind").counts.missing, 1);
    let faults = texts(&report.faults);
    assert_eq!(faults.len(), 102);
    let expected = "expected codes from -1 to below the 2 categories, found";
    assert_eq!(
        faults[..2],
        [
            format!("cells: obs/kind/codes: {expected} 2 in row 3"),
            format!("cells: obs/kind/codes: {expected} -2 in row 100"),
        ]
    );
    assert_eq!(
        faults[2],
        "cells: X/indices: expected columns from 0 to below 1, found column -1 in row 0"
    );
}

#[test]
fn repeated_names_are_notices() {
    let report = check(cells(1, &["a", "b", "a", "b2"]));
    let expected = "cells: var: expected distinct names, for a join, found \"a\" 2 times";
    assert_eq!(texts(&report.notices), [expected]);
    assert_eq!(texts(&report.faults), [""; 0]);
    let report = check(cells(1, &["d", "c", "a", "b", "a", "c", "a", "c"]));
    let expected = "cells: var: expected distinct names, for a join, found 2 names that repeat, \
                    such as \"c\" 3 times";
    assert_eq!(texts(&report.notices), [expected]);
    let store = MemoryStore::new("cells")
        .dataframe("obs", &["x", "y", "x"])
        .dataframe("var", &["g"]);
    let report = check(store);
    let expected = "cells: obs: expected distinct names, found \"x\" 2 times";
    assert_eq!(texts(&report.notices), [expected]);
    assert_eq!(report.n_faults(), 0);
}

#[test]
fn repeated_categories_are_faults() {
    let store = cells(2, &["g"])
        .categorical("obs/kind", vec![0, 2], &["a", "b", "a", "c", "b", "a"])
        .categorical("obs/fine", vec![0, 1], &["a", "A"]);
    let report = check(store);
    let of = |found: &str| {
        format!("cells: obs/kind/categories: expected distinct categories, found {found} times")
    };
    assert_eq!(texts(&report.faults), [of("\"a\" 3"), of("\"b\" 2")]);
    assert_eq!(report.notices.len(), 0);
    // They are still one label.
    let numbers = |values: Values| {
        let n = values.len() as u64;
        cells(2, &["g"])
            .group("obs/n")
            .attribute(
                "obs/n",
                "encoding-type",
                Attribute::Text("categorical".into()),
            )
            .array("obs/n/codes", &[2], Values::I8(vec![0, 1]))
            .array("obs/n/categories", &[n], values)
    };
    let report = check(numbers(Values::F64(vec![1.5, 0.0, -0.0])));
    let expected = "cells: obs/n/categories: expected distinct categories, found 0.0 2 times";
    assert_eq!(texts(&report.faults), [expected]);
    let report = check(numbers(Values::F64(vec![f64::NAN, 2.0, f64::NAN])));
    assert_eq!(report.n_faults(), 0);
    let expected = "cells: obs/n/categories: expected categories without missing ones, found NaN";
    assert_eq!(texts(&report.notices), [expected]);
    assert_eq!(check(numbers(Values::I32(vec![3, 4]))).notices.len(), 0);
}

/// Before anndata 0.8, categories stand beside the codes.
#[test]
fn categories_of_old_files_are_checked() {
    let old = cells(2, &["g"])
        .array("obs/kind", &[2], Values::I8(vec![0, 1]))
        .group("obs/__categories")
        .array("obs/__categories/kind", &[2], Values::I64(vec![7, 7]));
    let report = check(old);
    let expected = "cells: obs/__categories/kind: expected distinct categories, found 7 2 times";
    assert_eq!(texts(&report.faults), [expected]);
}

/// anndata writes a key with a slash as nested groups.
#[test]
fn nested_keys_are_checked_one_by_one() {
    let values = || Values::F32(vec![1.0, 2.0]);
    let store = cells(2, &["g"])
        .group("layers/a")
        .array("layers/a/b", &[2, 1], values())
        .group("layers/a/c")
        .array("layers/a/c/d", &[2, 1], values())
        .array("layers/a/c/short", &[1, 1], Values::F32(vec![1.0]))
        .group("layers/nothing")
        .group("obsm/p")
        .array("obsm/p/q", &[2, 1], Values::F32(vec![f32::NAN, 1.0]))
        // A categorical, and a key below its name.
        .categorical("obs/kind", vec![0, 1], &["a", "b"])
        .array("obs/kind/other", &[2], values());
    let report = check(store.clone());
    let names: Vec<&str> = report.elements.iter().map(|e| e.element.as_str()).collect();
    let expected = [
        "obs/_index",
        "var/_index",
        "obs/kind",
        "obs/kind/other",
        "layers/a/b",
        "layers/a/c/d",
        "obsm/p/q",
    ];
    assert_eq!(names, expected);
    let expected = [
        "cells: layers/a/c/short: expected shape [2, 1], found [1, 1]",
        "cells: layers/nothing: expected attribute encoding-type, found a group without it",
    ];
    assert_eq!(texts(&report.faults), expected);
    let file = AnnDataFile::from_store(store.into()).expect("obs and var are there");
    assert_eq!(file.obs_keys().expect("readable"), ["kind", "kind/other"]);
    let layers = ["a/b", "a/c/d", "a/c/short", "nothing"];
    let keys = file.layers_keys().expect("readable");
    assert!(keys.iter().map(LayerKey::to_string).eq(layers));
}

#[test]
fn element_without_its_encoding_is_a_fault() {
    let store = cells(2, &["g"])
        .group("layers/l")
        .array("layers/l/indptr", &[3], Values::I64(vec![0, 0, 0]))
        .group("obs/o")
        .array("obs/o/codes", &[2], Values::I8(vec![0, 0]));
    let report = check(store);
    let found = "expected attribute encoding-type, found a group without it";
    let expected = ["obs/o", "layers/l"].map(|element| format!("cells: {element}: {found}"));
    assert_eq!(texts(&report.faults), expected);
}

#[test]
fn unsupported_element_is_a_fault_only_if_it_is_x() {
    let encoding = || Attribute::Text("awkward-array".into());
    let strange = |store: MemoryStore, element: &str| {
        store
            .group(element)
            .attribute(element, "encoding-type", encoding())
    };
    let mut store = cells(1, &["a"]);
    for element in ["X", "layers/l", "obs/o", "obsm/m"] {
        store = strange(store, element);
    }
    let report = check(store.clone());
    let of = |errors: &[Error]| -> Vec<String> {
        errors
            .iter()
            .map(|error| error.element().to_owned())
            .collect()
    };
    assert_eq!(of(&report.faults), ["X"]);
    assert_eq!(of(&report.unsupported), ["obs/o", "layers/l", "obsm/m"]);
    assert_eq!(of(&report.notices), [""; 0]);
    // Elements that are not requested are not read; requested ones that do not exist are reported.
    let keys = ["raw.X", "k"];
    let some = Check::new().layers(keys).obs([""; 0]).obsm(["n"]);
    let report = check_with(&some, store);
    assert_eq!(of(&report.faults), [""; 0]);
    assert_eq!(of(&report.notices), ["raw/X", "layers/k", "obsm/n"]);
}

#[test]
fn layer_with_a_broken_part_is_a_fault() {
    let csr = Attribute::Text("csr_matrix".into());
    let store = cells(1, &["a"])
        .group("layers/l")
        .attribute("layers/l", "encoding-type", csr)
        .categorical("obs/short", vec![0, 0], &["B"]);
    let report = check(store);
    let elements: Vec<&str> = report.faults.iter().map(Error::element).collect();
    assert_eq!(elements, ["obs/short/codes", "layers/l/indptr"]);
}

#[test]
fn pointer_faults_name_the_pointers() {
    let values = Values::F32(vec![1.0; 4]);
    let store = cells(3, &["a"]).csr("X", [3, 1], vec![0, -1, 4, 4], vec![0; 4], values);
    let report = check(store);
    let expected =
        "cells: X/indptr: expected row pointers that do not decrease, found 4 after -1 at row 1";
    assert_eq!(texts(&report.faults), [expected]);
}

#[test]
fn columns_that_obs_lists_must_exist() {
    let order = ["a/b", "gone"].map(str::to_owned).to_vec();
    let store = cells(2, &["g"])
        .attribute("obs", "column-order", Attribute::Texts(order))
        .array("obs/a/b", &[2], Values::F32(vec![1.0, f32::NAN]));
    let report = check(store);
    let expected =
        "cells: obs/gone: expected the column that attribute column-order names, found none";
    assert_eq!(texts(&report.faults), [expected]);
    // A name with a slash is one name.
    assert_eq!(element(&report, "obs/a/b").counts.nan, 1);
    assert_eq!(report.notices.len(), 0);
}

#[test]
fn table_of_more_than_numbers_is_valid_but_unsupported() {
    let order = ["x", "kind"].map(str::to_owned).to_vec();
    let store = cells(1, &["g"])
        .dataframe("obsm/t", &["c0"])
        .attribute("obsm/t", "column-order", Attribute::Texts(order))
        .array("obsm/t/x", &[1], Values::U8(vec![1]))
        .categorical("obsm/t/kind", vec![0], &["B"]);
    let report = check(store);
    assert_eq!(texts(&report.faults), [""; 0]);
    let expected = "cells: obsm/t/kind: a categorical column in a table that is read as a matrix is \
                    not supported: leave the element out, or write it with columns of numbers alone";
    assert_eq!(texts(&report.unsupported), [expected]);
}

#[test]
fn progress_ends_at_the_end() {
    let store = cells(40, &["a", "b"])
        .array("X", &[40, 2], Values::U8(vec![0; 80]))
        .chunked(NonZeroU64::new(3).expect("not 0"));
    let file = AnnDataFile::from_store(store.into()).expect("obs and var are there");
    let mut seen = Vec::new();
    Check::new().check_file(&file, &mut |done, of| seen.push((done, of)));
    assert!(seen.len() >= 14, "{seen:?}");
    let n = seen.len() as u64;
    assert!(seen.iter().copied().eq((1..=n).map(|done| (done, n))));
}
