//! Compares order, codes and weights with straightforward models.

use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use label_encoding::{
    Categories, Encoder, EncodingError, FloatWidth, Label, LabelColumn, LabelKind, LabelWeights,
    MISSING, UNKNOWN_CODE,
};
use proptest::prelude::*;

fn width() -> impl Strategy<Value = FloatWidth> {
    prop::sample::select(vec![FloatWidth::F16, FloatWidth::F32, FloatWidth::F64])
}

fn number() -> impl Strategy<Value = Label> {
    let float = |value: f64, width| Label::float(value, width).unwrap_or(Label::Int(0));
    prop_oneof![
        (-4_i64..4).prop_map(Label::from),
        any::<u64>().prop_map(Label::from),
        any::<i128>().prop_map(Label::Int),
        // Integers and floats near the largest integer that a float holds exactly.
        (-3_i64..3).prop_map(|d| Label::from((1 << 53) + d)),
        (-3_i64..3, width()).prop_map(move |(d, w)| float(((1_i64 << 53) + d) as f64, w)),
        (-8_i32..8, width()).prop_map(move |(v, w)| float(f64::from(v) / 2.0, w)),
        (any::<f64>(), width()).prop_map(move |(v, w)| float(v, w)),
    ]
}

fn text() -> impl Strategy<Value = Label> {
    "[ab9_é\u{fffd}\u{1f600}]{0,2}".prop_map(Label::from)
}

fn label() -> impl Strategy<Value = Label> {
    prop_oneof![any::<bool>().prop_map(Label::from), number(), text()]
}

/// Labels of stores, all of one kind.
fn stores() -> impl Strategy<Value = Vec<Vec<Label>>> {
    let of = |label: BoxedStrategy<Label>| {
        prop::collection::vec(prop::collection::vec(label, 0..6), 0..5)
    };
    prop_oneof![
        of(any::<bool>().prop_map(Label::from).boxed()),
        of(number().boxed()),
        of(text().boxed()),
    ]
}

fn hash(label: &Label) -> u64 {
    let mut hasher = DefaultHasher::new();
    label.hash(&mut hasher);
    hasher.finish()
}

/// A finite number as an integer times a power of two: exact, and comparable after aligning.
fn exact(label: &Label) -> Option<(i128, i32)> {
    match label {
        Label::Int(value) => Some((*value, 0)),
        Label::Float(float) if float.value().is_finite() => {
            let bits = float.value().to_bits();
            let exponent = ((bits >> 52) & 0x7ff) as i32;
            let fraction = (bits & ((1 << 52) - 1)) as i128;
            let (mantissa, power) = match exponent {
                0 => (fraction, -1074),
                _ => (fraction | 1 << 52, exponent - 1075),
            };
            Some((
                if float.value() < 0.0 {
                    -mantissa
                } else {
                    mantissa
                },
                power,
            ))
        }
        _ => None,
    }
}

