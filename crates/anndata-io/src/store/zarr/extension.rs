//! The content of a `zarr.json`: known members, and extensions, each a name with a configuration. A
//! reader must refuse members that it does not know: they may change the meaning of everything.

use serde_json::{Map, Value};

use super::parsed::{Parsed, invalid, shown, unknown};
use crate::error::ErrorKind;

/// Members of the document of an array.
const OF_ARRAY: [&str; 11] = [
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "codecs",
    "fill_value",
    "attributes",
    "dimension_names",
    "storage_transformers",
];
/// Members of the document of a group: the last is zarr-python's own.
const OF_GROUP: [&str; 4] = [
    "zarr_format",
    "node_type",
    "attributes",
    "consolidated_metadata",
];

/// Whether a `zarr.json` describes an array. Refuses a document with unknown members that do not
/// declare that they may be ignored.
pub(super) fn is_array(document: &Value) -> Parsed<bool> {
    if document["zarr_format"] != 3 {
        return invalid("zarr_format 3 in zarr.json", &document["zarr_format"]);
    }
    let is_array = match document["node_type"].as_str() {
        Some("group") => false,
        Some("array") => true,
        _ => {
            return invalid(
                "node_type group or array in zarr.json",
                &document["node_type"],
            );
        }
    };
    let known = if is_array { &OF_ARRAY[..] } else { &OF_GROUP };
    for (name, value) in document.as_object().into_iter().flatten() {
        if !known.contains(&name.as_str()) && value["must_understand"] != false {
            return Err(must_understand(format!("the member {name:?} of zarr.json")));
        }
    }
    match &document["attributes"] {
        Value::Null | Value::Object(_) => Ok(is_array),
        other => invalid("attributes: an object", other),
    }
}

/// Returns the first error in the copies of other documents that zarr-python keeps in that of a
/// group, and the path of its element.
pub(super) fn check_consolidated(document: &Value) -> Result<(), (String, ErrorKind)> {
    let copies = document["consolidated_metadata"]["metadata"].as_object();
    for (path, copy) in copies.into_iter().flatten() {
        is_array(copy).map_err(|kind| (path.trim_start_matches('/').to_owned(), kind))?;
    }
    Ok(())
}

fn must_understand(what: String) -> ErrorKind {
    ErrorKind::Unsupported {
        what,
        way_out: "it does not say must_understand: false, so values may depend on it: write the \
                  store without it, with the software that wrote it",
    }
}

/// An extension: a data type, a chunk grid, a codec.
#[derive(Debug)]
pub(super) struct Extension<'a> {
    /// The kind of the extension.
    point: &'static str,
    pub(super) name: &'a str,
    configuration: Option<&'a Map<String, Value>>,
}

