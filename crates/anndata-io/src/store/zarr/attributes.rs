//! Attributes: values of JSON as far as AnnData uses them.

use serde_json::Value;

use crate::array::convert::whole;
use crate::store::Attribute;

/// Converts a JSON value to an attribute.
pub(super) fn attribute(value: &Value) -> Attribute {
    let texts = |values: &[Value]| -> Option<Vec<String>> {
        values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect()
    };
    let integer = |value: &Value| {
        let whole = || value.as_f64().and_then(whole);
        value
            .as_i64()
            .or_else(|| value.as_bool().map(i64::from))
            .or_else(whole)
    };
    match value {
        Value::String(text) => Attribute::Text(text.clone()),
        Value::Array(values) => texts(values)
            .map(Attribute::Texts)
            .or_else(|| {
                values
                    .iter()
                    .map(integer)
                    .collect::<Option<_>>()
                    .map(Attribute::Integers)
            })
            .unwrap_or_else(|| Attribute::Other(value.to_string())),
        value => integer(value).map_or_else(
            || Attribute::Other(value.to_string()),
            |n| Attribute::Integers(vec![n]),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_of_every_kind_is_parsed() {
        let of = |text: &str| attribute(&serde_json::from_str(text).expect("valid JSON"));
        assert_eq!(of("\"a\""), Attribute::Text("a".into()));
        assert_eq!(
            of("[\"a\",\"b\"]"),
            Attribute::Texts(vec!["a".into(), "b".into()])
        );
        assert_eq!(of("[2,3]"), Attribute::Integers(vec![2, 3]));
        assert_eq!(of("true"), Attribute::Integers(vec![1]));
        assert_eq!(of("[]"), Attribute::Texts(vec![]));
        assert_eq!(of("[2.0,3]"), Attribute::Integers(vec![2, 3]));
        assert_eq!(of("1.5"), Attribute::Other("1.5".into()));
        assert_eq!(of("1e300"), Attribute::Other("1e+300".into()));
        assert_eq!(of("[2.5,3]"), Attribute::Other("[2.5,3]".into()));
    }
}
