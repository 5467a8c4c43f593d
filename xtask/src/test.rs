//! `cargo xtask test`: every test that needs nothing but cargo, with one summary at the end.

use crate::Result;
use crate::step::{cargo, run_lines, step};

/// Counts over all test binaries.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Summary {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`; others count nothing.
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

/// Runs unit, integration and documentation tests of the default members, then those of xtask.
pub(crate) fn run() -> Result {
    let mut summary = Summary::default();
    let tests = step("tests", || {
        run_lines(&mut cargo(&["test", "--no-fail-fast"]), |line| {
            summary.add(line)
        })
    });
    let own = step("tests of xtask", || {
        run_lines(&mut cargo(&["test", "--package", "xtask"]), |line| {
            summary.add(line)
        })
    });
    println!(
        "{} passed, {} failed, {} ignored",
        summary.passed, summary.failed, summary.ignored
    );
    tests.and(own)
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
}
