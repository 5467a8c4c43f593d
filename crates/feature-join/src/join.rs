//! The ways to join.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{JoinError, VarNames};

/// Which variables the joint table has.
///
/// As text: `inner`, `outer` and `given`, in exactly this spelling. [`FromStr`] knows only the first two, since a text
/// holds no list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
// Exhaustive: a caller that puts a join in words should fail to compile when one is added.
pub enum Join {
    /// The variables that every store has, in the order of the first store.
    Inner,
    /// The variables that any store has, sorted by Unicode code point.
    Outer,
    /// Exactly the variables of a given list, in its order: see [`JoinRule::given`].
    Given,
}

impl Join {
    /// `"inner"`, `"outer"` or `"given"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Join::Inner => "inner",
            Join::Outer => "outer",
            Join::Given => "given",
        }
    }
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Join {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "inner" => Ok(Join::Inner),
            "outer" => Ok(Join::Outer),
            _ => Err(JoinError::UnknownJoin {
                found: text.to_owned(),
            }),
        }
    }
}

/// What happens to a variable whose name an earlier variable of its store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Duplicates {
    /// A repeated name is an error if a join is needed. Stores with equal lists need none.
    #[default]
    Error,
    /// The first variable of the name is kept, the others are dropped.
    First,
    /// The values of all variables of the name are summed.
    Sum,
}

impl FromStr for Duplicates {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "error" => Ok(Duplicates::Error),
            "first" => Ok(Duplicates::First),
            "sum" => Ok(Duplicates::Sum),
            _ => Err(JoinError::UnknownDuplicates {
                found: text.to_owned(),
            }),
        }
    }
}

/// How [`JointVars::new`](crate::JointVars::new) joins: a [`Join`], and what it does with repeated names.
///
/// ```
/// use feature_join::{Duplicates, Join, JoinRule};
///
/// let rule = JoinRule::from(Join::Outer).duplicates(Duplicates::Sum);
/// assert_eq!(rule.join(), Some(Join::Outer));
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct JoinRule {
    pub(crate) join: Option<Join>,
    pub(crate) given: Option<Arc<VarNames>>,
    pub(crate) duplicates: Duplicates,
}

impl JoinRule {
    /// Exactly these variables, in this order, whatever the stores have. The names must be distinct.
    pub fn given(names: Arc<VarNames>) -> Self {
        JoinRule {
            join: Some(Join::Given),
            given: Some(names),
            duplicates: Duplicates::default(),
        }
    }

    /// What happens to names that a store repeats. By default, [`Duplicates::Error`].
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// The join; `None` if there is to be none.
    pub fn join(&self) -> Option<Join> {
        self.join
    }
}

impl From<Join> for JoinRule {
    fn from(join: Join) -> Self {
        JoinRule::from(Some(join))
    }
}

impl From<Option<Join>> for JoinRule {
    fn from(join: Option<Join>) -> Self {
        JoinRule {
            join,
            ..JoinRule::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_text_round_trips() {
        for join in [Join::Inner, Join::Outer] {
            assert_eq!(join.to_string().parse(), Ok(join));
        }
    }

    #[test]
    fn join_refuses_other_texts() {
        for text in ["", "Inner", "left", " outer", "given"] {
            let error = text.parse::<Join>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("unknown join `{text}`: expected `inner` or `outer`")
            );
        }
    }
}
