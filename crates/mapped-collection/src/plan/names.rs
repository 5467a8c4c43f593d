//! Checks that no name in a batch stands for two things.

use std::collections::HashMap;

use crate::error::read::ReadError;
use crate::plan::Plan;

impl Plan {
    /// Checks that every name of a batch stands for one thing. The rule does not apply to items:
    /// there, as in the reference, an obs key wins over a matrix of its name.
    ///
    /// # Errors
    /// When two entries of a batch have one name. The validity of a column of numbers,
    /// `<key>_valid`, is an entry too.
    pub(crate) fn check_batch_names(&self) -> Result<(), ReadError> {
        self.batch_names.clone()
    }

    /// Checks that no entry of a batch has the name of its controls.
    ///
    /// # Errors
    /// When a matrix or an obs key has it.
    pub(crate) fn check_control_name(&self) -> Result<(), ReadError> {
        const NAME: &str = "control";
        let mut matrices = self.matrices.iter().map(|key| &key.name).enumerate();
        let mut obs = self.obs.iter().map(|key| &key.name).enumerate();
        let is_named = |(_, name): &(usize, &String)| *name == NAME;
        let kind = match (matrices.find(is_named), obs.find(is_named)) {
            (Some((number, _)), _) if self.has_matrix(number) => Some("the matrix"),
            (_, Some((number, _))) if self.has_column(number) => Some("the obs key"),
            _ => None,
        };
        match kind {
            None => Ok(()),
            Some(kind) => Err(ReadError::SameName {
                first: format!("{kind} {NAME:?}"),
                second: "the controls of its rows".to_owned(),
                name: NAME.to_owned(),
            }),
        }
    }

    /// The result of [`check_batch_names`](Self::check_batch_names), computed once: a small batch
    /// is read in less time than the check takes.
    pub(crate) fn find_same_name(&self) -> Result<(), ReadError> {
        let mut known: HashMap<String, String> = HashMap::new();
        let mut add = |name: String, what: String| match known.get(&name) {
            // A key that is requested twice is one entry.
            Some(first) if *first != what => Err(ReadError::SameName {
                first: first.clone(),
                second: what,
                name,
            }),
            _ => {
                known.insert(name, what);
                Ok(())
            }
        };
        add("_store_idx".to_owned(), "the stores of its rows".to_owned())?;
        add("_row_idx".to_owned(), "the rows in their files".to_owned())?;
        for (number, key) in self.matrices.iter().enumerate() {
            if self.has_matrix(number) {
                let kind = if key.is_layer { "layer" } else { "matrix" };
                add(key.name.clone(), format!("the {kind} {:?}", key.name))?;
            }
        }
        for (number, key) in self.obs.iter().enumerate() {
            if self.has_column(number) {
                add(key.name.clone(), format!("the obs key {:?}", key.name))?;
                if key.encoder.is_none() && key.dtype.is_some() {
                    let what = format!("the validity of the obs key {:?}", key.name);
                    add(format!("{}_valid", key.name), what)?;
                }
            }
        }
        Ok(())
    }
}
