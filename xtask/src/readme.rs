//! The README of each published crate: its front page, as `src/lib.rs` or `src/main.rs` begins with it.
//!
//! The front page is the only text. `cargo xtask readme` writes the README from it, without the
//! links that only rustdoc can follow and the lines of examples that only tests need. The README of the workspace
//! shows an example program as it is.

use std::path::Path;

use crate::{Result, root};

/// The crates, and the file that begins with their front page. The README of the facade,
/// `mapped-anndata`, is that of the workspace.
const CRATES: [(&str, &str); 7] = [
    ("anndata-io", "lib.rs"),
    ("cli", "main.rs"),
    ("feature-join", "lib.rs"),
    ("label-encoding", "lib.rs"),
    ("mapped-collection", "lib.rs"),
    ("numpy-text", "lib.rs"),
    ("row-pack", "lib.rs"),
];

/// The program that the README of the workspace shows.
const EXAMPLE: &str = "crates/mapped-anndata/examples/quickstart.rs";

/// Writes the READMEs; or, to check, fails when one differs from its front page.
pub(crate) fn run(check: bool) -> Result {
    for (folder, source) in CRATES {
        let folder = root().join("crates").join(folder);
        let manifest = read(&folder.join("Cargo.toml"))?;
        let name = crate::ci::package_name(&manifest)
            .ok_or_else(|| format!("{} names no package", folder.display()))?;
        let expected = readme(name, &read(&folder.join("src").join(source))?);
        let path = folder.join("README.md");
        if !check {
            std::fs::write(&path, expected)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        } else if read(&path)? != expected {
            let path = path.display();
            return Err(format!(
                "{path} differs from the front page of the crate: run `cargo xtask readme`"
            ));
        }
    }
    let (shown, program) = (
        read(&root().join("README.md"))?,
        read(&root().join(EXAMPLE))?,
    );
    match rust_block(&shown) {
        Some(block) if program.ends_with(block) && block.contains("fn main") => Ok(()),
        _ => Err(format!(
            "README.md differs from {EXAMPLE}: copy the program"
        )),
    }
}

/// The first block of Rust in a README.
fn rust_block(readme: &str) -> Option<&str> {
    let (_, rest) = readme.split_once("```rust\n")?;
    Some(rest.split_once("```")?.0)
}

/// The README of a crate whose main source file begins with its front page.
fn readme(name: &str, source: &str) -> String {
    let mut text = format!("# {name}\n\n");
    let mut in_code = false;
    let mut is_rust = false;
    for line in source.lines() {
        let Some(line) = line.strip_prefix("//!") else {
            break;
        };
        let line = line.strip_prefix(' ').unwrap_or(line);
        if let Some(language) = line.strip_prefix("```") {
            in_code = !in_code;
            is_rust = in_code && matches!(language, "" | "no_run");
            let line = if is_rust { "```rust" } else { line };
            text.push_str(line);
        } else if in_code {
            if is_rust && (line == "#" || line.starts_with("# ")) {
                continue;
            }
            text.push_str(line);
        } else if line.starts_with('#') {
            text.push('#');
            text.push_str(line);
        } else {
            text.push_str(&without_paths(line));
        }
        text.push('\n');
    }
    text.push_str("\n## Licence\n\nApache-2.0 or MIT, at your option.\n");
    text
}

/// A line without its links to Rust paths; the texts of the links stay. Links to addresses stay as they are.
fn without_paths(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, link)) = rest.split_once('[') {
        text.push_str(before);
        let Some((name, after)) = link.split_once(']') else {
            text.push('[');
            rest = link;
            continue;
        };
        let target = after
            .strip_prefix('(')
            .and_then(|after| after.split_once(')'));
        match target {
            Some((address, after)) if address.contains("://") => {
                text.push_str(&format!("[{name}]({address})"));
                rest = after;
            }
            Some((_, after)) => {
                text.push_str(name);
                rest = after;
            }
            // A link to a path begins with code. Other brackets are not links.
            None if name.starts_with('`') => {
                text.push_str(name);
                rest = after;
            }
            None => {
                text.push_str(&format!("[{name}]"));
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_keeps_texts_of_links_and_drops_hidden_lines() {
        let source = "//! Joins [`A`] and [b](crate::B) [n, m] [c](https://c.org).\n//!\n//! # Example\n//!\n\
                      //! ```\n//! # use hidden;\n//! #[test] a[0];\n//! ```\nmod a;\n";
        let expected = "# x\n\nJoins `A` and b [n, m] [c](https://c.org).\n\n## Example\n\n\
                        ```rust\n#[test] a[0];\n```\n\n## Licence\n\nApache-2.0 or MIT, at your option.\n";
        assert_eq!(readme("x", source), expected);
    }
}
