//! The two ways to join.

use std::fmt;
use std::str::FromStr;

use crate::JoinError;

/// Which variables the joint table has.
///
/// As text (`Display`, `FromStr`): `inner` and `outer`, in exactly this spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
// Exhaustive: there is no third way to join names.
pub enum Join {
    /// The variables that every store has, in the order of the first store.
    Inner,
    /// The variables that any store has, sorted by Unicode code point.
    Outer,
}

impl Join {
    /// `"inner"` or `"outer"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Join::Inner => "inner",
            Join::Outer => "outer",
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
        for text in ["", "Inner", "left", " outer"] {
            let error = text.parse::<Join>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("unknown join `{text}`: expected `inner` or `outer`")
            );
        }
    }
}
