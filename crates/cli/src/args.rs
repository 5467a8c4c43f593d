//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use mapped_anndata::io::{ByteSize, ByteSizeError, DType};
use mapped_anndata::{Join, Shuffle};

use crate::backends::{Hdf5Arg, ZarrArg};
use crate::cache::{self, CacheArgs, CacheCommand};
use crate::genes::GenesArgs;
use crate::label_map::LabelMapArgs;
use crate::lists;
use crate::output::OutputArgs;
use crate::sampler::SamplerArg;
use crate::storage::StorageArgs;
use crate::transforms::TransformArgs;

/// Feeds collections of AnnData files (.h5ad, .zarr) to a model, as they are on disk: genes
/// joined, labels encoded, rows in the order of a seed.
#[derive(Debug, Parser)]
#[command(name = "mapped-anndata", version, after_help = MAIN_EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a collection is: cells, genes, join, labels and how often each occurs.
    #[command(after_help = INFO_EXAMPLES)]
    Info(InfoArgs),
    /// Show single rows: matrices and labels, as a model would get them.
    #[command(after_help = GET_EXAMPLES)]
    Get(GetArgs),
    /// Count labels and compute their weights: rare labels weigh more.
    #[command(after_help = WEIGHTS_EXAMPLES)]
    Weights(WeightsArgs),
    /// Stream all rows in batches; report the speed and the first batch.
    #[command(after_help = STREAM_EXAMPLES)]
    Stream(Box<StreamArgs>),
    /// Fill, list, verify or clear a folder of packed rows, which later epochs read instead of
    /// decoding.
    #[command(subcommand, after_help = cache::EXAMPLES)]
    Cache(CacheCommand),
    /// Read all of every file, and list every fault.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
}

const MAIN_EXAMPLES: &str = "\
Examples:
  mapped-anndata stream                      the demo collection, which is part of the program
  mapped-anndata info *.h5ad --obs cell_type
  mapped-anndata check *.h5ad                is everything in them as it should be?
  mapped-anndata help get

In lists of names, and in KEY=LABEL, \\ makes the , = or | behind it (or another \\) a part of the
name: --obs 'age\\, years' is one column, named age, years.";

const INFO_EXAMPLES: &str = "\
Examples:
  mapped-anndata info                                    the demo collection
  mapped-anndata info a.h5ad b.zarr --obs cell_type,donor --join outer
  mapped-anndata info *.h5ad --filter assay=\"10x 3' v3\" --filter donor=@missing
  mapped-anndata info *.h5ad --genes vocab.json --var-key 'ensembl_id|_index' --strip-version
  mapped-anndata info *.h5ad --layers 'counts=counts(raw.X|counts|X)' --obs 'type=cell_type|celltype'
  mapped-anndata info *.h5ad --vars --json | jq '.var_joint | length'
  mapped-anndata info a.h5ad --obs 'age\\, years,donor'     two columns: age, years and donor

JSON: one object with shape, original_shapes, n_obs, join (as asked), join_vars (in effect, null
if all stores have equal genes), encoders {key: {label: code}}, categories {key: [...]},
label_counts {key: {label: cells}}, missing {key: cells without a label}, with --vars var_joint, with
--genes gene_overlaps [{store, table, found, given, genes, overlap}], with NAME=A|B source_keys
{NAME: [what each store has for it, or null]}, with --obs-table not_in_table {cells, stores: [cells
of each]} that have no row there, and with --cache cached {bands, cached_bands, bytes}.";

const GET_EXAMPLES: &str = "\
Examples:
  mapped-anndata get a.h5ad b.zarr --obs cell_type --index 0,5,-1
  mapped-anndata get a.h5ad --layers counts --obsm X_pca --index -1 --json

JSON: one object a line: _store_idx, the layers, obsm_KEY, the labels. Missing and NaN are null,
infinities \"inf\" and \"-inf\".";

const WEIGHTS_EXAMPLES: &str = "\
Examples:
  mapped-anndata weights *.h5ad --keys cell_type
  mapped-anndata weights *.h5ad --keys cell_type,donor --scaler 1000 --json
  mapped-anndata weights *.h5ad --keys cell_type --by-category --json

A class of c cells weighs 1/c, or S/(c+S) with --scaler S. Missing labels are the class nan, and so
is a label that reads nan; the labels of several keys are joined by __.

