//! States from which an epoch cannot continue.

/// Why an epoch cannot continue from a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The state belongs to another collection, or to other options.
    #[error("the state cannot be resumed: {what} is {found}, expected {expected}")]
    Mismatch {
        /// The property that differs.
        what: &'static str,
        /// The value of this loader.
        expected: String,
        /// The value of the state.
        found: String,
    },
    /// A sampler drew other rows for the epoch than those of the state.
    #[error(
        "the state cannot be resumed in the middle of epoch {epoch}: the sampler draws other rows \
         than it did before; seed it by the epoch, or resume from the end of an epoch"
    )]
    Redrawn {
        /// The epoch.
        epoch: u64,
    },
}