/// Compares two exact numbers by their signs, then by the binary digits of their magnitudes.
fn naive_cmp(a: (i128, i32), b: (i128, i32)) -> Ordering {
    let sign = a.0.signum().cmp(&b.0.signum());
    if sign != Ordering::Equal || a.0 == 0 {
        return sign;
    }
    // The magnitude without trailing zeros, and the place of its highest bit.
    let size = |(mantissa, power): (i128, i32)| {
        let size = mantissa.unsigned_abs();
        let n_bits = 128 - size.leading_zeros() as i32;
        (n_bits + power, size << size.leading_zeros())
    };
    let by_size = size(a).cmp(&size(b));
    if a.0 < 0 { by_size.reverse() } else { by_size }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn labels_are_totally_ordered(a in label(), b in label(), c in label()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.cmp(&b) == Ordering::Equal);
        if a == b {
            prop_assert_eq!(hash(&a), hash(&b));
        }
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        prop_assert!(a.kind() == b.kind() || a.cmp(&b) == a.kind().cmp(&b.kind()));
    }

    #[test]
    fn numbers_compare_exactly(a in number(), b in number()) {
        if let (Some(x), Some(y)) = (exact(&a), exact(&b)) {
            prop_assert_eq!(a.cmp(&b), naive_cmp(x, y), "{} against {}", a, b);
        }
    }

    #[test]
    fn texts_read_back(value in any::<f64>(), width in width()) {
        let Some(Label::Float(float)) = Label::float(value, width) else { return Ok(()) };
        let text = Label::Float(float).to_string();
        let read: f64 = text.parse().unwrap();
        prop_assert_eq!(Label::float(read, width), Some(Label::Float(float)));
        prop_assert!(text.contains('.') || text.contains('e') || text.contains("inf"));
    }

    #[test]
    fn encoders_number_the_sorted_union(stores in stores(), pick in any::<prop::sample::Index>(), has_unknown: bool) {
        let numbered: Vec<(usize, &[Label])> = stores.iter().map(Vec::as_slice).enumerate().collect();
        let categories = Categories::merge(&numbered).unwrap();
        let union: BTreeSet<&Label> = stores.iter().flatten().collect();
        prop_assert!(categories.labels().iter().eq(union.iter().copied()));
        for label in categories.labels() {
            let first = stores.iter().flatten().find(|l| *l == label).unwrap();
            prop_assert_eq!(label.python_text(), first.python_text());
            let text = label.python_text();
            prop_assert_eq!(&categories.find_text(&text).unwrap().python_text(), &text);
        }

        let unknown = Some(&categories).filter(|c| has_unknown && !c.is_empty())
            .map(|c| c.labels()[pick.index(c.len())].clone());
        let encoder = Encoder::new(categories, unknown.as_ref());
        let mut code = 0;
        let mut expected: HashMap<&Label, i64> = HashMap::new();
        for label in union {
            if unknown.as_ref() == Some(label) {
                expected.insert(label, UNKNOWN_CODE);
            } else {
                expected.insert(label, code);
                code += 1;
            }
        }
        prop_assert_eq!(encoder.n_classes() as i64, code);
        let entries: Vec<(&Label, i64)> = encoder.entries().collect();
        prop_assert!(entries.is_sorted_by_key(|entry| entry.1));
        prop_assert_eq!(entries.into_iter().collect::<HashMap<_, _>>(), expected.clone());
        for store in &stores {
            let codes: Vec<i64> = store.iter().map(|label| expected[label]).collect();
            prop_assert_eq!(encoder.table(store), Ok(codes));
        }
    }

    #[test]
    fn mixed_kinds_name_the_first_two_stores_that_differ(stores in prop::collection::vec(prop::collection::vec(label(), 0..2), 0..5)) {
        let numbered: Vec<(usize, &[Label])> = stores.iter().map(Vec::as_slice).enumerate().collect();
        let kinds: Vec<(usize, LabelKind)> = stores.iter().enumerate()
            .flat_map(|(i, labels)| labels.iter().map(move |label| (i, label.kind())))
            .collect();
        let differs = kinds.iter().find(|(_, kind)| *kind != kinds[0].1);
        match (Categories::merge(&numbered), differs) {
            (Ok(_), None) => {}
            (Err(EncodingError::MixedKinds { first_store, first_kind, second_store, second_kind }), Some(&second)) => {
                prop_assert_eq!((first_store, first_kind), kinds[0]);
                prop_assert_eq!((second_store, second_kind), second);
            }
            (result, differs) => prop_assert!(false, "{result:?} where {differs:?}"),
        }
    }

    #[test]
    fn weights_follow_the_joined_texts(
        keys in prop::collection::vec(prop::collection::vec("(a|b|_|__|nan){1,2}", 1..4), 1..4),
        rows in prop::collection::vec(prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 3), 0..20),
        scaler in prop::option::of(0.0..10.0_f64),
    ) {
        let code = |key: usize, row: &[Option<prop::sample::Index>]| {
            row[key].map_or(MISSING, |pick| pick.index(keys[key].len()) as u32)
        };
        let codes: Vec<Vec<u32>> = (0..keys.len()).map(|key| rows.iter().map(|row| code(key, row)).collect()).collect();
        let columns: Vec<LabelColumn<'_>> = codes.iter().zip(&keys).map(|(codes, texts)| LabelColumn { codes, texts }).collect();
        let counted = LabelWeights::count(rows.len(), &columns).unwrap();

        let labels: Vec<String> = (0..rows.len()).map(|row| {
            let text = |key: usize| keys[key].get(codes[key][row] as usize).map_or("nan", String::as_str);
            (0..keys.len()).map(text).collect::<Vec<_>>().join("__")
        }).collect();
        let mut classes: Vec<&String> = Vec::new();
        for label in &labels {
            if !classes.contains(&label) { classes.push(label) }
        }
        let n = |label: &String| labels.iter().filter(|l| *l == label).count();
        let weight = |label: &String| match scaler {
            None => 1.0 / n(label) as f64,
            Some(s) => s / (n(label) as f64 + s),
        };
        prop_assert!(counted.classes().iter().eq(classes.iter().copied()));
        prop_assert!(counted.counts().iter().copied().eq(classes.iter().map(|class| n(class) as u64)));
        prop_assert_eq!(counted.weights(scaler), labels.iter().map(weight).collect::<Vec<_>>());
        let by_class: Vec<(String, f64)> = classes.iter().map(|&class| (class.clone(), weight(class))).collect();
        prop_assert_eq!(counted.by_class(scaler), by_class);
    }
}
