//! Names of matrices.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A matrix of cells: `X`, `raw.X`, or one of the layers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
// Exhaustive: AnnData has no other place for a matrix of cells.
pub enum LayerKey {
    /// `.X`
    X,
    /// `.raw.X`, which has its own variables.
    RawX,
    /// `.layers[name]`
    Layer(String),
}

impl LayerKey {
    /// The path of the element in a store.
    pub fn element(&self) -> String {
        match self {
            LayerKey::X => "X".to_owned(),
            LayerKey::RawX => "raw/X".to_owned(),
            LayerKey::Layer(name) => format!("layers/{name}"),
        }
    }
}

impl fmt::Display for LayerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerKey::X => f.write_str("X"),
            LayerKey::RawX => f.write_str("raw.X"),
            LayerKey::Layer(name) => f.write_str(name),
        }
    }
}

impl From<&str> for LayerKey {
    fn from(name: &str) -> Self {
        match name {
            "X" => LayerKey::X,
            "raw.X" => LayerKey::RawX,
            name => LayerKey::Layer(name.to_owned()),
        }
    }
}

impl FromStr for LayerKey {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_key_names_are_lamindbs() {
        for (name, element) in [("X", "X"), ("raw.X", "raw/X"), ("counts", "layers/counts")] {
            let key = LayerKey::from(name);
            assert_eq!(
                (key.to_string().as_str(), key.element().as_str()),
                (name, element)
            );
        }
    }
}