JSON: {\"weights\": [one for each cell]}, or with --by-category {\"categories\": {class: weight}}.";

const STREAM_EXAMPLES: &str = "\
Examples:
  mapped-anndata stream                                  the demo collection
  mapped-anndata stream *.h5ad --obs cell_type --batch-size 1024
  mapped-anndata stream *.h5ad --shuffle exact --seed 7 --epochs 3 --output dense --json
  mapped-anndata stream *.h5ad --obs cell_type --shuffle blocks:256 --memory 256MiB
  mapped-anndata stream *.h5ad --transform X=normalize:1e4,log1p
  mapped-anndata stream *.h5ad --genes vocab.json --output tokens --tokens '2048,cls=<cls>'
  mapped-anndata stream *.h5ad --shuffle exact --cache packs --epochs 2
  mapped-anndata stream *.h5ad --sampler balanced:cell_type --rank 1 --world-size 4

JSON: one object a line for each epoch (epoch, rows, batches, seconds, rows_per_second), and last
one for all: rows, batches, seconds, rows_per_second, first_batch_seconds, peak_rss_bytes,
chunks_decoded, cache_hits, bytes_read, packed_rows (rows of matrices read from packs), label_entropy (of the first encoded label: key, mean over
batches in bits, and that of an exact shuffle, null without such a label), x_sum (the sum of all
elements of the first layer that were streamed; null for tokens), and with --cache cached {bands, cached_bands, bytes}.";

const CHECK_EXAMPLES: &str = "\
Examples:
  mapped-anndata check *.h5ad
  mapped-anndata check a.h5ad b.zarr --layers X,counts --obsm \"\"
  mapped-anndata check *.h5ad --json | jq -r '.faults[]?.message'

It reads obs and var names, every column of obs, X, raw.X, every layer and every element of obsm: it
decodes each chunk, and compares each code and column index with what it stands for. It lists apart:
faults, for which the exit code is 1: what a model would ask for and cannot get, or what contradicts
itself (links to nothing, categories that repeat, files cut short); what is not supported (but X,
which is needed: a fault); and notices (names of cells or genes that repeat, a flag that a writer
left set). Names of genes that repeat are a fault where the files given need a join. Values are
counted: NaN, infinite, negative, zeros that a sparse matrix stores, rows out of order (unsorted or
repeating a column), missing labels, chunks never written.

JSON: one object a line for each file: path, shape (null if it could not be opened), elements:
[{element, shape, dtype, layout, stored, nan, infinite, negative, explicit_zeros, unordered, unused,
missing, unwritten, more_faults}], n_faults, faults: [{element, message}] (at most 100 of an element,
whose more_faults counts the others), unsupported and notices: [{element, message}]; and last one for
all: files, faults (the number of all), join_faults and notices: [text] of the files as one
collection.";

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// AnnData files (.h5ad), directories (.zarr) and URLs (https, s3, gs, az, hf).
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Matrices: X, raw.X or names of layers, comma-separated; "" for none [default: all]
    #[arg(long, value_name = "KEYS")]
    pub(crate) layers: Option<Vec<String>>,
    /// Columns of obs, comma-separated; "" for none [default: all]
    #[arg(long, value_name = "KEYS")]
    pub(crate) obs: Option<Vec<String>>,
    /// Elements of obsm, comma-separated; "" for none [default: all]
    #[arg(long, value_name = "KEYS")]
    pub(crate) obsm: Option<Vec<String>>,
    /// Threads that read.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    pub(crate) workers: usize,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// AnnData files (.h5ad, .zarr, .zarr.zip) or URLs (https, s3, gs, az, hf), in the order of their
    /// rows; without any, the demo collection.
    pub(crate) paths: Vec<PathBuf>,
    /// Also list the joint genes.
    #[arg(long)]
    pub(crate) vars: bool,
    #[command(flatten)]
    pub(crate) collection: CollectionArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// AnnData files (.h5ad, .zarr, .zarr.zip) or URLs (https, s3, gs, az, hf), in the order of their
    /// rows.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Rows, comma-separated; negative ones count from the end.
    #[arg(
        long,
        value_name = "ROWS",
        required = true,
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub(crate) index: Vec<i64>,
    #[command(flatten)]
    pub(crate) collection: CollectionArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WeightsArgs {
    /// AnnData files (.h5ad, .zarr, .zarr.zip) or URLs (https, s3, gs, az, hf), in the order of their
    /// rows.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Columns of obs whose labels are counted, comma-separated; several count combinations.
    #[arg(long, value_name = "KEYS", required = true)]
    pub(crate) keys: Vec<String>,
    /// Weigh a class of c cells by S/(c+S) instead of 1/c.
    #[arg(long, value_name = "S", value_parser = positive)]
    pub(crate) scaler: Option<f64>,
    /// With --json: one weight for each class instead of one for each cell.
    #[arg(long)]
    pub(crate) by_category: bool,
    #[command(flatten)]
    pub(crate) collection: CollectionArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StreamArgs {
    /// AnnData files (.h5ad, .zarr, .zarr.zip) or URLs (https, s3, gs, az, hf), in the order of their
    /// rows; without any, the demo collection.
    pub(crate) paths: Vec<PathBuf>,
    /// Rows in a batch.
    #[arg(long, value_name = "ROWS", default_value_t = 512, value_parser = at_least_one)]
    pub(crate) batch_size: usize,
    /// Order of the rows: none (as in the files), exact (every order equally likely), or blocks:N
    /// (blocks of N rows, mixed in pools of blocks).
    #[arg(long, value_name = "ORDER", default_value = "none", value_parser = shuffle)]
    pub(crate) shuffle: Shuffle,
    /// How rows are drawn: weighted:KEY (by the weights of the labels of KEY) or balanced:KEY (each
    /// label of KEY equally often; rows without one never), both with replacement; mixture:KEY:T
    /// (labels of n rows in proportion to n^T, without replacement where there are enough rows);
    /// mixture:T (the same for stores) [default: each row once]
    #[arg(long, value_name = "SAMPLER", value_parser = SamplerArg::parse)]
    pub(crate) sampler: Option<SamplerArg>,
    /// Threads that read ahead; 0 to read in the main thread.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) workers: usize,
    /// Memory for everything read ahead, such as 256MiB or 1GiB.
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = bytes)]
    pub(crate) memory: usize,
    /// The part to stream when --world-size processes share an epoch.
    #[arg(long, value_name = "R", default_value_t = 0)]
    pub(crate) rank: usize,
    /// Processes that share an epoch. So that all have as many rows, fewer than W rows come twice.
    #[arg(long, value_name = "W", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) world_size: usize,
    /// Fixes the order of a shuffle, on every machine.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many times all rows are streamed.
    #[arg(long, value_name = "E", default_value_t = 1)]
    pub(crate) epochs: u64,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) collection: CollectionArgs,
}

