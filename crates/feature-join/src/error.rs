//! What can go wrong when variables are joined or rows are moved.

/// Why variables could not be joined, or a row could not be moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// An inner join without a name that every store has.
    #[error("no variable is in every store: use Join::Outer, which keeps all variables")]
    Disjoint,

    /// A store lists a name twice, and the stores differ, so rows would have to be moved by name.
    #[error(
        "store {store} has the variable name `{name}` more than once, so it cannot be joined with the others"
    )]
    DuplicateName {
        /// The number of the store, from 0, in the given order.
        store: usize,
        /// The name, as the store spells it.
        name: String,
    },

    /// A given list names a variable twice.
    #[error("the given list has the name `{name}` more than once")]
    RepeatedName {
        /// The name.
        name: String,
    },

    /// A join by a given list without the list.
    #[error("no list of names was given: use JoinRule::given")]
    NoNames,

    /// More variables than a `u32` can number.
    #[error("{n_vars} variables are more than the {max} that can be numbered", max = u32::MAX)]
    TooManyVars {
        /// The number of variables.
        n_vars: usize,
    },

    /// No store was given.
    #[error("there is no store to take variables from")]
    NoStores,

    /// A text that does not name a join.
    #[error("unknown join `{found}`: expected `inner` or `outer`")]
    UnknownJoin {
        /// The text.
        found: String,
    },

    /// A text that does not say what happens to repeated names.
    #[error("unknown treatment of duplicates `{found}`: expected `error`, `first` or `sum`")]
    UnknownDuplicates {
        /// The text.
        found: String,
    },

    /// A row has a value in a column that its store does not have.
    #[error("column {column} is out of range for a store of {n_file} variables")]
    ColumnOutOfRange {
        /// The file column.
        column: usize,
        /// The number of variables of the store.
        n_file: usize,
    },

    /// A sparse row has different numbers of columns and values.
    #[error("a sparse row has {n_columns} columns but {n_values} values")]
    LengthMismatch {
        /// The number of columns.
        n_columns: usize,
        /// The number of values.
        n_values: usize,
    },
}
