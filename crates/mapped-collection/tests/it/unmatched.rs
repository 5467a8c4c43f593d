//! Labels of options that no store has are told, each with the nearest one.

use mapped_collection::{
    FilterValue, Label, LabelMatch, MappedCollection, MappedCollectionBuilder, MemoryStore, Values,
};

fn store(name: &str, kinds: &[&str], batches: Values) -> MemoryStore {
    let codes = (0..kinds.len() as i8).collect();
    let names: Vec<String> = (0..kinds.len()).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    MemoryStore::new(name)
        .dataframe("obs", &names)
        .dataframe("var", &["x"])
        .categorical("obs/kind", codes, kinds)
        .array("obs/batch", &[kinds.len() as u64], batches)
}

fn two() -> MappedCollectionBuilder {
    let a = store("a", &["B", "T cell"], Values::I64(vec![1, 2]));
    let b = store("b", &["NK", "mono"], Values::I64(vec![3, 4]));
    MappedCollection::builder([a, b]).layers([""; 0])
}

fn told(builder: MappedCollectionBuilder) -> Vec<String> {
    let cells = builder.open().expect("valid");
    cells
        .unmatched_labels()
        .iter()
        .map(|l| l.to_string())
        .collect()
}

fn filtered(key: &str, values: Vec<FilterValue>) -> Vec<String> {
    told(two().filter(key, values))
}

#[test]
fn filter_labels_that_no_store_has_are_listed() {
    let of = |labels: &[&str]| labels.iter().map(|&label| label.into()).collect();
    // One store is enough, and a label that another lacks is no fault.
    assert_eq!(filtered("kind", of(&["B", "mono"])), [""; 0]);
    assert_eq!(
        filtered("kind", of(&["b", "T cell", "t-cell", "b", "erythrocyte"])),
        [
            r#"obs_filter: no store has the label "b" in the obs key "kind": did you mean "B"?"#,
            r#"obs_filter: no store has the label "t-cell" in the obs key "kind": did you mean "T cell"?"#,
            r#"obs_filter: no store has the label "erythrocyte" in the obs key "kind""#,
        ]
    );
    assert_eq!(filtered("kind", vec![FilterValue::Missing]), [""; 0]);
    // A key that no store has is told as such.
    assert_eq!(filtered("kinds", of(&["b"])), [""; 0]);
}

#[test]
fn label_kind_counts() {
    let text = filtered("batch", vec!["1".into()]);
    let expected =
        r#"obs_filter: no store has the label "1" in the obs key "batch": did you mean 1?"#;
    assert_eq!(text, [expected]);
    // A command line has texts alone.
    let typed = LabelMatch::Text("1".to_owned());
    assert_eq!(filtered("batch", vec![FilterValue::Label(typed)]), [""; 0]);
    assert_eq!(filtered("batch", vec![Label::from(4).into()]), [""; 0]);
    let number = filtered("kind", vec![Label::from(7).into()]);
    let expected = r#"obs_filter: no store has the label 7 in the obs key "kind""#;
    assert_eq!(number, [expected]);
}

#[test]
fn unknown_labels_that_no_store_has_are_listed() {
    let keys = || two().obs(["kind", "batch"]);
    assert_eq!(told(keys().unknown_label("kind", "NK")), [""; 0]);
    assert_eq!(
        told(keys().unknown_label("kind", "nk")),
        [r#"unknown_label: no store has the label "nk" in the obs key "kind": did you mean "NK"?"#]
    );
    assert_eq!(
        told(keys().unknown_label("batch", "3")),
        [r#"unknown_label: no store has the label "3" in the obs key "batch": did you mean 3?"#]
    );
    // Given once for all keys, one key is enough.
    assert_eq!(told(keys().unknown_label_for_all("mono")), [""; 0]);
    assert_eq!(told(keys().unknown_label_for_all(Label::from(2))), [""; 0]);
    assert_eq!(
        told(keys().unknown_label_for_all("Mono")),
        [
            r#"unknown_label: no store has the label "Mono" in any encoded obs key: did you mean "mono"?"#
        ]
    );
    // Where nothing is encoded, nothing is looked for.
    let none = keys().encode_labels(false).unknown_label_for_all("Mono");
    assert_eq!(told(none), [""; 0]);
}

#[test]
fn long_labels_and_long_lists_are_listed() {
    let long = "x".repeat(1 << 20);
    let labels: Vec<FilterValue> = (0..3).map(|i| format!("{long}{i}").into()).collect();
    assert_eq!(filtered("kind", labels).len(), 3);
    let many: Vec<FilterValue> = (0..5000).map(|i| format!("label {i}").into()).collect();
    let cells = two().filter("kind", many).open().expect("valid");
    assert_eq!(cells.unmatched_labels().len(), 5000);
    assert_eq!(
        (cells.n_obs(), &cells.unmatched_labels()[4999].nearest),
        (0, &None)
    );
}