/// The options that all subcommands share: how files become a collection.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Collection")]
pub(crate) struct CollectionArgs {
    /// Matrices: X, raw.X or names of layers, comma-separated; "" for none [default: X]. NAME=A|B is
    /// the first that a store has, NAME=counts(A|B) the first that holds counts.
    #[arg(long, value_name = "KEYS")]
    pub(crate) layers: Option<Vec<String>>,
    /// Label columns of obs, comma-separated (`\,` is a part of a name); _index is the obs names.
    /// NAME=A|B is the first column that a store has.
    #[arg(long, value_name = "KEYS")]
    pub(crate) obs: Vec<String>,
    #[command(flatten)]
    pub(crate) label_map: LabelMapArgs,
    #[command(flatten)]
    pub(crate) obs_table: crate::obs_table::ObsTableArgs,
    #[command(flatten)]
    pub(crate) transforms: TransformArgs,
    /// Elements of obsm, comma-separated.
    #[arg(long, value_name = "KEYS")]
    pub(crate) obsm: Vec<String>,
    /// Genes: those that all stores share, those of any store, or each store's own.
    #[arg(long, value_enum, default_value = "inner")]
    pub(crate) join: JoinArg,
    #[command(flatten)]
    pub(crate) genes: GenesArgs,
    /// Columns whose labels become integers: all (but plain floating-point columns), none, or
    /// some of --obs, comma-separated.
    #[arg(long, value_name = "KEYS", default_value = "all", value_parser = encode_labels)]
    pub(crate) encode_labels: EncodeArg,
    /// The label that is encoded as -1, in all columns or as KEY=LABEL in one of --obs; repeatable.
    #[arg(long, value_name = "[KEY=]LABEL")]
    pub(crate) unknown_label: Vec<String>,
    /// Keep only cells with this label, or with @missing those without one; repeatable: labels
    /// of one column add up, different columns must all match. `\=` is a part of a KEY.
    #[arg(long, value_name = "KEY=LABEL", value_parser = filter)]
    pub(crate) filter: Vec<FilterArg>,
    /// Element type of all matrices, as numpy names it, such as float32 [default: the files']
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<DType>,
    /// Reader of HDF5: pure Rust, the C library, or the library where pure Rust refuses a file; the
    /// library needs a build with the feature libhdf5.
    #[arg(long, value_enum, default_value = "pure")]
    pub(crate) hdf5: Hdf5Arg,
    /// Reader of zarr: this program itself, zarrs, or zarrs where this program refuses an array;
    /// zarrs needs a build with the feature zarrs.
    #[arg(long, value_enum, default_value = "pure")]
    pub(crate) zarr: ZarrArg,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinArg {
    #[default]
    Inner,
    Outer,
    None,
}

impl From<JoinArg> for Option<Join> {
    fn from(join: JoinArg) -> Self {
        match join {
            JoinArg::Inner => Some(Join::Inner),
            JoinArg::Outer => Some(Join::Outer),
            JoinArg::None => None,
        }
    }
}

fn shuffle(text: &str) -> Result<Shuffle, String> {
    match (text, text.strip_prefix("blocks:")) {
        ("none", _) => Ok(Shuffle::None),
        ("exact", _) => Ok(Shuffle::Exact),
        (_, Some(rows)) => at_least_one(rows).map(|rows| Shuffle::Blocks { rows }),
        _ => Err("expected none, exact or blocks:N, such as blocks:256".to_owned()),
    }
}

/// A number of bytes, with or without a unit.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let ByteSize(bytes) = text
        .parse()
        .map_err(|error: ByteSizeError| error.to_string())?;
    Ok(bytes as usize)
}

