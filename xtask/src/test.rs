//! `cargo xtask test`: runs every test of the crates and of the Python package, and prints one summary at the end.

use crate::step::{FEATURES, cargo, run_lines, step};
use crate::{Result, package};

/// Counts over all test binaries.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Summary {
    /// Adds the last line of a pytest run, such as `1 failed, 30 passed, 2 skipped in 1.20s`. Ignores other lines.
    fn add_pytest(&mut self, line: &str) {
        let line = line.trim_matches(['=', ' ']);
        let Some((counts, _)) = line.rsplit_once(" in ") else {
            return;
        };
        let counts: Option<Vec<(u64, &str)>> = counts
            .split(", ")
            .map(|part| {
                let (count, what) = part.split_once(' ')?;
                Some((count.parse().ok()?, what))
            })
            .collect();
        for (count, what) in counts.unwrap_or_default() {
            match what {
                "passed" => self.passed += count,
                "failed" | "error" | "errors" => self.failed += count,
                "skipped" => self.ignored += count,
                _ => {}
            }
        }
    }

    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`. Ignores other lines.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.trim().strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<&str> = counts.split([' ', ';']).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

/// Which tests of the Python package run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Python {
    /// The tests that need numpy, anndata and the reference.
    Base,
    /// The tests that need torch, or servers of files, as well.
    All,
}

/// Runs unit, integration and documentation tests of the default members, those of xtask, and
/// those of the Python package.
pub(crate) fn run(python: Python) -> Result {
    let mut summary = Summary::default();
    let tests = step("tests", || {
        run_lines(
            &mut cargo(&["test", "--no-fail-fast", "--features", FEATURES]),
            |line| summary.add(line),
        )
    });
    let own = step("tests of xtask", || {
        run_lines(&mut cargo(&["test", "--package", "xtask"]), |line| {
            summary.add(line)
        })
    });
    let package = package::test(python, |line| summary.add_pytest(line));
    println!(
        "{} passed, {} failed, {} ignored",
        summary.passed, summary.failed, summary.ignored
    );
    tests.and(own).and(package)
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn sums_result_lines_and_nothing_else() {
        let mut summary = Summary::default();
        summary.add("running 4 tests");
        summary.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s");
        summary
            .add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        let expected = Summary {
            passed: 4,
            failed: 2,
            ignored: 1,
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn sums_the_last_lines_of_pytest() {
        let mut summary = Summary::default();
        summary.add_pytest("collected 33 items in 2 files");
        summary.add_pytest("............... [100%]");
        summary.add_pytest("1 failed, 30 passed, 2 skipped, 1 warning in 91.44s (0:01:31)");
        summary.add_pytest("===== 4 passed, 1 error in 0.10s =====");
        let expected = Summary {
            passed: 34,
            failed: 2,
            ignored: 2,
        };
        assert_eq!(summary, expected);
    }
}
