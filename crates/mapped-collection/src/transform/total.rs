//! The total of a row.

use anndata_io::{DType, Scalar, ValuesRef, with_dtype};

/// The number of sums that run side by side.
const LANES: usize = 8;

/// A sum in float64, and what rounding took from it. The value of the two together hardly ever
/// depends on the order of the summands, which differs with the layout of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Total {
    sum: f64,
    lost: f64,
}

impl Total {
    /// The sum of some values of a row.
    pub(crate) fn of(values: ValuesRef<'_>) -> Total {
        with_dtype!(values.dtype(), T => {
            Total::of_slice(T::from_slice(values).expect("its own type"))
        })
    }

    /// The sum of values of one type.
    pub(crate) fn of_slice<T: Scalar>(values: &[T]) -> Total {
        match size_of::<T>() {
            8 => Total::of_wide(values, f64::cast_from),
            _ => Total::of_narrow(values, f64::cast_from),
        }
    }

    /// The sum of values that had this type in the file.
    pub(crate) fn of_floats(values: &[f64], dtype: DType) -> Total {
        match dtype.size() {
            8 => Total::of_slice(values),
            _ => Total::of_narrow(values, |value| value),
        }
    }

    /// The sum of those values of a row whose positions pass.
    pub(crate) fn of_some(values: ValuesRef<'_>, passes: impl Fn(usize) -> bool) -> Total {
        let mut total = Total::default();
        with_dtype!(values.dtype(), T => {
            let values = T::from_slice(values).expect("its own type").iter().enumerate();
            for (_, &value) in values.filter(|(position, _)| passes(*position)) {
                total.add_value(f64::cast_from(value));
            }
        });
        total
    }

    /// Narrow types: the sum of a row of counts, or of float32 values of similar size, is exact.
    fn of_narrow<T: Copy>(values: &[T], as_float: impl Fn(T) -> f64) -> Total {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut lanes = [0.0; LANES];
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += as_float(value);
            }
        }
        let rest: f64 = rest.iter().map(|&value| as_float(value)).sum();
        Total {
            sum: lanes.iter().sum::<f64>() + rest,
            lost: 0.0,
        }
    }

    fn of_wide<T: Copy>(values: &[T], as_float: impl Fn(T) -> f64) -> Total {
        let mut lanes = [Total::default(); LANES];
        for values in values.chunks(LANES) {
            for (lane, &value) in lanes.iter_mut().zip(values) {
                lane.add_value(as_float(value));
            }
        }
        lanes.into_iter().fold(Total::default(), Total::plus)
    }

    /// Knuth's exact sum of two numbers, in a form without branches.
    #[inline]
    fn add_value(&mut self, value: f64) {
        let sum = self.sum + value;
        let part = sum - self.sum;
        self.lost += (self.sum - (sum - part)) + (value - part);
        self.sum = sum;
    }

    /// The sum of both.
    pub(crate) fn plus(mut self, other: Total) -> Total {
        self.add_value(other.sum);
        self.lost += other.lost;
        self
    }

    /// The sum, rounded once.
    pub(crate) fn value(self) -> f64 {
        match self.sum.is_finite() {
            true => self.sum + self.lost,
            // Nothing is lost from an infinite sum, but it leaves NaN.
            false => self.sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use anndata_io::Values;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn total_does_not_depend_on_the_order(
            mut values in prop::collection::vec(-1e3..1e3f64, 0..100),
            at in 0..100usize,
        ) {
            let total = Total::of_slice(&values);
            let at = at.min(values.len());
            let (a, b) = values.split_at(at);
            let parts = Total::of_slice(a).plus(Total::of_slice(b));
            prop_assert_eq!(parts.value(), total.value());
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(Total::of_slice(&values).value(), total.value());
        }
    }

    #[test]
    fn total_of_every_type() {
        let total = |values: Values| Total::of(values.as_slice()).value();
        assert_eq!(total(Values::U8(vec![255; 20])), 5100.0);
        assert_eq!(total(Values::I64(vec![1, -3])), -2.0);
        assert_eq!(total(Values::F32(vec![0.5; 9])), 4.5);
        assert_eq!(total(Values::F64(vec![1e100, 1.0, -1e100])), 1.0);
        assert_eq!(total(Values::F64(vec![f64::INFINITY, 1.0])), f64::INFINITY);
        assert!(total(Values::F32(vec![f32::NAN])).is_nan());
        assert_eq!(total(Values::F32(vec![])), 0.0);
    }
}
