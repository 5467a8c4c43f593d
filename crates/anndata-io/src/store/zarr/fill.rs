//! Fill values: the values of elements that were never written. A value of another type than its
//! array's would be read as wrong numbers.

use serde_json::Value;

use super::parsed::{Parsed, shown};
use crate::array::ItemType;
use crate::array::text::TextEncoding;
use crate::dtype::{DType, Scalar, Values, f16};
use crate::error::ErrorKind;
use crate::with_dtype;

/// Returns one element of the fill value of a `.zarray`, native-endian; empty for zeros, and for
/// null, which means no fill value.
pub(super) fn v2(item: &ItemType, value: &Value) -> Parsed<Vec<u8>> {
    match (item, value) {
        (_, Value::Null) => Ok(Vec::new()),
        // Old writers stored an absent fill value of booleans and texts as 0.
        (ItemType::Number(DType::Bool), Value::Number(number)) => match number.as_u64() {
            Some(bit @ (0 | 1)) => Ok(vec![bit as u8]),
            _ => wrong(item, value),
        },
        (ItemType::Text(_), Value::Number(number)) if number.as_u64() == Some(0) => Ok(Vec::new()),
        _ => element(item, value),
    }
}

/// Returns one element of the fill value of a `zarr.json`, native-endian; empty for zeros.
pub(super) fn v3(item: &ItemType, value: &Value) -> Parsed<Vec<u8>> {
    let ItemType::Number(dtype) = item else {
        return element(item, value);
    };
    let hex = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let Some(hex) = hex.filter(|_| dtype.is_float()) else {
        return element(item, value);
    };
    // The bits of a float, for unusual NaNs.
    let digits = hex.len() == 2 * dtype.size() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    match u64::from_str_radix(hex, 16) {
        Ok(bits) if digits => Ok(bits.to_ne_bytes()[..dtype.size()].to_vec()),
        _ => wrong(item, value),
    }
}

/// The common part of both formats.
fn element(item: &ItemType, value: &Value) -> Parsed<Vec<u8>> {
    let bytes = match item {
        ItemType::Number(DType::Bool) => value.as_bool().map(|value| vec![u8::from(value)]),
        ItemType::Number(dtype) if dtype.is_float() => float(*dtype, value),
        ItemType::Number(dtype) => integer(*dtype, value),
        ItemType::Text(encoding) => value.as_str().and_then(|text| in_encoding(encoding, text)),
    };
    bytes.map_or_else(|| wrong(item, value), Ok)
}

fn wrong<T>(item: &ItemType, value: &Value) -> Parsed<T> {
    let of = match item {
        ItemType::Number(dtype) => format!("a fill_value of {dtype}"),
        ItemType::Text(_) => "a fill_value of text".to_owned(),
    };
    Err(ErrorKind::Invalid {
        expected: of,
        found: shown(value),
    })
}

fn float(dtype: DType, value: &Value) -> Option<Vec<u8>> {
    let wide = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => return None,
        },
        _ => return None,
    };
    // A number that would become infinite does not fit the type.
    let fits = match dtype {
        DType::F16 => f16::from_f64(wide).is_finite(),
        DType::F32 => (wide as f32).is_finite(),
        _ => true,
    };
    (fits || !wide.is_finite()).then(|| bytes_of(dtype, &Values::F64(vec![wide])))
}

fn integer(dtype: DType, value: &Value) -> Option<Vec<u8>> {
    // A number with a point may be whole too.
    let whole = |number: f64| {
        let is_exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
        is_exact.then_some(number as i128)
    };
    let number = value.as_number()?;
    let wide = match (number.as_i64(), number.as_u64()) {
        (Some(n), _) => i128::from(n),
        (_, Some(n)) => i128::from(n),
        _ => whole(number.as_f64()?)?,
    };
    let bits = 8 * dtype.size() as u32;
    let range = match dtype {
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => 0..1i128 << bits,
        _ => -(1i128 << (bits - 1))..1i128 << (bits - 1),
    };
    let fits = range.contains(&wide);
    fits.then(|| wide.to_ne_bytes()[..dtype.size()].to_vec())
}

fn bytes_of(dtype: DType, values: &Values) -> Vec<u8> {
    fn cast<T: Scalar>(values: &Values) -> Vec<u8> {
        bytemuck::cast_slice(&values.as_slice().to_vec::<T>()).to_vec()
    }
    with_dtype!(dtype, T => cast::<T>(values))
}

/// Encodes a text as it is stored; `None` if it does not fit.
fn in_encoding(encoding: &TextEncoding, text: &str) -> Option<Vec<u8>> {
    let padded = |mut bytes: Vec<u8>, size: usize| {
        let fits = bytes.len() <= size;
        bytes.resize(size, 0);
        fits.then_some(bytes)
    };
    match encoding {
        _ if text.is_empty() => Some(Vec::new()),
        TextEncoding::Utf32 { chars } => {
            let bytes = text.chars().flat_map(|c| u32::from(c).to_ne_bytes());
            padded(bytes.collect(), chars * 4)
        }
        // Old zarr-python wrote this for an empty value.
        TextEncoding::Fixed { .. } if text == "0" => Some(Vec::new()),
        TextEncoding::Fixed { size, .. } => padded(base64(text)?, *size),
        _ => Some(text.as_bytes().to_vec()),
    }
}

