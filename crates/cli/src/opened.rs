//! Opens the collection that the command line describes.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;
use mapped_anndata::{
    FilterValue, FirstOf, IoOptions, LabelMatch, MappedCollection, MappedCollectionBuilder,
};

use crate::Result;
use crate::args::{Cli, CollectionArgs, EncodeArg};
use crate::demo::Demo;
use crate::escape::escape;
use crate::genes::warn_of_overlaps;
use crate::lists::{self, Choice};
use crate::progress::while_waiting;
use crate::report::{MOST_WARNINGS, how_to_type, warning};

/// A collection as the command line describes it.
pub(crate) struct Opened {
    pub(crate) cells: MappedCollection,
    /// The requested matrices.
    pub(crate) layers: Vec<String>,
    /// The requested label columns.
    pub(crate) obs: Vec<String>,
    /// The matrices and columns that are taken from the first of several elements.
    pub(crate) chosen: Vec<String>,
    /// The place of the demo, which is the collection if no paths are given.
    demo: Option<Demo>,
}

impl Opened {
    /// Opens files; without any, the demo collection with options of its own.
    pub(crate) fn open(paths: &[PathBuf], args: &CollectionArgs) -> Result<Opened> {
        if !paths.is_empty() {
            return Opened::new(paths, args, None);
        }
        let demo = Demo::extract()?;
        let mut args = demo_options(args);
        if args.cache.cache.take().is_some() {
            warning("the demo collection is not cached: its files are extracted anew each time");
        }
        Opened::new(&demo.paths(), &args, Some(demo))
    }

    fn new(paths: &[PathBuf], args: &CollectionArgs, demo: Option<Demo>) -> Result<Opened> {
        let builder = builder(paths, args)?;
        let cells = while_waiting("opening", || builder.open())?;
        warn_of(&cells);
        warn_of_overlaps(&cells);
        let nearest = cells
            .missing_keys()
            .iter()
            .filter_map(|key| key.nearest.as_deref());
        nearest
            .filter_map(how_to_type)
            .for_each(|hint| eprintln!("{hint}"));
        Ok(Opened {
            cells,
            layers: names(&layers(args)?),
            obs: names(&choices(&args.obs)?),
            chosen: chosen(args)?,
            demo,
        })
    }

    /// Warns of what went wrong with the cache, if there is one.
    pub(crate) fn warn_of_cache(&self) {
        let warnings = self.cells.io().cache().map(|cache| cache.take_warnings());
        for text in warnings.into_iter().flatten() {
            warning(&text);
        }
    }

    pub(crate) fn is_demo(&self) -> bool {
        self.demo.is_some()
    }

    /// The name of each store, to be printed: its path as given, or its name in the demo.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |path: &Path| {
            let in_demo = self.demo.as_ref().and_then(|demo| demo.name_of(path));
            escape(&in_demo.unwrap_or(path).display().to_string()).into_owned()
        };
        self.cells.names().map(name).collect()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.warn_of_cache();
    }
}

/// The options of the demo, unless label columns are requested.
fn demo_options(args: &CollectionArgs) -> CollectionArgs {
    let mut args = args.clone();
    if args.obs.is_empty() {
        args.obs = vec!["cell_type".to_owned()];
        if args.unknown_label.is_empty() {
            args.unknown_label = vec!["unknown".to_owned()];
        }
    }
    args
}

/// The keys of the lists that an option was given; an empty argument is an empty list.
pub(crate) fn keys(given: &[String]) -> Vec<String> {
    let keys = given.iter().flat_map(|list| lists::split(list));
    keys.filter(|key| !key.is_empty()).collect()
}

fn layers(args: &CollectionArgs) -> Result<Vec<Choice>> {
    match &args.layers {
        Some(layers) => choices(layers),
        None => choices(&["X".to_owned()]),
    }
}

/// The keys of the lists that an option was given, and the elements that they are taken from.
fn choices(given: &[String]) -> Result<Vec<Choice>> {
    let usage = |message: String| Cli::command().error(ErrorKind::InvalidValue, message);
    let lists = given.iter().map(|list| lists::choices(list).map_err(usage));
    Ok(lists.collect::<std::result::Result<Vec<_>, _>>()?.concat())
}

fn names(choices: &[Choice]) -> Vec<String> {
    choices.iter().map(|choice| choice.key.clone()).collect()
}

/// The keys that are not taken from the element of their name.
fn chosen(args: &CollectionArgs) -> Result<Vec<String>> {
    let keys = [layers(args)?, choices(&args.obs)?].concat();
    let keys = keys.into_iter().filter(|choice| !choice.is_plain());
    Ok(keys.map(|choice| choice.key).collect())
}

/// Warns of given keys and labels that no store has. Of many labels, only the first get a warning.
fn warn_of(cells: &MappedCollection) {
    for key in cells.missing_keys() {
        warning(&key.to_string());
    }
    let labels = cells.unmatched_labels();
    for label in labels.iter().take(MOST_WARNINGS) {
        warning(&label.to_string());
    }
    if let more @ 1.. = labels.len().saturating_sub(MOST_WARNINGS) {
        warning(&format!("and {more} more labels that no store has"));
    }
}

