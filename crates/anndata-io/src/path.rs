//! Paths of elements in a store.

/// Returns the path of a member of a group: `obs/cell_type` for `cell_type` of `obs`. The root is
/// the empty path.
pub(crate) fn member(group: &str, name: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{group}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_of_the_root_has_no_slash() {
        assert_eq!(member("", "X"), "X");
        assert_eq!(member("layers", "counts"), "layers/counts");
    }
}
