//! Finds the controls of rows by labels.

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::options::FilterValue;
use crate::order::matched::Matched;
use crate::plan::label_positions::LabelIndex;
use crate::plan::labels::MergedLabels;

impl MappedCollection {
    /// A control for each row of a loader's batches: a row with equal labels of `keys`, drawn at
    /// random from the rows whose labels of the `control` keys are among the given ones.
    ///
    /// A row without a label of one of `keys` has no control. A control gets a control too,
    /// possibly itself. Without keys, every control matches every row.
    ///
    /// # Errors
    /// When no store has a key or a label of `control`.
    ///
    /// ```
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let matched = cells.matched(["cell_type"], [("donor", ["d1"])])?;
    /// assert_eq!(matched.controls_of(2), [0]); // of the T cells, row 0 is of this donor
    /// assert!(matched.controls_of(4).is_empty()); // it has no cell type
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matched<V: Into<FilterValue>>(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
        control: impl IntoIterator<Item = (impl Into<String>, impl IntoIterator<Item = V>)>,
    ) -> Result<Matched, Error> {
        let mut is_control = vec![true; self.n_obs()];
        for (key, values) in control {
            let key = key.into();
            let labels = self.united_labels(&key)?;
            let index = LabelIndex::new(labels.labels());
            let mut suits = vec![false; labels.labels().len() + 1];
            for value in values {
                suits[index.position("matched", &key, &value.into())?] = true;
            }
            for (is_control, label) in is_control.iter_mut().zip(labels.positions()) {
                *is_control &= suits[label];
            }
        }
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        let labels = keys.iter().map(|key| self.united_labels(key));
        let labels: Vec<MergedLabels> = labels.collect::<Result<_, _>>()?;
        let columns: Vec<&[u32]> = labels.iter().map(MergedLabels::codes).collect();
        Ok(Matched::new(keys, &columns, &is_control))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samplers::tests::cells;

    #[test]
    fn controls_have_all_labels_of_the_rows_and_of_controls() {
        let matched = cells()
            .matched(["donor"], [("donor", ["a"])])
            .expect("known labels");
        assert_eq!(matched.controls_of(1), [0, 1, 2, 3, 9]);
        assert!(matched.controls_of(4).is_empty() && matched.controls_of(6).is_empty());
        let any = cells().matched(Vec::<String>::new(), [("donor", [FilterValue::Missing])]);
        assert_eq!(any.expect("a column").controls_of(9), [6, 7]);
        let error = cells()
            .matched(["donor"], [("donor", ["c"])])
            .expect_err("no such label");
        assert!(
            error
                .to_string()
                .contains("matched: no store has the label"),
            "{error}"
        );
    }
}
