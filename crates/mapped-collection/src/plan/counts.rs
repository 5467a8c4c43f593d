//! Whether values are counts: whole numbers that are not negative.

use anndata_io::{
    DType, Error, MatrixSource, NumericValue, ReadScratch, RowSink, Scalar, ValuesRef, with_dtype,
};

/// What counts are, in errors.
pub(crate) const COUNTS: &str = "counts (whole numbers that are not negative)";

/// The rows of a matrix that decide whether it holds counts.
const SAMPLE: u64 = 16;

/// Returns the first value that is not a count.
pub(crate) fn first_non_count(values: ValuesRef<'_>) -> Option<NumericValue> {
    if matches!(
        values.dtype(),
        DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64
    ) {
        return None;
    }
    with_dtype!(values.dtype(), T => {
        let values = T::from_slice(values).expect("its own type");
        values.iter().map(|value| value.to_number()).find(|value| !is_count(*value))
    })
}

fn is_count(value: NumericValue) -> bool {
    // NaN and infinities have no whole part that equals them.
    let is_whole = |value: f64| value >= 0.0 && value.is_finite() && value.trunc() == value;
    match value {
        NumericValue::Bool(_) | NumericValue::Unsigned(_) => true,
        NumericValue::Signed(value) => value >= 0,
        NumericValue::F32(value) => is_whole(value.into()),
        NumericValue::F64(value) => is_whole(value),
    }
}

/// A value as a text.
pub(crate) fn shown(value: NumericValue) -> String {
    match value {
        NumericValue::Bool(value) => value.to_string(),
        NumericValue::Signed(value) => value.to_string(),
        NumericValue::Unsigned(value) => value.to_string(),
        NumericValue::F32(value) => value.to_string(),
        NumericValue::F64(value) => value.to_string(),
    }
}

/// A value that is not a count, and its row in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NonCount {
    pub(crate) row: u64,
    pub(crate) value: NumericValue,
}

/// Reads a sample of the rows of a matrix; returns a value that is not a count.
pub(crate) fn find_non_count(source: &MatrixSource) -> Result<Option<NonCount>, Error> {
    struct Check {
        found: Option<(usize, NumericValue)>,
    }

    impl RowSink for Check {
        fn dense(&mut self, row: usize, _: usize, values: ValuesRef<'_>) {
            let found = first_non_count(values).map(|value| (row, value));
            self.found = self.found.or(found);
        }

        fn sparse(&mut self, row: usize, _: &[u32], values: ValuesRef<'_>) {
            self.dense(row, 0, values);
        }
    }

    let n_rows = source.n_rows();
    let n_sampled = n_rows.min(SAMPLE);
    let last = n_sampled.max(2) - 1;
    let rows: Vec<u64> = (0..n_sampled)
        .map(|i| (u128::from(i) * u128::from(n_rows - 1) / u128::from(last)) as u64)
        .collect();
    let mut check = Check { found: None };
    source.read_rows(&rows, &mut ReadScratch::default(), &mut check)?;
    Ok(check.found.map(|(at, value)| NonCount {
        row: rows[at],
        value,
    }))
}

#[cfg(test)]
mod tests {
    use anndata_io::Values;

    use super::*;

    #[test]
    fn counts_are_whole_and_not_negative() {
        let first = |values: Values| first_non_count(values.as_slice()).map(shown);
        assert_eq!(first(Values::F32(vec![0.0, 3.0, -0.0, 1e20])), None);
        assert_eq!(
            first(Values::F32(vec![1.0, 2.5, -1.0])).as_deref(),
            Some("2.5")
        );
        assert_eq!(first(Values::F64(vec![f64::NAN])).as_deref(), Some("NaN"));
        assert_eq!(
            first(Values::F64(vec![f64::INFINITY])).as_deref(),
            Some("inf")
        );
        assert_eq!(first(Values::I8(vec![1, -2])).as_deref(), Some("-2"));
        assert_eq!(first(Values::U64(vec![u64::MAX])), None);
        assert_eq!(first(Values::F32(vec![])), None);
    }
}
