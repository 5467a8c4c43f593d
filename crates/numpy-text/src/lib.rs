//! Floating-point numbers as numpy and Python write them.
//!
//! [`float_text`] takes a number and the width of the array that it comes from. It returns the text that
//! `numpy.asarray(value).astype(str)` holds.
//!
//! # What it is not
//!
//! It parses no text, and formats no integers: their text is the same everywhere.
//!
//! # The types that matter
//!
//! - [`FloatWidth`]: 16, 32 or 64 bits. The width decides how many digits a number prints with.
//!
//! # Example
//!
//! ```
//! use numpy_text::{FloatWidth, float_text};
//!
//! assert_eq!(float_text(2.0, FloatWidth::F64), "2.0");
//! assert_eq!(float_text(1e16, FloatWidth::F64), "1e+16"); // Rust writes 1e16
//! let third = f64::from(1.0_f32 / 3.0);
//! assert_eq!(float_text(third, FloatWidth::F32), "0.33333334");
//! ```
//!
//! # Features
//!
//! It has none, and no dependencies.
//!
//! # Differs from Rust
//!
//! numpy and Python print the shortest digits that read back as the same number of the same width. Rust does too, but
//! takes another one of two equally near texts, and lays the digits out differently: numpy writes `2.0` and not `2`, gives
//! exponents a sign and at least two digits, and since numpy 2.4 the width decides when an exponent is used at all.

/// The width of a floating-point column. It decides only how many digits its numbers print with: numpy writes a float32
/// `0.1` as `0.1`, though its value is 0.10000000149011612.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FloatWidth {
    /// 16 bits, numpy's `float16`.
    F16,
    /// 32 bits, numpy's `float32`.
    F32,
    /// 64 bits, numpy's `float64` and Python's `float`.
    F64,
}

impl FloatWidth {
    /// The nearest number of this width, ties to even. A number that is too large becomes infinite; NaN stays NaN.
    pub fn round(self, value: f64) -> f64 {
        match self {
            FloatWidth::F16 => round_to_f16(value),
            FloatWidth::F32 => f64::from(value as f32),
            FloatWidth::F64 => value,
        }
    }
}

/// The text of `value` as a number of the given width, as in `numpy.asarray(value).astype(str)`. Rounds `value` to the
/// width first.
pub fn float_text(value: f64, width: FloatWidth) -> String {
    let value = width.round(value);
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let shortest = shortest(value, width);
    let (mantissa, exponent) = shortest
        .split_once('e')
        .expect("the `e` format of a finite number has an exponent");
    let exponent: i32 = exponent.parse().expect("its exponent is an integer");

    let scientific_from = match width {
        FloatWidth::F16 => 1e3,
        FloatWidth::F32 => 1e6,
        FloatWidth::F64 => 1e16,
    };
    if value != 0.0 && !(1e-4..scientific_from).contains(&value.abs()) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    positional(mantissa, exponent)
}

