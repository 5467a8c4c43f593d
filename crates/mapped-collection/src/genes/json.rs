//! Lists of names in JSON.

use std::fmt;
use std::path::Path;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::file::invalid;
use crate::error::Error;

/// The names of a JSON file, in its order.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    /// An array of names.
    Names(Vec<String>),
    /// The members of an object.
    Members(Vec<(String, serde_json::Value)>),
}

impl Json {
    /// # Errors
    /// When the text is not JSON, or is neither of them.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Json, Error> {
        serde_json::from_str(text)
            .map_err(|error| invalid(path, "", "a JSON list of names", error.to_string()))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or an array of names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Json::Names(names))
            }

            /// Keeps repeated names. A map would keep only the last.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Members(members))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_members_are_all_kept() {
        let json = Json::parse(Path::new("a.json"), r#"{"A": 1, "B": 2, "A": 3}"#).unwrap();
        let members = [("A", 1), ("B", 2), ("A", 3)];
        let members = members.map(|(name, id)| (name.to_owned(), id.into()));
        assert_eq!(json, Json::Members(members.to_vec()));
    }

    #[test]
    fn other_json_is_an_error() {
        for text in ["3", "[1]", "{", ""] {
            let error = Json::parse(Path::new("a.json"), text)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("a.json: expected a JSON list of names, found "),
                "{error}"
            );
        }
    }
}