impl<'a> Extension<'a> {
    /// Reads a name, or an object with one.
    pub(super) fn of(value: &'a Value, point: &'static str) -> Parsed<Extension<'a>> {
        if let Some(name) = value.as_str() {
            let configuration = None;
            return Ok(Extension {
                point,
                name,
                configuration,
            });
        }
        let Some(name) = value["name"].as_str() else {
            return invalid(&format!("a {point} with a name"), value);
        };
        for (member, _) in value.as_object().into_iter().flatten() {
            if !["name", "configuration", "must_understand"].contains(&member.as_str()) {
                let what = format!("the member {member:?} of the zarr {point} {name}");
                return Err(must_understand(what));
            }
        }
        let configuration = match &value["configuration"] {
            Value::Null => None,
            Value::Object(configuration) => Some(configuration),
            other => return invalid(&format!("an object as configuration of {name}"), other),
        };
        Ok(Extension {
            point,
            name,
            configuration,
        })
    }

    /// Returns a value of the configuration; null if it is absent.
    pub(super) fn get(&self, key: &str) -> &'a Value {
        let value = self.configuration.and_then(|members| members.get(key));
        value.unwrap_or(&Value::Null)
    }

    /// Refuses a configuration with other keys than these.
    pub(super) fn allow(&self, keys: &[&str]) -> Parsed<()> {
        let mut members = self.configuration.into_iter().flatten();
        match members.find(|(key, _)| !keys.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, value)) => {
                let (point, name) = (self.point, self.name);
                unknown(format!(
                    "{key}: {} of the zarr {point} {name}",
                    shown(value)
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(node_type: &str, more: Value) -> Value {
        let mut document = json!({"zarr_format": 3, "node_type": node_type});
        let more = more.as_object().expect("members").clone();
        document.as_object_mut().expect("an object").extend(more);
        document
    }

    #[test]
    fn extension_members_are_known_or_ignorable() {
        for (more, fine) in [
            (json!({}), true),
            (json!({"attributes": {"any": [1]}}), true),
            (json!({"attributes": null}), true),
            (json!({"attributes": [1]}), false),
            (json!({"origin": [3, 0]}), false),
            (json!({"origin": null}), false),
            (json!({"origin": {}}), false),
            (json!({"origin": {"must_understand": true}}), false),
            (json!({"origin": {"must_understand": 0}}), false),
            (
                json!({"origin": {"must_understand": false, "at": [3, 0]}}),
                true,
            ),
        ] {
            for node_type in ["group", "array"] {
                let found = is_array(&document(node_type, more.clone()));
                assert_eq!(found.is_ok(), fine, "{node_type} {more}");
                if let (Err(kind), true) = (found, more.get("origin").is_some()) {
                    assert!(kind.to_string().contains("origin"), "{kind}");
                }
            }
        }
        let shape = json!({"shape": [1]});
        assert!(is_array(&document("array", shape.clone())).is_ok());
        assert!(
            is_array(&document("group", shape)).is_err(),
            "no group has a shape"
        );
        let of_group = json!({"consolidated_metadata": {"metadata": {}}});
        assert!(is_array(&document("group", of_group.clone())).is_ok());
        assert!(is_array(&document("array", of_group)).is_err());
        assert!(is_array(&json!({"zarr_format": 2, "node_type": "group"})).is_err());
        assert!(is_array(&json!({"zarr_format": 3, "node_type": "table"})).is_err());
    }

    #[test]
    fn consolidated_documents_obey_the_same_rules() {
        let with = |copy: Value| {
            let copies = json!({"X": document("group", json!({})), "X/data": copy});
            let consolidated = json!({"kind": "inline", "metadata": copies});
            document("group", json!({"consolidated_metadata": consolidated}))
        };
        let fine = document("array", json!({"shape": [1]}));
        assert!(check_consolidated(&with(fine)).is_ok());
        let (path, kind) = check_consolidated(&with(document("array", json!({"origin": 1}))))
            .expect_err("origin is not known");
        assert_eq!(path, "X/data");
        assert!(kind.to_string().contains("origin"));
        assert!(check_consolidated(&document("group", json!({}))).is_ok());
    }

    #[test]
    fn extension_is_a_name_or_an_object_of_known_members() {
        let of = |value: Value| {
            let found = Extension::of(&value, "codec").and_then(|found| {
                found.allow(&["level"])?;
                Ok((found.name.to_owned(), found.get("level").clone()))
            });
            found.map_err(|kind| kind.to_string())
        };
        assert_eq!(of(json!("gzip")), Ok(("gzip".to_owned(), Value::Null)));
        let gzip = json!({"name": "gzip", "configuration": {"level": 5}, "must_understand": true});
        assert_eq!(of(gzip), Ok(("gzip".to_owned(), json!(5))));
        for (value, says) in [
            (
                json!({"name": "gzip", "level": 5}),
                "\"level\" of the zarr codec gzip",
            ),
            (
                json!({"name": "gzip", "configuration": {"lvl": 5}}),
                "lvl: 5 of the zarr codec gzip",
            ),
            (
                json!({"name": "gzip", "configuration": 5}),
                "configuration of gzip",
            ),
            (json!({"id": "gzip"}), "a codec with a name"),
            (json!(null), "a codec with a name"),
        ] {
            let error = of(value).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
