//! Tests the comparison on stores in memory that differ in one place each.

use std::path::Path;

use anndata_io::{Attribute, ErrorKind, MemoryStore, Store, Values};

use crate::report::Report;
use crate::{compare, files};

fn store() -> MemoryStore {
    let values = Values::I32(vec![1, 2, 3, 4, 5, 6]);
    MemoryStore::new("cells")
        .group("g")
        .array("g/x", &[3, 2], values)
        .texts("t", &["a", "b"])
        .attribute("g", "version", Attribute::Integers(vec![1]))
}

fn compared(ours: MemoryStore, other: MemoryStore, original: Option<MemoryStore>) -> Report {
    let mut report = Report::new("other");
    let original: Option<Store> = original.map(Into::into);
    let both = [Ok(ours.into()), Ok(other.into())];
    compare::stores(Path::new("cells"), both, original.as_ref(), &mut report);
    report
}

/// The elements that differ, and how.
fn places(report: &Report) -> Vec<(&str, &str)> {
    let different = report.different.iter();
    different
        .map(|at| (at.element.as_str(), at.what.as_str()))
        .collect()
}

#[test]
fn equal_stores_do_not_differ_and_are_read_as_a_whole() {
    let report = compared(store(), store(), None);
    assert_eq!(places(&report), []);
    assert_eq!((report.groups, report.arrays), (2, 2));
    assert_eq!(report.bytes, 6 * 4 + 2);
    assert!(report.attributes >= 1);
}

#[test]
fn an_element_that_differs_is_named_with_its_number() {
    let values = Values::I32(vec![1, 2, 3, 4, 7, 6]);
    let report = compared(store(), store().array("g/x", &[3, 2], values), None);
    assert_eq!(places(&report), [("g/x", "element")]);
    assert_eq!(report.different[0].index, Some(4));
    assert!(report.different[0].ours.starts_with('5') || report.different[0].ours.contains('5'));
    assert!(
        report
            .to_string()
            .contains("DIFFERENT: cells: g/x: element 4")
    );
}

#[test]
fn types_texts_attributes_and_members_are_compared() {
    let values = Values::I64(vec![1, 2, 3, 4, 5, 6]);
    let of_type = compared(store(), store().array("g/x", &[3, 2], values), None);
    assert_eq!(places(&of_type), [("g/x", "type and shape")]);

    let texts = compared(store(), store().texts("t", &["a", "c"]), None);
    assert_eq!(places(&texts), [("t", "text")]);

    let version = Attribute::Integers(vec![2]);
    let attribute = compared(store(), store().attribute("g", "version", version), None);
    assert_eq!(places(&attribute), [("g", "attribute version")]);

    let members = compared(store(), store().group("h"), None);
    assert_eq!(places(&members), [("", "members")]);
}

#[test]
fn an_element_that_our_reader_kept_is_no_difference_in_a_damaged_copy() {
    let damaged = || store().array("g/x", &[3, 2], Values::I32(vec![1, 2, 3, 4, 7, 6]));
    // Our reader returns the value of the original.
    assert_eq!(places(&compared(store(), damaged(), Some(store()))), []);
    // Our reader returns a value that the original does not have.
    let report = compared(damaged(), store(), Some(store()));
    assert_eq!(places(&report), [("g/x", "element")]);
}

#[test]
fn a_file_that_only_one_reader_opens_differs() {
    let missing = || Store::open(Path::new("/no/such/file"), &Default::default());
    let error = missing().expect_err("no file");
    assert!(matches!(error.kind(), ErrorKind::NotFound));
    let mut report = Report::new("other");
    let both = [Ok(store().into()), missing()];
    compare::stores(Path::new("cells"), both, None, &mut report);
    assert_eq!(places(&report), [("", "file")]);
}

#[test]
fn reports_of_processes_add_up() {
    let values = Values::I32(vec![1, 2, 3, 4, 7, 6]);
    let one = compared(store(), store().array("g/x", &[3, 2], values), None);
    let mut sum = Report::new("other");
    sum.add(&one.to_json());
    sum.add(&one.to_json());
    assert_eq!((sum.differences(), sum.groups), (2, 2 * one.groups));
    assert_eq!(sum.different[1].index, Some(4));
    assert_eq!(sum.different[1].other, one.different[0].other);
}

#[test]
fn folders_are_searched_for_extensions_and_stores_are_taken_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("b.h5"), "").expect("room");
    std::fs::write(at("a.h5ad"), "").expect("room");
    std::fs::write(at("c.txt"), "").expect("room");
    std::fs::create_dir(at("d.zarr")).expect("room");
    let list = |paths: &[_], extensions: &[&str]| {
        let defaults = [folder.path().to_path_buf()];
        files::list(paths, &defaults, extensions).expect("readable")
    };
    assert_eq!(list(&[], &["h5", "h5ad"]), [at("a.h5ad"), at("b.h5")]);
    assert_eq!(list(&[at("c.txt")], &["h5"]), [at("c.txt")]);
    assert_eq!(list(&[at("d.zarr")], &["zarr"]), [at("d.zarr")]);
    assert_eq!(list(&[], &["zarr"]), [at("d.zarr")]);
    assert!(files::list(&[], &[at("none")], &["h5"]).is_ok());
}