/// The labels to encode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum EncodeArg {
    #[default]
    All,
    Keys(Vec<String>),
}

fn encode_labels(text: &str) -> Result<EncodeArg, String> {
    Ok(match text {
        "all" => EncodeArg::All,
        "none" | "" => EncodeArg::Keys(Vec::new()),
        keys => EncodeArg::Keys(lists::split(keys)),
    })
}

/// A label that passes a filter, by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterArg {
    pub(crate) key: String,
    pub(crate) label: String,
}

fn filter(text: &str) -> Result<FilterArg, String> {
    match lists::key_and_value(text) {
        Some((key, label)) if !key.is_empty() => Ok(FilterArg { key, label }),
        _ => Err("expected KEY=LABEL".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && f64::is_finite(value) => Ok(value),
        _ => Err("expected a positive number".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(value) if value > 0 => Ok(value),
        _ => Err("expected a whole number, at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn orders_and_sizes_are_read() {
        assert_eq!(shuffle("blocks:32"), Ok(Shuffle::Blocks { rows: 32 }));
        assert!(
            ["blocks", "blocks:0", "blocks:x", "all"]
                .iter()
                .all(|text| shuffle(text).is_err())
        );
        assert_eq!(bytes("256MiB"), Ok(256 << 20));
        assert_eq!(bytes("1.5g"), Ok(1_500_000_000));
        assert_eq!(bytes("1000"), Ok(1000));
        assert!(
            ["", "x", "1TiBs", "-1"]
                .iter()
                .all(|text| bytes(text).is_err())
        );
    }

    #[test]
    fn command_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn negative_rows_come_with_and_without_an_equals_sign() {
        for index in [&["--index=-1,2"][..], &["--index", "-1,2"]] {
            let line = [&["mapped-anndata", "get", "a.h5ad"], index].concat();
            let Command::Get(args) = Cli::parse_from(line).command else {
                panic!("not get");
            };
            assert_eq!(args.index, [-1, 2]);
        }
    }

    #[test]
    fn filter_is_split_at_the_first_equals_sign() {
        let of = |key: &str, label: &str| FilterArg {
            key: key.to_owned(),
            label: label.to_owned(),
        };
        assert_eq!(filter("a=b=c"), Ok(of("a", "b=c")));
        assert_eq!(filter("a="), Ok(of("a", "")));
        assert_eq!(filter("a\\=b=c\\,d"), Ok(of("a=b", "c,d")));
        assert!(filter("a").is_err() && filter("=a").is_err());
    }

    #[test]
    fn encode_labels_is_a_word_or_a_list() {
        let keys = |keys: &[&str]| Ok(EncodeArg::Keys(keys.iter().map(|&k| k.into()).collect()));
        assert_eq!(encode_labels("all"), Ok(EncodeArg::All));
        assert_eq!(encode_labels("none"), keys(&[]));
        assert_eq!(encode_labels("a,b"), keys(&["a", "b"]));
        assert_eq!(encode_labels("a\\,b"), keys(&["a,b"]));
    }

    #[test]
    fn senseless_numbers_are_refused() {
        assert_eq!(positive("1.5"), Ok(1.5));
        assert!(
            ["0", "-1", "nan", "inf", "x"]
                .iter()
                .all(|text| positive(text).is_err())
        );
        assert!(
            ["0", "-1", "x"]
                .iter()
                .all(|text| at_least_one(text).is_err())
        );
    }
}
