//! An error with its causes, for people.

use std::error::Error;
use std::fmt;

/// Returns an error with its causes, each after a colon.
///
/// ```
/// use anndata_io::{Error, ErrorKind, chain};
///
/// let refused = std::io::Error::other("no such device");
/// let error = Error::new("a.h5ad", "X/data", ErrorKind::Io(std::sync::Arc::new(refused)));
/// assert_eq!(error.to_string(), "a.h5ad: X/data: cannot be read");
/// assert_eq!(chain(&error).to_string(), "a.h5ad: X/data: cannot be read: no such device");
/// ```
pub fn chain<'a>(error: &'a (dyn Error + 'a)) -> Chain<'a> {
    Chain { error }
}

/// An error with its causes, for `Display`; [`chain`] returns it.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    error: &'a (dyn Error + 'a),
}

impl<'a> Chain<'a> {
    /// Returns the message of the error, then those of its causes. Some errors of other crates
    /// already contain their cause: a message that ends the one before it is left out.
    pub fn messages(self) -> impl Iterator<Item = String> + 'a {
        let errors = std::iter::successors(Some(self.error), |error| cause(*error));
        let mut above = None::<String>;
        errors.filter_map(move |error| {
            let text = error.to_string();
            if above.as_ref().is_some_and(|above| above.ends_with(&text)) {
                return None;
            }
            above = Some(text.clone());
            Some(text)
        })
    }
}

fn cause<'a>(error: &'a (dyn Error + 'a)) -> Option<&'a (dyn Error + 'a)> {
    error.source().map(|cause| cause as _)
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, message) in self.messages().enumerate() {
            if number > 0 {
                f.write_str(": ")?;
            }
            f.write_str(&message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nested(&'static str, Option<Box<Nested>>);

    impl fmt::Display for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Nested {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn chain_writes_a_cause_once() {
        let cause = Nested("bad checksum", Some(Box::new(Nested("bit 3", None))));
        let error = Nested("obs/a: bad checksum", Some(Box::new(cause)));
        assert_eq!(chain(&error).to_string(), "obs/a: bad checksum: bit 3");
        assert_eq!(chain(&error).messages().count(), 2);
    }
}
