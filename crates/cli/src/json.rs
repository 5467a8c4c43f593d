//! Writes numbers, arrays and labels as JSON, one by one: there is no tree in memory.

use std::io::{self, Write};

use mapped_anndata::io::{DType, NumericValue, ValuesRef};
use mapped_anndata::labels::{Float, FloatWidth};
use mapped_anndata::{ItemValue, Label};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::escape::SafeJson;

/// Writes a value and ends the line.
pub(crate) fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut *out, SafeJson,
    ))?;
    out.write_all(b"\n")
}

/// A number of a numpy type, in the shortest form that reads back in that type. NaN is null, and
/// infinities are texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(pub(crate) DType, pub(crate) NumericValue);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            NumericValue::Bool(value) => to.serialize_bool(value),
            NumericValue::Signed(value) => to.serialize_i64(value),
            NumericValue::Unsigned(value) => to.serialize_u64(value),
            NumericValue::F32(value) if !value.is_finite() => NotFinite(value.into()).serialize(to),
            NumericValue::F64(value) if !value.is_finite() => NotFinite(value).serialize(to),
            NumericValue::F32(value) if self.0 == DType::F16 => {
                to.serialize_f64(shortest_f16(value.into()))
            }
            NumericValue::F32(value) => to.serialize_f32(value),
            NumericValue::F64(value) => to.serialize_f64(value),
        }
    }
}

impl Number {
    pub(crate) fn f64(value: f64) -> Number {
        Number(DType::F64, NumericValue::F64(value))
    }
}

/// The double whose shortest form is that of a half-precision number.
fn shortest_f16(value: f64) -> f64 {
    let label = Label::float(value, FloatWidth::F16);
    label
        .and_then(|label| label.python_text().parse().ok())
        .unwrap_or(value)
}

struct NotFinite(f64);

impl Serialize for NotFinite {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0.is_nan() {
            to.serialize_none()
        } else {
            to.serialize_str(if self.0 > 0.0 { "inf" } else { "-inf" })
        }
    }
}

/// An array as nested lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Array<'a> {
    pub(crate) shape: &'a [usize],
    /// Row-major.
    pub(crate) values: ValuesRef<'a>,
}

impl Serialize for Array<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let dtype = self.values.dtype();
        let Some((&n, shape)) = self.shape.split_first() else {
            return Number(dtype, self.values.get(0)).serialize(to);
        };
        let mut list = to.serialize_seq(Some(n))?;
        let size: usize = shape.iter().product();
        for i in 0..n {
            if shape.is_empty() {
                list.serialize_element(&Number(dtype, self.values.get(i)))?;
            } else {
                let values = self.values.range(i * size, (i + 1) * size);
                list.serialize_element(&Array { shape, values })?;
            }
        }
        list.end()
    }
}

/// A value of an item.
pub(crate) struct Value<'a>(pub(crate) &'a ItemValue);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ItemValue::Row(row) => {
                let (shape, values) = (row.shape(), row.values().as_slice());
                Array { shape, values }.serialize(to)
            }
            ItemValue::Code(code) => to.serialize_i64(*code),
            ItemValue::Text(text) => to.serialize_str(text),
            ItemValue::Number(dtype, value) => Number(*dtype, *value).serialize(to),
            ItemValue::Missing => to.serialize_none(),
        }
    }
}

/// A label in its own type.
pub(crate) struct LabelValue<'a>(pub(crate) &'a Label);

impl Serialize for LabelValue<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Label::Bool(value) => to.serialize_bool(*value),
            Label::Int(value) => to.serialize_i128(*value),
            Label::Float(value) => float(*value).serialize(to),
            Label::Str(text) => to.serialize_str(text),
        }
    }
}

fn float(float: Float) -> Number {
    let value = float.value();
    match float.width() {
        FloatWidth::F16 => Number(DType::F16, NumericValue::F32(value as f32)),
        FloatWidth::F32 => Number(DType::F32, NumericValue::F32(value as f32)),
        FloatWidth::F64 => Number::f64(value),
    }
}

