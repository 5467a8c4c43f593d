//! Binomial draws: the same on every platform and in every later release.

use rand_chacha::ChaCha8Rng;

use crate::random::unit;

/// The expected number of successes from which [`by_rejection`] draws.
const MANY: f64 = 10.0;

/// Draws the number of successes in `n` trials, each with probability `p`. `n` is a whole number
/// that is not negative; `p` lies between 0 and 1.
///
/// Takes one random number for up to [`MANY`] expected successes or failures. Otherwise it takes two
/// for each attempt, and needs fewer than two attempts on average, however large `n` is.
pub(crate) fn binomial(n: f64, p: f64, rng: &mut ChaCha8Rng) -> f64 {
    if n == 0.0 || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return n;
    }
    // Failures are drawn where they are rarer.
    let rarer = p.min(1.0 - p);
    let drawn = match n * rarer < MANY {
        true => by_inversion(n, rarer, unit(rng)),
        false => by_rejection(n, rarer, rng),
    };
    if p > 0.5 { n - drawn } else { drawn }
}

/// The smallest k whose cumulative probability exceeds `u`: probabilities are added from 0 on.
fn by_inversion(n: f64, p: f64, mut u: f64) -> f64 {
    let odds = p / (1.0 - p);
    let mut probability = libm::exp(n * libm::log1p(-p));
    let mut k = 0.0;
    while u >= probability && k < n {
        u -= probability;
        probability *= odds * (n - k) / (k + 1.0);
        k += 1.0;
        // All further probabilities are 0: what is left of u is rounding.
        if probability == 0.0 {
            break;
        }
    }
    k
}

/// The algorithm BTRS of W. Hörmann, "The generation of binomial random variates", Journal of
/// Statistical Computation and Simulation 46 (1993): transformed rejection with a squeeze.
fn by_rejection(n: f64, p: f64, rng: &mut ChaCha8Rng) -> f64 {
    let deviation = (n * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * deviation;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let center = n * p + 0.5;
    let alpha = (2.83 + 5.1 / b) * deviation;
    let odds = p / (1.0 - p);
    let mode = ((n + 1.0) * p).floor();
    loop {
        let u = unit(rng) - 0.5;
        let v = unit(rng);
        let from_end = 0.5 - u.abs();
        let k = ((2.0 * a / from_end + b) * u + center).floor();
        if from_end >= 0.07 && v <= 0.92 - 4.2 / b {
            return k;
        }
        if !(0.0..=n).contains(&k) {
            continue;
        }
        let v = libm::log(v * alpha / (a / (from_end * from_end) + b));
        let bound = (mode + 0.5) * libm::log((mode + 1.0) / (odds * (n - mode + 1.0)))
            + (n + 1.0) * libm::log((n - mode + 1.0) / (n - k + 1.0))
            + (k + 0.5) * libm::log(odds * (n - k + 1.0) / (k + 1.0))
            + stirling_rest(mode)
            + stirling_rest(n - mode)
            - stirling_rest(k)
            - stirling_rest(n - k);
        if v <= bound {
            return k;
        }
    }
}

/// `ln(k!)` less Stirling's approximation of it,
/// `ln(sqrt(2 pi)) + (k + 1/2) ln(k + 1) - (k + 1)`.
fn stirling_rest(k: f64) -> f64 {
    const FIRST: [f64; 10] = [
        0.081_061_466_795_327_26,
        0.041_340_695_955_409_29,
        0.027_677_925_684_998_34,
        0.020_790_672_103_765_09,
        0.016_644_691_189_821_19,
        0.013_876_128_823_070_75,
        0.011_896_709_945_891_77,
        0.010_411_265_261_972_09,
        0.009_255_462_182_712_733,
        0.008_330_563_433_362_87,
    ];
    if let Some(&rest) = FIRST.get(k as usize) {
        return rest;
    }
    let x = k + 1.0;
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / (x * x)) / (x * x)) / x
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn stirling_rest_is_that_of_the_gamma_function() {
        for k in 0..200 {
            let k = f64::from(k);
            let approximation = 0.5 * libm::log(2.0 * std::f64::consts::PI)
                + (k + 0.5) * libm::log(k + 1.0)
                - (k + 1.0);
            let rest = libm::lgamma(k + 1.0) - approximation;
            assert!((rest - stirling_rest(k)).abs() < 1e-10, "{k}");
        }
    }

    /// Compares the counts of draws with the probabilities of a binomial, by a chi-squared test.
    #[test]
    fn draws_are_binomial() {
        const DRAWS: usize = 40_000;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (n, p) in [
            (1.0, 0.3),
            (3.0, 0.9),
            (40.0, 0.1),
            (40.0, 0.5),
            (25.0, 0.4),
            (1000.0, 0.02),
            (1000.0, 0.97),
            (100_000.0, 0.5),
        ] {
            let mut counts = std::collections::BTreeMap::<u64, usize>::new();
            for _ in 0..DRAWS {
                let k = binomial(n, p, &mut rng);
                assert!(k.fract() == 0.0 && (0.0..=n).contains(&k), "{k} of {n}");
                *counts.entry(k as u64).or_default() += 1;
            }
            let ln_gamma = |x: f64| libm::lgamma(x);
            let expected = |k: u64| {
                let k = k as f64;
                let choose = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
                DRAWS as f64 * (choose + k * p.ln() + (n - k) * (1.0 - p).ln()).exp()
            };
            // Outcomes that are expected ten times or more; all others together are one.
            let (mut chi, mut degrees, mut rest, mut rest_found) = (0.0, 0.0, DRAWS as f64, DRAWS);
            for k in 0..=n as u64 {
                let expected = expected(k);
                if expected >= 10.0 {
                    let found = counts.get(&k).copied().unwrap_or_default();
                    chi += (found as f64 - expected).powi(2) / expected;
                    degrees += 1.0;
                    rest -= expected;
                    rest_found -= found;
                }
            }
            if rest > 1.0 {
                chi += (rest_found as f64 - rest).powi(2) / rest;
            }
            // Five standard deviations.
            assert!(
                chi < degrees + 5.0 * (2.0 * degrees + 1.0_f64).sqrt(),
                "{n} {p}: {chi} of {degrees}"
            );
        }
    }

    #[test]
    fn draws_at_the_ends() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        assert_eq!(binomial(0.0, 0.5, &mut rng), 0.0);
        assert_eq!(binomial(7.0, 0.0, &mut rng), 0.0);
        assert_eq!(binomial(7.0, 1.0, &mut rng), 7.0);
        // As fast as any other, whatever a file claims.
        let huge = binomial(2f64.powi(60), 0.25, &mut rng);
        assert!((huge / 2f64.powi(58) - 1.0).abs() < 1e-6);
        assert!(binomial(1e300, 1e-300, &mut rng) < 20.0);
        assert_eq!(by_inversion(5.0, 0.5, 0.999_999_999_999_999_9), 5.0);
    }
}
