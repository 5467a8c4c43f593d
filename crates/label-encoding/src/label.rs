//! One label: a boolean, a number or a text.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use numpy_text::FloatWidth;
use numpy_text::float_text;

/// One value of a label column. Never missing: a missing value is not a label.
///
/// Labels are ordered as Python orders them: false < true, numbers by value, texts by Unicode code point. Integers and
/// floats are one kind and compare by exact value, so `2 == 2.0`, and `2^53 + 1` is not the float `2^53`. Labels of
/// different [kinds](LabelKind) are never equal; all booleans sort before all numbers, and all numbers before all
/// texts.
///
/// `Display` writes [`python_text`](Self::python_text).
#[derive(Debug, Clone)]
// Exhaustive: a caller that converts every kind should fail to compile when one is added.
pub enum Label {
    /// A boolean.
    Bool(bool),
    /// An integer of any width that numpy has, signed or not.
    Int(i128),
    /// A floating-point number, not NaN; see [`Label::float`].
    Float(Float),
    /// A text.
    Str(Arc<str>),
}

/// A floating-point number that is not NaN, with the width that its column has.
#[derive(Debug, Clone, Copy)]
pub struct Float {
    value: f64,
    width: FloatWidth,
}

/// Labels of one kind can be compared with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelKind {
    /// Booleans.
    Bool,
    /// Integers and floats.
    Number,
    /// Texts.
    Text,
}

impl Label {
    /// A floating-point label, rounded to `width` if it is not a value of that width; `None` for NaN, which is a
    /// missing value.
    pub fn float(value: f64, width: FloatWidth) -> Option<Label> {
        Float::new(value, width).map(Label::Float)
    }

    /// The kind of the label. It compares with labels of the same kind.
    pub fn kind(&self) -> LabelKind {
        match self {
            Label::Bool(_) => LabelKind::Bool,
            Label::Int(_) | Label::Float(_) => LabelKind::Number,
            Label::Str(_) => LabelKind::Text,
        }
    }

    /// The text that Python's `str()` returns for the value in an array of numpy 2.4: `True`, `7`, `2.0`, `1e+16`,
    /// `inf`.
    pub fn python_text(&self) -> Cow<'_, str> {
        match self {
            Label::Bool(true) => "True".into(),
            Label::Bool(false) => "False".into(),
            Label::Int(value) => value.to_string().into(),
            Label::Float(float) => float_text(float.value, float.width).into(),
            Label::Str(text) => Cow::Borrowed(text),
        }
    }
}

impl Float {
    /// A number of the given width, rounded to it if need be; `None` for NaN.
    pub fn new(value: f64, width: FloatWidth) -> Option<Float> {
        let value = width.round(value);
        (!value.is_nan()).then_some(Float { value, width })
    }

    /// The number, exactly.
    pub fn value(self) -> f64 {
        self.value
    }

    /// The width of its column.
    pub fn width(self) -> FloatWidth {
        self.width
    }

    /// The same number as an integer, if it is whole and fits.
    fn as_int(self) -> Option<i128> {
        // `i128::MIN` is a float exactly; `-(i128::MIN as f64)` is the first float too large.
        let range = i128::MIN as f64..-(i128::MIN as f64);
        (self.value.fract() == 0.0 && range.contains(&self.value)).then_some(self.value as i128)
    }
}

/// By exact value: no integer is rounded.
fn cmp_int_float(int: i128, float: Float) -> Ordering {
    if float.value >= -(i128::MIN as f64) {
        return Ordering::Less;
    }
    if float.value < i128::MIN as f64 {
        return Ordering::Greater;
    }
    // The number is in range, so the cast only cuts off the fraction. The sign of the fraction then decides.
    let by_whole = int.cmp(&(float.value as i128));
    by_whole.then_with(|| 0.0_f64.total_cmp(&(float.value.fract() + 0.0)))
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Label::Bool(a), Label::Bool(b)) => a.cmp(b),
            (Label::Int(a), Label::Int(b)) => a.cmp(b),
            (Label::Float(a), Label::Float(b)) => a.cmp(b),
            (Label::Int(a), Label::Float(b)) => cmp_int_float(*a, *b),
            (Label::Float(a), Label::Int(b)) => cmp_int_float(*b, *a).reverse(),
            // In UTF-8, the order of bytes is the order of code points.
            (Label::Str(a), Label::Str(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Label {}

impl Hash for Label {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
        match self {
            Label::Bool(value) => value.hash(state),
            Label::Int(value) => value.hash(state),
            Label::Float(value) => value.hash(state),
            Label::Str(text) => text.hash(state),
        }
    }
}

/// By value; the width is not compared.
impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        // Adding zero turns -0.0 into 0.0. NaN cannot occur.
        (self.value + 0.0).total_cmp(&(other.value + 0.0))
    }
}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Float {}

