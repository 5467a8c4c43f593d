//! A function of the values of a row, computed once for each distinct value.

use anndata_io::Scalar;

use crate::transform::memo::Memo;
use crate::transform::pipeline::{Step, TransformFault};

/// A function of the values of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function<'a> {
    pub(super) steps: &'a [Step],
    /// That of [`Step::Normalize`].
    pub(super) factor: f64,
    /// Whether it is another one for each row.
    pub(super) differs: bool,
}

impl Function<'_> {
    /// Computes it. Records a value without a result.
    #[inline(never)]
    fn compute(self, value: f64, refused: &mut Option<f64>) -> f64 {
        self.steps.iter().fold(value, |value, step| {
            if step.refuses(value) {
                refused.get_or_insert(value);
            }
            step.apply(value, 0, self.factor)
        })
    }
}

/// A function that is computed once for each distinct value of a row.
pub(crate) struct Remembered<'a> {
    function: Function<'a>,
    memo: &'a mut Memo,
    refused: Option<f64>,
}

impl<'a> Remembered<'a> {
    pub(crate) fn new(function: Function<'a>, memo: &'a mut Memo) -> Self {
        if function.differs {
            memo.forget();
        }
        Remembered {
            function,
            memo,
            refused: None,
        }
    }

    #[inline(always)]
    pub(crate) fn apply(&mut self, value: f64) -> f64 {
        self.memo.wide(value, |value| {
            self.function.compute(value, &mut self.refused)
        })
    }

    /// As [`apply`](Self::apply), in other types. Those of up to 32 bits are faster.
    #[inline(always)]
    pub(crate) fn convert<S: Scalar, T: Scalar>(&mut self, value: S) -> T {
        if let [Step::Normalize { .. }] = self.function.steps {
            return T::cast_from(f64::cast_from(value) * self.function.factor);
        }
        if size_of::<S>() > 4 || size_of::<T>() != 4 {
            return T::cast_from(self.apply(f64::cast_from(value)));
        }
        let mut bits = [0; 4];
        bits[..size_of::<S>()].copy_from_slice(bytemuck::bytes_of(&value));
        let result = self.memo.narrow(u32::from_ne_bytes(bits), || {
            let value = f64::cast_from(value);
            let result = T::cast_from(self.function.compute(value, &mut self.refused));
            bytemuck::pod_read_unaligned(bytemuck::bytes_of(&result))
        });
        bytemuck::pod_read_unaligned(&result.to_ne_bytes())
    }

    /// # Errors
    /// When a value had no result.
    pub(crate) fn end(self) -> Result<(), TransformFault> {
        let refused = self.refused.map(TransformFault::Log1p);
        refused.map_or(Ok(()), Err)
    }
}