/// `mantissa` (`-d.ddd` or `-d`) times ten to the `exponent`, with a decimal point and a digit on each side of it.
fn positional(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let mut digits = mantissa.replace('.', "");
    let n_whole = match usize::try_from(exponent) {
        Ok(exponent) => exponent + 1,
        Err(_) => {
            digits.insert_str(0, &"0".repeat(exponent.unsigned_abs() as usize));
            1
        }
    };
    while digits.len() <= n_whole {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(n_whole);
    format!("{sign}{whole}.{fraction}")
}

/// The fewest digits that read back as `value` in its width, in Rust's `e` format. Of several shortest texts, the
/// nearest to `value`; of two equally near, the even one.
fn shortest(value: f64, width: FloatWidth) -> String {
    let text = match width {
        FloatWidth::F16 => return shortest_f16(value),
        FloatWidth::F32 => format!("{:e}", value as f32),
        FloatWidth::F64 => format!("{value:e}"),
    };
    // Rust's text is as short, but of two equally near ones it takes the greater. With a precision, it rounds ties to
    // even.
    let n_digits = text
        .bytes()
        .take_while(|&b| b != b'e')
        .filter(u8::is_ascii_digit)
        .count();
    let even = format!("{value:.*e}", n_digits - 1);
    let reads_back = match width {
        FloatWidth::F32 => even.parse() == Ok(value as f32),
        _ => even.parse() == Ok(value),
    };
    if reads_back { even } else { text }
}

/// As [`shortest`], by trial: Rust has no 16-bit numbers yet.
fn shortest_f16(value: f64) -> String {
    // Numbers lie closer below a power of two than above it. So of two equally near texts, the greater may read back
    // when the even one does not.
    let upward = f64::from_bits(value.to_bits() + 1);
    (0..5)
        .flat_map(|n_decimals| [value, upward].map(|v| format!("{v:.n_decimals$e}")))
        .find(|text| {
            text.parse()
                .is_ok_and(|read: f64| round_to_f16(read) == value)
        })
        .expect("five digits tell all 16-bit numbers apart")
}

/// The nearest 16-bit number, ties to even; infinite from 65520 on. NaN stays NaN.
fn round_to_f16(value: f64) -> f64 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    // A 16-bit number has 11 significant bits, and no bit below 2^-24.
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let step = 2.0_f64.powi((exponent - 10).max(-24));
    // Dividing and multiplying by a power of two is exact here.
    let rounded = (value / step).round_ties_even() * step;
    if rounded.abs() > 65504.0 {
        f64::INFINITY.copysign(value)
    } else {
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of numpy 2.4.6 for arrays of each width.
    #[test]
    fn float_text_is_numpys() {
        use FloatWidth::{F16, F32, F64};
        let cases: &[(f64, FloatWidth, &str)] = &[
            (0.0, F16, "0.0"),
            (0.0, F32, "0.0"),
            (0.0, F64, "0.0"),
            (-0.0, F16, "-0.0"),
            (-0.0, F32, "-0.0"),
            (-0.0, F64, "-0.0"),
            (1.0, F16, "1.0"),
            (1.0, F32, "1.0"),
            (1.0, F64, "1.0"),
            (2.0, F16, "2.0"),
            (2.0, F32, "2.0"),
            (2.0, F64, "2.0"),
            (-2.5, F16, "-2.5"),
            (-2.5, F32, "-2.5"),
            (-2.5, F64, "-2.5"),
            (0.1, F16, "0.1"),
            (0.1, F32, "0.1"),
            (0.1, F64, "0.1"),
            (0.3333333333333333, F16, "0.3333"),
            (0.3333333333333333, F32, "0.33333334"),
            (0.3333333333333333, F64, "0.3333333333333333"),
            (100.0, F16, "100.0"),
            (100.0, F32, "100.0"),
            (100.0, F64, "100.0"),
            (999.5, F16, "999.5"),
            (999.5, F32, "999.5"),
            (999.5, F64, "999.5"),
            (1000.0, F16, "1e+03"),
            (1000.0, F32, "1000.0"),
            (1000.0, F64, "1000.0"),
            (1234.0, F16, "1.234e+03"),
            (1234.0, F32, "1234.0"),
            (1234.0, F64, "1234.0"),
            (65504.0, F16, "6.55e+04"),
            (65504.0, F32, "65504.0"),
            (65504.0, F64, "65504.0"),
            (123456.7, F32, "123456.7"),
            (123456.7, F64, "123456.7"),
            (999999.94, F32, "999999.94"),
            (999999.94, F64, "999999.94"),
            (1000000.0, F32, "1e+06"),
            (1000000.0, F64, "1000000.0"),
            (1500000.0, F32, "1.5e+06"),
            (1500000.0, F64, "1500000.0"),
            (16777217.0, F32, "1.6777216e+07"),
            (16777217.0, F64, "16777217.0"),
            (1000000000000000.0, F32, "1e+15"),
            (1000000000000000.0, F64, "1000000000000000.0"),
            (9999999999999998.0, F32, "1e+16"),
            (9999999999999998.0, F64, "9999999999999998.0"),
            (1e+16, F32, "1e+16"),
            (1e+16, F64, "1e+16"),
            (-1.2345678901234566e+17, F32, "-1.2345679e+17"),
            (-1.2345678901234566e+17, F64, "-1.2345678901234566e+17"),
            (1e+22, F32, "1e+22"),
            (1e+22, F64, "1e+22"),
            (1e+100, F64, "1e+100"),
            (0.001, F16, "0.001"),
            (0.001, F32, "0.001"),
            (0.001, F64, "0.001"),
            (0.0001, F16, "0.0001"),
            (0.0001, F32, "1e-04"),
            (0.0001, F64, "0.0001"),
            (9.9999e-05, F16, "0.0001"),
            (9.9999e-05, F32, "9.9999e-05"),
            (9.9999e-05, F64, "9.9999e-05"),
            (1.25e-05, F16, "1.25e-05"),
            (1.25e-05, F32, "1.25e-05"),
            (1.25e-05, F64, "1.25e-05"),
            (-1e-05, F16, "-1e-05"),
            (-1e-05, F32, "-1e-05"),
            (-1e-05, F64, "-1e-05"),
            (1e-07, F16, "1e-07"),
            (1e-07, F32, "1e-07"),
            (1e-07, F64, "1e-07"),
            (5.684341886080802e-14, F32, "5.684342e-14"),
            (5.684341886080802e-14, F64, "5.684341886080802e-14"),
            (5e-324, F64, "5e-324"),
            (1.7976931348623157e+308, F64, "1.7976931348623157e+308"),
            // Halfway between two texts.
            (0.015625, F16, "0.01563"),
            (-203143.625, F32, "-203143.62"),
            (1762400.25, F32, "1.7624002e+06"),
            (1474595700407696.2, F64, "1474595700407696.2"),
            (3252142932250.4062, F64, "3252142932250.4062"),
            (f64::INFINITY, F16, "inf"),
            (f64::NEG_INFINITY, F16, "-inf"),
            (f64::INFINITY, F32, "inf"),
            (f64::NEG_INFINITY, F32, "-inf"),
            (f64::INFINITY, F64, "inf"),
            (f64::NEG_INFINITY, F64, "-inf"),
        ];
        for &(value, width, expected) in cases {
            let value = width.round(value);
            assert_eq!(float_text(value, width), expected, "{value:e} as {width:?}");
        }
        assert_eq!(float_text(f64::NAN, F64), "nan");
        assert_eq!(float_text(0.1, F16), "0.1", "rounded first");
        assert_eq!(float_text(1e300, F16), "inf");
        assert_eq!(float_text(1e300, F32), "inf");
    }

    #[test]
    fn round_to_f16_takes_ties_to_even() {
        let cases = [
            (2049.0, 2048.0),
            (2051.0, 2052.0),
            (65519.99, 65504.0),
            (65520.0, f64::INFINITY),
            (-1e300, f64::NEG_INFINITY),
            (2.0_f64.powi(-24), 2.0_f64.powi(-24)),
            (2.0_f64.powi(-25), 0.0),
            (2.0_f64.powi(-25) * 1.01, 2.0_f64.powi(-24)),
            (f64::from_bits(1), 0.0),
            (1.0 / 3.0, 0.333251953125),
        ];
        for (value, expected) in cases {
            assert_eq!(round_to_f16(value), expected, "{value:e}");
        }
    }
}