/// Keys and values in their order.
pub(crate) struct Object<K, V>(pub(crate) Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Object<K, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use mapped_anndata::Matrix;
    use mapped_anndata::Values;
    use mapped_anndata::io::f16;

    use super::*;

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    fn list(values: Values) -> String {
        json(Array {
            shape: &[values.len()],
            values: values.as_slice(),
        })
    }

    #[test]
    fn floats_are_as_short_as_their_type_allows() {
        let half: Vec<f16> = [0.1, 1.0, 65504.0, 6e-8].map(f16::from_f64).to_vec();
        assert_eq!(list(Values::F16(half)), "[0.1,1.0,65500.0,6e-8]");
        assert_eq!(
            list(Values::F32(vec![0.1, -2.0, 1e16, f32::MAX])),
            "[0.1,-2.0,1e+16,3.4028235e+38]"
        );
        assert_eq!(
            list(Values::F64(vec![0.1, 1.0 / 3.0, -0.0])),
            "[0.1,0.3333333333333333,-0.0]"
        );
    }

    #[test]
    fn nan_and_infinities_have_a_json_form() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        assert_eq!(
            list(Values::F64(vec![nan, inf, -inf])),
            r#"[null,"inf","-inf"]"#
        );
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert_eq!(
            list(Values::F32(vec![nan, inf, -inf])),
            r#"[null,"inf","-inf"]"#
        );
    }

    #[test]
    fn integers_and_booleans_are_written_exactly() {
        assert_eq!(
            list(Values::I64(vec![i64::MIN, 7])),
            "[-9223372036854775808,7]"
        );
        assert_eq!(list(Values::U64(vec![u64::MAX])), "[18446744073709551615]");
        let flags = Values::F32(vec![0.0, 2.0]).cast(DType::Bool);
        assert_eq!(list(flags), "[false,true]");
    }

    #[test]
    fn arrays_nest_by_shape() {
        let values = Values::U8((0..6).collect());
        let shape = |shape| {
            json(Array {
                shape,
                values: values.as_slice(),
            })
        };
        assert_eq!(shape(&[6]), "[0,1,2,3,4,5]");
        assert_eq!(shape(&[3, 2]), "[[0,1],[2,3],[4,5]]");
        assert_eq!(shape(&[1, 2, 3]), "[[[0,1,2],[3,4,5]]]");
        let nothing = Values::U8(vec![]);
        assert_eq!(
            json(Array {
                shape: &[2, 0],
                values: nothing.as_slice()
            }),
            "[[],[]]"
        );
    }

    #[test]
    fn labels_keep_their_type() {
        let float = Label::float(0.1, FloatWidth::F32).unwrap();
        let labels = [
            Label::from(true),
            Label::from(u64::MAX),
            float,
            Label::from("7"),
        ];
        let labels: Vec<_> = labels.iter().map(LabelValue).collect();
        assert_eq!(json(labels), r#"[true,18446744073709551615,0.1,"7"]"#);
    }

    #[test]
    fn item_values_become_json() {
        let row = ItemValue::Row(Matrix::Dense {
            shape: vec![2],
            values: Values::F32(vec![1.5, 0.0]),
        });
        let number = ItemValue::Number(DType::Bool, NumericValue::Bool(true));
        let values = [
            row,
            ItemValue::Code(-1),
            ItemValue::Text("é\"".into()),
            number,
            ItemValue::Missing,
        ];
        let values: Vec<_> = values.iter().map(Value).collect();
        assert_eq!(json(values), r#"[[1.5,0.0],-1,"é\"",true,null]"#);
    }

    #[test]
    fn objects_keep_their_order() {
        assert_eq!(json(Object(vec![("b", 1), ("a", 2)])), r#"{"b":1,"a":2}"#);
    }
}
