//! Labels in the options that no store has. Most are misspelt.

use std::borrow::Cow;
use std::collections::BTreeSet;

use anndata_io::nearest_name;
use label_encoding::{Encoder, Label};

use crate::error::labels::{LabelsError, UnmatchedLabel};
use crate::options::{LabelMatch, UnknownLabel};

/// The most distinct labels of a key that are searched for a near one.
const MOST_CANDIDATES: usize = 10_000;
/// The longest text that is compared: the time is the product of two lengths.
const LONGEST: usize = 200;
/// The most labels of one option and key for which a near one is searched.
const MOST_NEAREST: usize = 20;

/// Existing labels that a given label may be meant to be.
#[derive(Debug, Default)]
pub(crate) struct Candidates(BTreeSet<Label>);

impl Candidates {
    pub(crate) fn add<'a>(&mut self, labels: impl Iterator<Item = &'a Label>) {
        let left = MOST_CANDIDATES.saturating_sub(self.0.len());
        let is_short = |label: &&Label| !matches!(label, Label::Str(text) if text.len() > LONGEST);
        self.0.extend(labels.filter(is_short).take(left).cloned());
    }

    fn nearest(&self, wanted: &Label) -> Option<Label> {
        let wanted = wanted.python_text();
        if wanted.len() > LONGEST {
            return None;
        }
        let texts: Vec<Cow<'_, str>> = self.0.iter().map(Label::python_text).collect();
        let nearest = nearest_name(&wanted, texts.iter().map(|text| &**text))?;
        let found = self
            .0
            .iter()
            .zip(&texts)
            .find(|(_, text)| **text == nearest);
        found.map(|(label, _)| label.clone())
    }
}

/// The labels that no store has, each once, with the nearest candidate.
pub(crate) fn unmatched<'a>(
    group: &'static str,
    key: Option<&str>,
    labels: impl Iterator<Item = &'a LabelMatch>,
    candidates: &Candidates,
) -> Vec<UnmatchedLabel> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for label in labels {
        let label = match label {
            LabelMatch::Exact(label) => label.clone(),
            LabelMatch::Text(text) => Label::from(text.as_str()),
        };
        if seen.insert(label.clone()) {
            let is_asked = found.len() < MOST_NEAREST;
            found.push(UnmatchedLabel {
                group,
                key: key.map(str::to_owned),
                nearest: is_asked.then(|| candidates.nearest(&label)).flatten(),
                label,
            });
        }
    }
    found
}

/// The error for a label that an option names but no store has in its key.
pub(crate) fn no_such_label(
    option: &'static str,
    key: &str,
    label: &LabelMatch,
    known: &[Label],
) -> LabelsError {
    let mut candidates = Candidates::default();
    candidates.add(known.iter());
    let label = std::iter::once(label);
    let label = unmatched(option, Some(key), label, &candidates).remove(0);
    LabelsError::NoSuchLabel(Box::new(label))
}

/// The unknown labels that are not a category of their keys. `encoders` holds the encoded keys that
/// some store has.
pub(crate) fn unknown_labels(
    given: &UnknownLabel,
    encoders: &[(&str, &Encoder)],
) -> Vec<UnmatchedLabel> {
    const GROUP: &str = "unknown_label";
    let mut candidates = Candidates::default();
    match given {
        UnknownLabel::None => Vec::new(),
        UnknownLabel::All(label) => {
            let is_found = |(_, encoder): &(&str, &Encoder)| encoder.unknown().is_some();
            if encoders.is_empty() || encoders.iter().any(is_found) {
                return Vec::new();
            }
            let classes = encoders.iter().map(|(_, encoder)| encoder.classes());
            classes.for_each(|classes| candidates.add(classes.iter()));
            unmatched(GROUP, None, std::iter::once(label), &candidates)
        }
        UnknownLabel::Keys(keys) => {
            let mut found = Vec::new();
            for (key, label) in keys {
                let encoder = encoders.iter().find(|(name, _)| name == key);
                let Some((_, encoder)) = encoder.filter(|(_, e)| e.unknown().is_none()) else {
                    continue;
                };
                let mut candidates = Candidates::default();
                candidates.add(encoder.classes().iter());
                let label = std::iter::once(label);
                found.extend(unmatched(GROUP, Some(key), label, &candidates));
            }
            found
        }
    }
}
