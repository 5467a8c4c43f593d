//! Splits a collection into lists of rows.

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::order::split::{SplitOptions, split_rows};
use crate::plan::labels::MergedLabels;

impl MappedCollection {
    /// Divides the rows into one ascending list per fraction. The lists are disjoint, and ready for
    /// [`Sampler::Rows`](crate::Sampler::Rows) or to be stored. If the fractions sum to 1, every row
    /// is in one of them.
    ///
    /// # Errors
    /// When a fraction is not positive, the fractions sum to more than 1, or no store has the obs
    /// key.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Sampler, SplitBy, SplitOptions};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let options = SplitOptions::new([0.5, 0.5]).by(SplitBy::Grouped("donor".into())).seed(1);
    /// let parts = cells.split(&options)?;
    /// assert_eq!(parts[0].len() + parts[1].len(), cells.n_obs());
    /// // Rows 3 and 4 are of one donor, and so are 0 and 1.
    /// assert!(parts.iter().all(|rows| rows.contains(&3) == rows.contains(&4)));
    ///
    /// let train = LoaderOptions::new(2).sampler(Sampler::Rows(parts[0].as_slice().into()));
    /// assert_eq!(cells.loader(train)?.n_rows(), parts[0].len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(&self, options: &SplitOptions) -> Result<Vec<Vec<u32>>, Error> {
        let labels = options.by.key().map(|key| self.merged_labels(key));
        let labels = labels.transpose()?;
        let codes = labels.as_ref().map_or(&[][..], MergedLabels::codes);
        Ok(split_rows(self.n_obs(), options, codes)?)
    }
}

#[cfg(test)]
mod tests {
    use anndata_io::{MemoryStore, Values};

    use super::*;
    use crate::order::split::SplitBy;

    fn cells() -> MappedCollection {
        let names: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let store = MemoryStore::new("a")
            .dataframe("obs", &names)
            .dataframe("var", &["g"])
            .array("X", &[100, 1], Values::F32(vec![0.0; 100]))
            .categorical(
                "obs/type",
                (0..100).map(|i| i8::from(i >= 80)).collect(),
                &["a", "b"],
            )
            .categorical(
                "obs/donor",
                (0..100).map(|i| (i % 10) as i8 - 1).collect(),
                &["0", "1", "2", "3", "4", "5", "6", "7", "8"],
            );
        MappedCollection::builder([store])
            .open()
            .expect("a valid store")
    }

    fn split(split: SplitBy, fractions: &[f64]) -> Vec<Vec<u32>> {
        let options = SplitOptions::new(fractions.iter().copied())
            .by(split)
            .seed(3);
        cells().split(&options).expect("valid options")
    }

    #[test]
    fn split_parts_are_disjoint_and_complete() {
        for way in [
            SplitBy::Rows,
            SplitBy::Stratified("type".into()),
            SplitBy::Grouped("donor".into()),
        ] {
            let parts = split(way.clone(), &[0.7, 0.2, 0.1]);
            let mut all = parts.concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..100), "{way:?}");
            assert_eq!(
                parts.iter().map(Vec::len).collect::<Vec<_>>(),
                [70, 20, 10],
                "{way:?}"
            );
        }
    }

    #[test]
    fn split_keeps_shares_of_strata_and_whole_groups() {
        for part in split(SplitBy::Stratified("type".into()), &[0.5, 0.5]) {
            assert_eq!(part.iter().filter(|&&row| row >= 80).count(), 10);
        }
        let parts = split(SplitBy::Grouped("donor".into()), &[0.5, 0.3]);
        for donor in 0..10 {
            let holds = |part: &Vec<u32>| part.iter().any(|row| row % 10 == donor);
            assert!(parts.iter().filter(|part| holds(part)).count() <= 1);
        }
        assert_eq!(parts.concat().len(), 80);
        assert!(cells().split(&SplitOptions::new([0.9, 0.2])).is_err());
    }
}
