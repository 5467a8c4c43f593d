//! Options that make no sense.

/// An option that makes no sense for the files or with other options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}: expected {expected}, found {found}")]
pub struct OptionError {
    option: &'static str,
    expected: String,
    found: String,
}

impl OptionError {
    pub(crate) fn new(
        option: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> OptionError {
        OptionError {
            option,
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// The option, by the name of the method that sets it.
    pub fn option(&self) -> &'static str {
        self.option
    }

    /// The values that it may have.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// The value that it has.
    pub fn found(&self) -> &str {
        &self.found
    }
}