fn builder(paths: &[PathBuf], args: &CollectionArgs) -> Result<MappedCollectionBuilder> {
    let columns = choices(&args.obs)?;
    let obs = names(&columns);
    let layers = layers(args)?.into_iter().map(|layer| {
        let from = match layer.counts {
            true => FirstOf::counts(layer.elements),
            false => FirstOf::new(layer.elements),
        };
        (layer.key, from)
    });
    let columns = columns
        .into_iter()
        .map(|column| (column.key, column.elements));
    let mut builder = MappedCollection::builder(paths.iter().cloned())
        .layers_from(layers)
        .obs_from(columns)
        .obsm(keys(&args.obsm))
        .join(args.join)
        .dtype(args.dtype)
        .io(IoOptions::new()
            .hdf5(args.hdf5.into())
            .zarr(args.zarr.into())
            .revalidate(!args.cache.no_revalidate));
    builder = args.genes.apply(builder, paths)?;
    builder = args.obs_table.apply(builder)?;
    builder = args.label_map.apply(builder)?;
    builder = args.transforms.apply(builder)?;
    builder = args.cache.choose(builder)?;
    if let EncodeArg::Keys(keys) = &args.encode_labels {
        builder = builder.encode_labels(keys.clone());
    }
    for filter in &args.filter {
        let value = match filter.label.as_str() {
            "@missing" => FilterValue::Missing,
            text => FilterValue::Label(LabelMatch::Text(text.to_owned())),
        };
        builder = builder.filter(filter.key.clone(), [value]);
    }
    let text = LabelMatch::Text;
    match unknown_labels(&args.unknown_label, &obs)? {
        Unknown::None => {}
        Unknown::All(label) => builder = builder.unknown_label_for_all(text(label)),
        Unknown::Keys(labels) => {
            for (key, label) in labels {
                builder = builder.unknown_label(key, text(label));
            }
        }
    }
    Ok(builder)
}

/// The unknown labels as given: one for all keys, or one per listed key.
#[derive(Debug, PartialEq, Eq)]
enum Unknown {
    None,
    All(String),
    Keys(Vec<(String, String)>),
}

/// `KEY=LABEL` names a key only if the key is one of `obs`: labels may contain `=`.
fn unknown_labels(given: &[String], obs: &[String]) -> std::result::Result<Unknown, clap::Error> {
    let conflict = |message: &str| Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
    let mut found = Unknown::None;
    for text in given {
        let for_key = lists::key_and_value(text).filter(|(key, _)| obs.contains(key));
        match (&mut found, for_key) {
            (Unknown::None, None) => found = Unknown::All(lists::name(text)),
            (Unknown::None, Some(entry)) => found = Unknown::Keys(vec![entry]),
            (Unknown::Keys(entries), Some(entry)) => {
                if entries.iter().any(|(key, _)| *key == entry.0) {
                    return conflict("--unknown-label: a column has one unknown label at most");
                }
                entries.push(entry);
            }
            _ => {
                return conflict(
                    "--unknown-label: expected one label for all columns, or KEY=LABEL for each, \
                     with every KEY in --obs",
                );
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn unknown_label_belongs_to_a_key_only_if_the_key_is_read() {
        let obs = owned(&["a", "b"]);
        let one = owned(&["x"]);
        let all = |label: &str| Unknown::All(label.to_owned());
        assert_eq!(unknown_labels(&one, &obs).unwrap(), all("x"));
        let with_sign = owned(&["c=x"]);
        assert_eq!(unknown_labels(&with_sign, &obs).unwrap(), all("c=x"));
        let escaped = owned(&["a\\=x"]);
        assert_eq!(unknown_labels(&escaped, &obs).unwrap(), all("a=x"));
        let keyed = owned(&["a=x", "b=y=z"]);
        let pair = |key: &str, label: &str| (key.to_owned(), label.to_owned());
        let expected = Unknown::Keys(vec![pair("a", "x"), pair("b", "y=z")]);
        assert_eq!(unknown_labels(&keyed, &obs).unwrap(), expected);
        for wrong in [&["x", "y"], &["x", "a=y"], &["a=x", "y"], &["a=x", "a=y"]] {
            assert!(unknown_labels(&owned(wrong), &obs).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn empty_argument_is_an_empty_list() {
        let mut args = CollectionArgs::default();
        assert_eq!(names(&layers(&args).unwrap()), ["X"]);
        args.layers = Some(owned(&[""]));
        assert!(layers(&args).unwrap().is_empty());
    }

    #[test]
    fn demo_has_labels_unless_others_are_requested() {
        let args = demo_options(&CollectionArgs::default());
        assert_eq!(
            (args.obs, args.unknown_label),
            (owned(&["cell_type"]), owned(&["unknown"]))
        );
        let donor = CollectionArgs {
            obs: owned(&["donor"]),
            ..Default::default()
        };
        let args = demo_options(&donor);
        assert_eq!(
            (args.obs, args.unknown_label),
            (owned(&["donor"]), Vec::<String>::new())
        );
    }
}
