//! Numbers of bytes as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, read from a text such as `1073741824`, `1e9`, `500 MB` or `1 GiB`.
///
/// `k`, `M`, `G` and `T`, with or without `B`, are powers of 1000; `KiB`, `MiB`, `GiB` and `TiB`
/// are powers of 1024. Upper and lower case are the same. Fractions of a byte are dropped.
///
/// ```
/// use anndata_io::ByteSize;
///
/// assert_eq!("1.5 GiB".parse(), Ok(ByteSize(1_610_612_736)));
/// assert_eq!("1G".parse(), Ok(ByteSize(1_000_000_000)));
/// assert!("1 GHz".parse::<ByteSize>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A text that is no number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSizeError;

impl fmt::Display for ByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a number of bytes below 2^63, such as 1073741824, 1e9, 500MB or 1GiB")
    }
}

impl std::error::Error for ByteSizeError {}

/// Writes one digit after the point: `310.2 MiB`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut number, mut units) = (self.0 as f64, ["KiB", "MiB", "GiB", "TiB"].iter());
        let mut unit = "B";
        while number >= 1024.0
            && let Some(larger) = units.next()
        {
            (number, unit) = (number / 1024.0, larger);
        }
        match unit {
            "B" => write!(f, "{} B", self.0),
            unit => write!(f, "{number:.1} {unit}"),
        }
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<ByteSize, ByteSizeError> {
        parse(text.trim()).map(ByteSize).ok_or(ByteSizeError)
    }
}

fn parse(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    let (exponent, unit) = match rest.strip_prefix(['e', 'E']) {
        None => ("0", rest),
        Some(rest) => {
            let rest = rest.strip_prefix('+').unwrap_or(rest);
            let end = rest.find(|c: char| !c.is_ascii_digit());
            rest.split_at(end.unwrap_or(rest.len()))
        }
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    // Digits beyond these are less than a byte, or more than 2^63.
    let decimals = &decimals[..decimals.len().min(16)];
    let mut value: u128 = format!("{whole}{decimals}").parse().ok()?;
    let exponent: u32 = exponent.parse().ok().filter(|&exponent| exponent <= 24)?;
    value = value.checked_mul(10u128.pow(exponent))?;
    value = value.checked_mul(unit_bytes(unit.trim_start())?)?;
    let bytes = value / 10u128.pow(decimals.len() as u32);
    i64::try_from(bytes).ok()?.try_into().ok()
}

fn unit_bytes(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let prefix = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = match prefix.strip_suffix('i') {
        Some(prefix) if !prefix.is_empty() => (prefix, 1024u128),
        _ => (prefix, 1000),
    };
    let power = ["", "k", "m", "g", "t"].iter().position(|&p| p == prefix)?;
    Some(base.pow(power as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_size_reads_what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("1073741824", 1 << 30),
            (" 12 ", 12),
            ("7b", 7),
            ("1e9", 1_000_000_000),
            ("2.5e+3", 2500),
            ("1G", 1_000_000_000),
            ("1 gb", 1_000_000_000),
            ("1GiB", 1 << 30),
            ("1 gi", 1 << 30),
            (".5KiB", 512),
            ("1.K", 1000),
            ("0.1 GiB", 107_374_182),
            ("2T", 2_000_000_000_000),
            ("1.00000000000000000000001K", 1000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn byte_size_is_written_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1 << 10, "1.0 KiB"),
            (325_268_275, "310.2 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn byte_size_refuses_the_rest() {
        for text in [
            "",
            ".",
            "B",
            "GiB",
            "-1",
            "+1",
            "1 GHz",
            "1i",
            "1iB",
            "1e",
            "1e99",
            "1.2.3",
            "1 G B",
            "nan",
            "1_000",
            "9223372036854775808",
            "1e19",
            "99999999999999999999999999999999999999999T",
        ] {
            assert_eq!(text.parse::<ByteSize>(), Err(ByteSizeError), "{text}");
        }
    }
}
