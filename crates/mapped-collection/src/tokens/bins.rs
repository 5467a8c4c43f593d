//! Quantile bins: `numpy.digitize(x, numpy.quantile(x, numpy.linspace(0, 1, bins - 1)))`.

use anndata_io::Scalar;

/// Puts the values of one row at a time into bins, and reuses its buffer.
#[derive(Debug, Default)]
pub(crate) struct Bins(Vec<u32>);

impl Bins {
    /// Returns the bin of each value, from 1 to `bins - 1`. `ranked` has the positions of the values
    /// by descending value. There are at least 2 bins; no value is NaN.
    pub(crate) fn of<T: Scalar>(&mut self, bins: u32, values: &[T], ranked: &[u32]) -> &[u32] {
        let n = values.len();
        let ascending = |at: usize| f64::cast_from(values[ranked[n - 1 - at] as usize]);
        let n_edges = bins - 1;
        self.0.clear();
        self.0.resize(n, 0);
        let edge = |number: u32| quantile(fraction(number, n_edges), n, ascending);
        // The number of edges that are not above the value, and the edge after them.
        let (mut passed, mut next) = (0, f64::NEG_INFINITY);
        for &at in ranked.iter().rev() {
            let value = f64::cast_from(values[at as usize]);
            while next <= value && passed < n_edges {
                passed += 1;
                next = if passed < n_edges { edge(passed) } else { next };
            }
            self.0[at as usize] = passed;
        }
        &self.0
    }
}

/// Element `number` of `numpy.linspace(0, 1, of)`, after the first one.
fn fraction(number: u32, of: u32) -> f64 {
    match number + 1 == of {
        true => 1.0,
        false => f64::from(number) * (1.0 / f64::from(of - 1)),
    }
}

/// A quantile of `n` values, as numpy interpolates it linearly.
fn quantile(q: f64, n: usize, ascending: impl Fn(usize) -> f64) -> f64 {
    let place = (n - 1) as f64 * q;
    let below = place.floor();
    let (a, b) = (
        ascending(below as usize),
        ascending((below as usize + 1).min(n - 1)),
    );
    let (step, t) = (b - a, place - below);
    match t < 0.5 {
        true => a + step * t,
        false => b - step * (1.0 - t),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::ranking::Ranking;

    fn bins(n_bins: u32, values: &[f32]) -> Vec<u32> {
        let mut ranking = Ranking::default();
        Bins::default()
            .of(n_bins, values, ranking.rank(values))
            .to_vec()
    }

    /// The expected bins are those of numpy 2.3.
    #[test]
    fn bins_are_those_of_numpy() {
        assert_eq!(bins(5, &[3.0, 1.0, 2.0, 8.0]), [3, 1, 2, 4]);
        assert_eq!(bins(5, &[1.0, 1.0, 1.0, 2.0, 9.0]), [2, 2, 2, 3, 4]);
        assert_eq!(bins(51, &[4.0; 3]), [50; 3]);
        assert_eq!(bins(2, &[4.0, 1.0]), [1, 1]);
        assert_eq!(bins(3, &[4.0, 1.0, 2.5]), [2, 1, 1]);
        assert_eq!(bins(4, &[0.5, -1.0]), [3, 1]);
        assert!(bins(4, &[]).is_empty());
    }
}