/// Decodes a text in base64; `None` if it is not base64.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let well_formed = text.len().is_multiple_of(4) && text.len() - digits.len() <= 2;
    let mut out = Vec::with_capacity(digits.len());
    let (mut bits, mut n_bits) = (0u32, 0);
    for byte in digits.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            out.push((bits >> n_bits) as u8);
        }
    }
    well_formed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::text::Padding;
    use serde_json::json;

    fn numbers(dtype: DType, value: Value) -> [Option<Vec<u8>>; 2] {
        let item = ItemType::Number(dtype);
        [v2(&item, &value).ok(), v3(&item, &value).ok()]
    }

    #[test]
    fn fill_values_of_their_type_are_parsed() {
        let both = |dtype, value: Value, bytes: &[u8]| {
            let bytes = Some(bytes.to_vec());
            assert_eq!(
                numbers(dtype, value.clone()),
                [bytes.clone(), bytes],
                "{dtype} {value}"
            );
        };
        both(DType::F32, json!(1.5), &1.5f32.to_ne_bytes());
        both(DType::F32, json!(3), &3f32.to_ne_bytes());
        both(
            DType::F16,
            json!("-Infinity"),
            &f16::NEG_INFINITY.to_ne_bytes(),
        );
        both(DType::F64, json!("Infinity"), &f64::INFINITY.to_ne_bytes());
        both(DType::F64, json!("NaN"), &f64::NAN.to_ne_bytes());
        both(DType::I8, json!(-128), &[128]);
        both(DType::U8, json!(255), &[255]);
        both(DType::U64, json!(u64::MAX), &[255; 8]);
        both(DType::I64, json!(i64::MIN), &i64::MIN.to_ne_bytes());
        both(DType::I32, json!(7.0), &7i32.to_ne_bytes());
        both(DType::Bool, json!(true), &[1]);
        let bits = json!("0x7fc00001");
        assert_eq!(
            numbers(DType::F32, bits),
            [None, Some(0x7fc0_0001u32.to_ne_bytes().to_vec())]
        );
        // Only format 2 allows no value at all, and booleans as numbers.
        assert_eq!(numbers(DType::I8, json!(null)), [Some(vec![]), None]);
        assert_eq!(numbers(DType::Bool, json!(1)), [Some(vec![1]), None]);
    }

    #[test]
    fn fill_values_of_another_type_are_errors() {
        for (dtype, value) in [
            (DType::U8, json!(300)),
            (DType::U8, json!(-1)),
            (DType::I8, json!(128)),
            (DType::U64, json!(-1)),
            (DType::I64, json!(u64::MAX)),
            (DType::I64, json!(1e300)),
            (DType::I32, json!(1.5)),
            (DType::I32, json!("7")),
            (DType::I32, json!("NaN")),
            (DType::I32, json!(true)),
            (DType::I32, json!("0x7fc00000")),
            (DType::Bool, json!(2)),
            (DType::Bool, json!("true")),
            (DType::Bool, json!(0.0)),
            (DType::F32, json!("1.5")),
            (DType::F32, json!("nan")),
            (DType::F32, json!(true)),
            (DType::F32, json!(1e300)),
            (DType::F16, json!(70_000)),
            (DType::F32, json!([1.5])),
            (DType::F32, json!({})),
            (DType::F32, json!("0x7fc0")),
            (DType::F64, json!("0x7fc00000")),
            (DType::F32, json!("0x+fc00000")),
        ] {
            assert_eq!(
                numbers(dtype, value.clone()),
                [None, None],
                "{dtype} {value}"
            );
        }
        let kind = v3(&ItemType::Number(DType::U8), &json!(300)).expect_err("too large");
        assert_eq!(
            kind.to_string(),
            "expected a fill_value of uint8, found 300"
        );
    }

    #[test]
    fn fill_values_of_texts_are_encoded() {
        let of = |encoding: TextEncoding, value: Value| v3(&ItemType::Text(encoding), &value).ok();
        let utf32 = || TextEncoding::Utf32 { chars: 2 };
        let bytes = || TextEncoding::Fixed {
            size: 3,
            padding: Padding::Nulls,
        };
        assert_eq!(of(TextEncoding::Vlen, json!("na")), Some(b"na".to_vec()));
        assert_eq!(of(TextEncoding::Vlen, json!(0)), None);
        assert_eq!(of(TextEncoding::Vlen, json!(null)), None);
        let padded = [u32::from('é').to_ne_bytes(), [0; 4]].concat();
        assert_eq!(of(utf32(), json!("é")), Some(padded));
        assert_eq!(of(utf32(), json!("abc")), None);
        assert_eq!(of(utf32(), json!("")), Some(vec![]));
        assert_eq!(of(bytes(), json!("bmE=")), Some(b"na\0".to_vec()));
        assert_eq!(of(bytes(), json!("AAAA")), Some(vec![0; 3]));
        assert_eq!(of(bytes(), json!("bmFuYQ==")), None, "too long");
        assert_eq!(of(bytes(), json!("na")), None, "no base64");
        let old = v2(&ItemType::Text(TextEncoding::Vlen), &json!(0));
        assert_eq!(old.ok(), Some(vec![]));
    }
}