impl Hash for Float {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Whole numbers hash as integers do, because they may equal one.
        match self.as_int() {
            Some(int) => int.hash(state),
            None => self.value.to_bits().hash(state),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.python_text())
    }
}

impl fmt::Display for LabelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            LabelKind::Bool => "booleans",
            LabelKind::Number => "numbers",
            LabelKind::Text => "texts",
        })
    }
}

impl From<bool> for Label {
    fn from(value: bool) -> Self {
        Label::Bool(value)
    }
}

macro_rules! from_integers {
    ($($int:ty),*) => {$(
        impl From<$int> for Label {
            fn from(value: $int) -> Self {
                Label::Int(value.into())
            }
        }
    )*};
}

from_integers!(i8, i16, i32, i64, i128, u8, u16, u32, u64);

impl From<&str> for Label {
    fn from(text: &str) -> Self {
        Label::Str(text.into())
    }
}

impl From<String> for Label {
    fn from(text: String) -> Self {
        Label::Str(text.into())
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use super::*;

    fn f64(value: f64) -> Label {
        Label::float(value, FloatWidth::F64).unwrap()
    }

    fn hash(label: &Label) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(label)
    }

    #[test]
    fn labels_ascend() {
        let labels = [
            Label::from(false),
            Label::from(true),
            f64(f64::NEG_INFINITY),
            f64(-1e300),
            Label::Int(i128::MIN),
            Label::Int(i128::MIN + 1),
            f64(-2.5),
            Label::from(-2_i64),
            f64(-0.5),
            Label::from(0_i64),
            f64(f64::from_bits(1)),
            f64(0.5),
            Label::from(1_i64),
            f64(9007199254740992.0),
            Label::from(9007199254740993_i64),
            f64(9007199254740994.0),
            Label::from(u64::MAX),
            f64(18446744073709551616.0),
            Label::Int(i128::MAX),
            f64(170141183460469231731687303715884105728.0),
            f64(f64::INFINITY),
            Label::from(""),
            Label::from("10"),
            Label::from("9"),
            Label::from("B"),
            Label::from("_"),
            Label::from("a"),
            Label::from("é"),
            Label::from("\u{fffd}"),
            Label::from("\u{1f600}"),
        ];
        for (i, a) in labels.iter().enumerate() {
            for (j, b) in labels.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} against {b}");
                assert_eq!(a == b, i == j);
            }
        }
    }

    #[test]
    fn equal_numbers_hash_alike() {
        let equal = [
            (Label::from(2_i64), f64(2.0)),
            (f64(0.0), f64(-0.0)),
            (Label::from(0_i64), f64(-0.0)),
            (f64(0.5), Label::float(0.5, FloatWidth::F16).unwrap()),
            (Label::Int(i128::MIN), f64(i128::MIN as f64)),
            (Label::Int(1 << 100), f64(2.0_f64.powi(100))),
        ];
        for (a, b) in equal {
            assert_eq!(a, b);
            assert_eq!(hash(&a), hash(&b), "{a} and {b}");
        }
    }

    #[test]
    fn kinds_are_never_equal() {
        assert_ne!(Label::from(true), Label::from(1_i64));
        assert_ne!(Label::from("1"), Label::from(1_i64));
        assert_ne!(Label::from("True"), Label::from(true));
    }

    #[test]
    fn widths_round_the_value() {
        let narrow = Label::float(0.1, FloatWidth::F32).unwrap();
        assert_eq!(narrow, f64(f64::from(0.1_f32)));
        assert_ne!(narrow, f64(0.1));
        assert_eq!(
            Label::float(1e39, FloatWidth::F32),
            Some(f64(f64::INFINITY))
        );
        assert_eq!(
            Label::float(0.1, FloatWidth::F16),
            Some(f64(0.0999755859375))
        );
    }

    #[test]
    fn nan_is_not_a_label() {
        for width in [FloatWidth::F16, FloatWidth::F32, FloatWidth::F64] {
            assert_eq!(Label::float(f64::NAN, width), None);
            assert_eq!(Label::float(-f64::NAN, width), None);
        }
    }

    #[test]
    fn labels_print_as_in_python() {
        assert_eq!(Label::from(true).to_string(), "True");
        assert_eq!(Label::from(false).to_string(), "False");
        assert_eq!(Label::from(7_i64).to_string(), "7");
        assert_eq!(Label::from(u64::MAX).to_string(), "18446744073709551615");
        assert_eq!(f64(2.0).to_string(), "2.0");
        assert_eq!(Label::from("T cell").to_string(), "T cell");
        assert_eq!(format!("{:>5}", Label::from(7_i64)), "    7");
    }
}
