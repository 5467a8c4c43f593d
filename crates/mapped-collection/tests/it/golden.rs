//! The golden cases of `fixtures/cases`: options and what lamindb's own class gave for them, or,
//! where we depart from it, what is right.
//!
//! Every case is also held against itself: each item equals the row of a dense batch, of a CSR
//! batch, and of a batch of each epoch.

use std::collections::HashMap;
use std::path::PathBuf;

#[cfg(feature = "libhdf5")]
use anndata_io::Hdf5Backend;
use anndata_io::{CacheOptions, NumericValue, PackCache, ValuesRef, chain};
use mapped_collection::{
    Batch, BatchColumn, BatchFormat, Error, FilterValue, FirstOf, GeneList, GeneValues, IoOptions,
    ItemValue, Join, Label, LabelMatch, LoaderOptions, MappedCollection, Matrix, MatrixFormat,
    ObsTable, OpenError, ReadError, RowLocation, Shuffle, SpecialToken, TargetTotal, Tokens,
    Totals, Transform, Unmapped,
};
use serde_json::{Value, json};

use crate::fixtures;
use crate::support::Support;

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list
            .iter()
            .map(|v| v.as_str().expect("a text").to_owned())
            .collect(),
        other => panic!("texts expected, found {other}"),
    }
}

fn label(value: &Value) -> Label {
    match value {
        Value::String(text) => Label::from(text.as_str()),
        Value::Bool(flag) => Label::from(*flag),
        Value::Number(n) if n.is_f64() => Label::float(
            n.as_f64().expect("a float"),
            label_encoding::FloatWidth::F64,
        )
        .expect("not NaN"),
        Value::Number(n) => Label::from(n.as_i64().expect("an integer")),
        other => panic!("a label expected, found {other}"),
    }
}

/// How files are read.
#[derive(Clone, Default)]
struct Reading {
    io: IoOptions,
    cache: Option<CacheOptions>,
    /// Where stores are read from, except zarr without consolidated metadata: `http://host/`.
    server: Option<String>,
}

impl Reading {
    fn of(io: IoOptions) -> Reading {
        Reading {
            io,
            ..Reading::default()
        }
    }
}

/// Whether a store can be read from a server that does not list files.
fn is_for_servers(path: &str) -> bool {
    let store = fixtures().join("stores").join(path);
    let consolidated = std::fs::read_to_string(store.join("zarr.json"))
        .is_ok_and(|text| text.contains("consolidated_metadata"));
    store.is_file() || store.join(".zmetadata").exists() || consolidated
}

fn open(paths: &Value, options: &Value, reading: &Reading) -> Result<MappedCollection, Refused> {
    let names = strings(paths);
    let paths = names.iter().cloned().map(|path| {
        if path.contains("://") || path.starts_with('/') {
            path.into()
        } else if let Some(server) = &reading.server
            && is_for_servers(&path)
        {
            format!("{server}{path}").into()
        } else {
            fixtures().join("stores").join(path)
        }
    });
    let builder = MappedCollection::builder(paths.collect::<Vec<_>>());
    let mut builder = builder.io(reading.io).cache(reading.cache.clone());
    for (option, value) in options.as_object().expect("a map of options") {
        if value.is_null() && option != "join" {
            continue;
        }
        builder = match option.as_str() {
            "layers_keys" => match value {
                Value::Object(layers) => {
                    let from = |value: &Value| match value.get("counts") {
                        Some(keys) => FirstOf::counts(strings(keys)),
                        None => FirstOf::new(strings(value)),
                    };
                    builder.layers_from(layers.iter().map(|(name, value)| (name, from(value))))
                }
                keys => builder.layers(strings(keys)),
            },
            "obs_keys" => match value {
                Value::Object(keys) => {
                    builder.obs_from(keys.iter().map(|(key, columns)| (key, strings(columns))))
                }
                keys => builder.obs(strings(keys)),
            },
            "label_map" => {
                let maps = value.as_object().expect("a map of keys").iter();
                maps.fold(builder, |builder, (key, pairs)| {
                    let pairs = pairs.as_object().expect("a map of labels").iter();
                    builder.label_map(key, pairs.map(|(old, new)| (old, new.as_str())))
                })
            }
            "transforms" => {
                let keys = value.as_object().expect("a map of keys").iter();
                keys.fold(builder, |builder, (key, steps)| {
                    let steps = steps.as_array().expect("a list of steps").iter();
                    builder.transforms(key, steps.map(transform))
                })
            }
            "unmapped" => builder.unmapped(match value.as_str().expect("a text") {
                "missing" => Unmapped::Missing,
                _ => Unmapped::Error,
            }),
            "obsm_keys" => builder.obsm(strings(value)),
            "obs_filter" => {
                let columns = value.as_array().expect("a list of columns");
                columns.iter().fold(builder, |builder, column| {
                    let values = column[1].as_array().expect("a list of values").iter();
                    let values = values.map(|value| match value {
                        Value::Null => FilterValue::Missing,
                        value => FilterValue::Label(LabelMatch::Exact(label(value))),
                    });
                    builder.filter(column[0].as_str().expect("a key"), values)
                })
            }
            "join" => match value.as_str() {
                None => builder.join(None),
                Some(join) => builder.join(join.parse::<Join>().map_err(|_| Refused::Join)?),
            },
            "encode_labels" => match value {
                Value::Bool(all) => builder.encode_labels(*all),
                keys => builder.encode_labels(strings(keys)),
            },
            "unknown_label" => match value {
                Value::Object(keys) => keys.iter().fold(builder, |builder, (key, value)| {
                    builder.unknown_label(key, label(value))
                }),
                value => builder.unknown_label_for_all(label(value)),
            },
            "dtype" => builder.dtype(
                value
                    .as_str()
                    .expect("a name")
                    .parse::<anndata_io::DType>()
                    .map_err(|_| Refused::DType)?,
            ),
            "genes" => builder.genes(match value {
                Value::Object(vocabulary) => {
                    let id = |id: &Value| id.as_i64().expect("an id");
                    let entries = vocabulary
                        .iter()
                        .map(|(name, value)| (name.as_str(), id(value)));
                    GeneList::from_vocabulary(entries, None).expect("distinct ids")
                }
                names => strings(names).into(),
            }),
            "var_key" => match value {
                Value::Object(stores) => stores.iter().fold(builder, |builder, (store, keys)| {
                    let store = store.parse().expect("the number of a store");
                    builder.var_key_of(store, strings(keys))
                }),
                keys => builder.var_key(strings(keys)),
            },
            "strip_version" => builder.strip_version(value.as_bool().expect("a flag")),
            "aliases" => {
                let aliases = value.as_object().expect("a map of names").iter();
                builder.aliases(aliases.map(|(old, new)| (old, new.as_str().expect("a name"))))
            }
            "duplicates" => {
                builder.duplicates(value.as_str().expect("a text").parse().expect("valid"))
            }
            "obs_table" => {
                builder.obs_table(obs_table(value, &names).map_err(Refused::Collection)?)
            }
            // Options of lamindb that change no result.
            "cache_categories" | "parallel" => builder,
            other => panic!("unknown option {other}"),
        };
    }
    builder.open().map_err(Refused::Collection)
}

/// A table, which knows the stores by their paths from the folder of the fixtures.
fn obs_table(value: &Value, names: &[String]) -> Result<ObsTable, Error> {
    let text = |name: &str| value[name].as_str();
    let file = text("table").expect("the name of a file");
    let table = ObsTable::from_file(fixtures().join("tables").join(file), text("on"))?;
    let table = table.store_paths(names.iter().map(|name| format!("stores/{name}")));
    Ok(match text("store") {
        Some(column) => table.store_column(column),
        None => table,
    })
}

fn transform(step: &Value) -> Transform {
    let parameter = |name: &str| step[1].get(name);
    let number = |name: &str| parameter(name).and_then(Value::as_f64);
    let numbers = |name: &str| match parameter(name).expect("numbers of genes") {
        Value::Object(genes) => {
            let genes = genes.iter();
            let genes = genes.map(|(gene, number)| (gene, number.as_f64().expect("a number")));
            GeneValues::from_iter(genes)
        }
        list => {
            let list = list.as_array().expect("a list").iter();
            let numbers: Vec<f64> = list.map(|n| n.as_f64().expect("a number")).collect();
            numbers.into()
        }
    };
    match step[0].as_str().expect("a name") {
        "NormalizeTotal" => Transform::NormalizeTotal {
            target: match parameter("target") {
                Some(Value::String(_)) => TargetTotal::Median,
                target => target.and_then(Value::as_f64).unwrap_or(1e4).into(),
            },
            totals: match parameter("obs_key") {
                Some(key) => Totals::ObsKey(key.as_str().expect("a key").to_owned()),
                None if parameter("totals").is_some() => Totals::JointGenes,
                None => Totals::AllGenes,
            },
        },
        "Log1p" => Transform::Log1p {
            base: number("base"),
        },
        "Clip" => Transform::clip(number("min"), number("max")),
        "ScaleGenes" => Transform::scale_genes(numbers("mean"), numbers("std")),
        "DivideGenes" => Transform::divide_genes(numbers("by")),
        other => panic!("unknown step {other}"),
    }
}

enum Refused {
    Join,
    DType,
    Collection(Error),
}

impl Refused {
    /// The Python class that the error is an instance of, and its text.
    fn describe(&self) -> (&'static str, String) {
        match self {
            Refused::Join => ("ValueError", "join".to_owned()),
            Refused::DType => ("TypeError", "dtype".to_owned()),
            Refused::Collection(error) => (class(error), text(error)),
        }
    }
}

/// The text of an error, and lamindb's where it has one of its own: the Python package makes it.
fn text(error: &Error) -> String {
    let lamindbs = match error {
        Error::Open(OpenError::Disjoint { .. }) => {
            "The provided AnnData objects don't have shared variables.\nUse join='outer'."
        }
        Error::Option(error) if error.option() == "encode_labels" => {
            "All elements of `encode_labels` should be in `obs_keys`."
        }
        Error::Option(error) if error.option() == "unknown_label" => {
            "All keys of `unknown_label` should be in `encode_labels` and `obs_keys`."
        }
        error => return chain(error).to_string(),
    };
    lamindbs.to_owned()
}

fn class(error: &Error) -> &'static str {
    match error {
        error if error.is_not_found() => "FileNotFoundError",
        error if error.is_out_of_bounds() => "IndexError",
        _ => "ValueError",
    }
}

fn number(value: NumericValue) -> Value {
    match value {
        NumericValue::Bool(value) => json!(value),
        NumericValue::Signed(value) => json!(value),
        NumericValue::Unsigned(value) => json!(value),
        NumericValue::F32(value) => float(value.into()),
        NumericValue::F64(value) => float(value),
    }
}

fn float(value: f64) -> Value {
    match value {
        _ if value.is_nan() => json!("nan"),
        f64::INFINITY => json!("inf"),
        f64::NEG_INFINITY => json!("-inf"),
        value => json!(value),
    }
}

fn numbers(values: ValuesRef<'_>) -> Vec<Value> {
    (0..values.len()).map(|i| number(values.get(i))).collect()
}

fn tagged(label: Option<&Label>) -> Value {
    match label {
        None => json!({"missing": true}),
        Some(Label::Bool(value)) => json!({ "bool": value }),
        Some(Label::Int(value)) => json!({ "int": i64::try_from(*value).expect("a small number") }),
        Some(Label::Float(value)) => json!({ "float": float(value.value()) }),
        Some(Label::Str(text)) => json!({ "str": &**text }),
    }
}

fn item_value(value: &ItemValue) -> Value {
    match value {
        ItemValue::Row(row) => {
            let data = numbers(row.values().as_slice());
            json!({"dtype": row.dtype().name(), "shape": row.shape(), "data": data})
        }
        ItemValue::Code(code) => json!({ "int": code }),
        ItemValue::Text(text) => json!({ "str": text }),
        ItemValue::Number(dtype, value) => json!({"dtype": dtype.name(), "value": number(*value)}),
        ItemValue::Missing => json!({"missing": true}),
    }
}

fn item(cells: &MappedCollection, index: i64) -> Result<Value, Error> {
    let item = cells.get(index)?;
    let mut keys = vec![json!("_store_idx")];
    keys.extend(item.entries().iter().map(|(key, _)| json!(key)));
    let mut object =
        json!({"keys": keys, "_store_idx": {"dtype": "int64", "value": item.store_idx}});
    for (key, value) in item.entries() {
        object[key] = item_value(value);
    }
    Ok(object)
}

/// Whether two values are equal, taking 2 and 2.0 for the same number.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// What the collection gives for one part of the expected values.
fn found(cells: &MappedCollection, part: &str, expected: &Value) -> Result<Value, Error> {
    let located = || (0..cells.n_obs() as i64).map(|i| cells.locate(i));
    let part_of = |value: &Value, name: &str| value[name].as_str().expect("a key").to_owned();
    Ok(match part {
        "n_obs" => json!(cells.n_obs()),
        "shape" => json!(cells.shape()),
        "original_shapes" => json!(cells.original_shapes()),
        "n_obs_list" => json!(
            cells
                .original_shapes()
                .iter()
                .map(|shape| shape.0)
                .collect::<Vec<_>>()
        ),
        "indices" => json!(
            located()
                .map(|at| at.map(|at| at.row))
                .collect::<Result<Vec<_>, _>>()?
        ),
        "storage_idx" => json!(
            located()
                .map(|at| at.map(|at| at.store))
                .collect::<Result<Vec<_>, _>>()?
        ),
        "join_vars" => json!(cells.join_vars().map(Join::as_str)),
        "var_joint" => json!(
            cells
                .var_joint()
                .map(|names| names.iter().collect::<Vec<_>>())
        ),
        "var_indices" => json!(cells.var_indices()),
        "presence" => {
            let list = expected.as_array().expect("a list").iter().map(|wanted| {
                let key = part_of(wanted, "key");
                let stores = 0..cells.n_stores();
                let presence: Vec<_> = stores.map(|store| cells.presence_of(&key, store)).collect();
                json!({"key": key, "presence": presence})
            });
            list.collect()
        }
        "source_keys" => {
            let keys = expected.as_array().expect("a list").iter();
            let sources = keys.map(|wanted| {
                let key = wanted[0].as_str().expect("a key");
                let stores = 0..cells.n_stores();
                let sources: Vec<_> = stores.map(|store| cells.source_key(store, key)).collect();
                json!([key, sources])
            });
            sources.collect()
        }
        "not_in_table" => json!(cells.not_in_table()),
        "gene_overlaps" => {
            let overlaps = cells.gene_overlaps().iter().map(|overlap| {
                json!({
                    "store": overlap.store,
                    "table": overlap.table,
                    "found": overlap.n_found,
                    "given": overlap.n_given,
                    "genes": overlap.n_vars,
                    "overlap": overlap.fraction(),
                })
            });
            overlaps.collect()
        }
        "encoders" => cells
            .encoders()
            .map(|(key, encoder)| {
                let entries: Vec<_> = encoder
                    .entries()
                    .map(|(label, code)| json!([tagged(Some(label)), code]))
                    .collect();
                json!([key, entries])
            })
            .collect(),
        "items" => (0..cells.n_obs() as i64)
            .map(|i| item(cells, i))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        "tokens" => {
            let list = expected.as_array().expect("a list").iter();
            let list = list.map(|wanted| tokens(cells, &wanted["options"]));
            list.collect::<Result<Vec<_>, Error>>()?.into()
        }
        "weights" => {
            let list = expected.as_array().expect("a list").iter().map(|wanted| {
                or_error(wanted, "keys", || {
                    let weights = cells.label_weights(strings(&wanted["keys"]))?;
                    let scaler = wanted["scaler"].as_f64();
                    let mut object = json!({"keys": wanted["keys"], "scaler": wanted["scaler"]});
                    object["weights"] = json!(weights.weights(scaler));
                    if wanted.get("categories").is_some() {
                        object["categories"] = json!(weights.by_class(scaler));
                    }
                    Ok(object)
                })
            });
            list.collect::<Result<Vec<_>, Error>>()?.into()
        }
        "merged_labels" => {
            let list = expected.as_array().expect("a list").iter().map(|wanted| {
                or_error(wanted, "key", || {
                    let key = part_of(wanted, "key");
                    let labels = cells.merged_labels(&key)?;
                    Ok(json!({"key": key, "labels": labels.iter().map(tagged).collect::<Vec<_>>()}))
                })
            });
            list.collect::<Result<Vec<_>, Error>>()?.into()
        }
        "merged_categories" => {
            let list = expected.as_array().expect("a list").iter().map(|wanted| {
                or_error(wanted, "key", || {
                    let key = part_of(wanted, "key");
                    let categories = cells.merged_categories(&key)?;
                    let labels: Vec<_> = categories
                        .labels()
                        .iter()
                        .map(|label| tagged(Some(label)))
                        .collect();
                    Ok(json!({"key": key, "categories": labels}))
                })
            });
            list.collect::<Result<Vec<_>, Error>>()?.into()
        }
        "check_vars_sorted" => json!([
            cells.check_vars_sorted(true)?,
            cells.check_vars_sorted(false)?
        ]),
        "check_vars_non_aligned" => {
            let list = expected.as_array().expect("a list").iter().map(|wanted| {
                let result = cells.check_vars_non_aligned(strings(&wanted["vars"]))?;
                Ok(json!({"vars": wanted["vars"], "result": result}))
            });
            list.collect::<Result<Vec<_>, Error>>()?.into()
        }
        other => panic!("unknown part {other} of the expected values"),
    })
}

/// The tokens of all rows. Batches of an epoch, which wait packed, have the same.
fn tokens(cells: &MappedCollection, options: &Value) -> Result<Value, Error> {
    let number = |name: &str| options.get(name).and_then(Value::as_u64);
    let value = |name: &str| {
        options
            .get(name)
            .and_then(Value::as_f64)
            .unwrap_or_default()
    };
    let special = |name: &str| {
        options.get(name).map(|value| match value {
            Value::String(name) => SpecialToken::from(name.as_str()),
            id => id.as_i64().expect("an id").into(),
        })
    };
    let mut tokens = Tokens::new(number("length").expect("a length") as usize)
        .seed(number("seed").unwrap_or_default())
        .pad_value(value("pad_value"))
        .cls_value(value("cls_value"));
    if let Some(select) = options.get("select").and_then(Value::as_str) {
        tokens = tokens.select(select.parse().expect("a selection"));
    }
    if let Some(key) = options.get("key").and_then(Value::as_str) {
        tokens = tokens.key(key);
    }
    if let Some(bins) = number("bins") {
        tokens = tokens.bins(bins as u32);
    }
    if let Some(pad) = special("pad") {
        tokens = tokens.pad(pad);
    }
    if let Some(cls) = special("cls") {
        tokens = tokens.cls(cls);
    }
    if let Some(eos) = special("eos") {
        tokens = tokens.eos(eos);
    }
    let indices: Vec<i64> = (0..cells.n_obs() as i64).collect();
    let located = indices.iter().map(|&index| cells.locate(index));
    let located = located.collect::<Result<Vec<_>, _>>()?;
    let format = BatchFormat::new().tokens(tokens);
    let epoch = number("epoch").unwrap_or_default();
    let options_of_loader = LoaderOptions::new(5).shuffle(Shuffle::Exact);
    let loader = cells.loader(options_of_loader.format(format.clone()))?;
    let mut batches = loader.epoch(epoch).collect::<Result<Vec<_>, _>>()?;
    if epoch == 0 {
        batches.push(cells.get_batch_with(&indices, &format)?);
    }
    let [ids, values, lengths] = ["ids", "values", "lengths"].map(|name| {
        let mut rows = vec![Vec::new(); indices.len()];
        for batch in &batches {
            let matrix = batch.matrix(name).expect(name);
            for row in 0..batch.n_obs() {
                let at = located.iter().position(|&at| at == batch.location(row));
                let (at, found) = (
                    at.expect("a row of the collection"),
                    matrix_row(matrix, row),
                );
                assert!(rows[at].is_empty() || rows[at] == found, "{name} of {at}");
                rows[at] = found;
            }
        }
        rows
    });
    Ok(json!({"options": options, "ids": ids, "values": values, "lengths": lengths.concat()}))
}

/// An answer, or the class of the error that was expected in its place.
fn or_error(
    wanted: &Value,
    name: &str,
    answer: impl FnOnce() -> Result<Value, Error>,
) -> Result<Value, Error> {
    match (answer(), wanted.get("error")) {
        (Err(error), Some(_)) => {
            let mut object = json!({ name: wanted[name], "error": {"class": class(&error)} });
            if let Some(scaler) = wanted.get("scaler") {
                object["scaler"] = scaler.clone();
            }
            Ok(object)
        }
        (answer, _) => answer,
    }
}

/// Row `row` of a batch matrix, as an array of numbers.
fn matrix_row(matrix: &Matrix, row: usize) -> Vec<Value> {
    match matrix {
        Matrix::Dense { shape, values } => {
            let width: usize = shape[1..].iter().product();
            numbers(values.as_slice().range(row * width, (row + 1) * width))
        }
        Matrix::Csr {
            shape,
            indptr,
            indices,
            values,
        } => {
            let zero = mapped_collection::Values::zeros(values.dtype(), 1);
            let mut out = vec![number(zero.as_slice().get(0)); shape[1]];
            let mut last = None;
            for at in indptr.get(row)..indptr.get(row + 1) {
                let column = indices.get(at);
                assert!(last.is_none_or(|last| last < column), "columns ascend");
                last = Some(column);
                out[column] = number(values.as_slice().get(at));
            }
            out
        }
    }
}

/// A row of a batch must agree with the item.
fn check_row(
    cells: &MappedCollection,
    batch: &Batch,
    row: usize,
    index: i64,
) -> Result<(), String> {
    let item = cells.get(index).map_err(|error| error.to_string())?;
    for (key, matrix) in &batch.matrices {
        let values = item
            .row(key)
            .ok_or("a matrix that the item lacks")?
            .values();
        if cells.is_uniform() && values.dtype() != matrix.dtype() {
            return Err(format!("{key} of a uniform collection has two types"));
        }
        let expected: Vec<Value> = numbers(values.clone().cast(matrix.dtype()).as_slice());
        if !same(&json!(matrix_row(matrix, row)), &json!(expected)) {
            return Err(format!("{key} of row {index} differs from the item"));
        }
    }
    if cells.is_uniform() && batch.matrices.len() + batch.obs.len() != item.entries().len() {
        return Err("keys of a uniform collection differ".to_owned());
    }
    for (key, column) in &batch.obs {
        let agrees = match (column, item.get(key).unwrap_or(&ItemValue::Missing)) {
            (BatchColumn::Codes(codes), ItemValue::Code(code)) => codes[row] == *code,
            (BatchColumn::Codes(codes), ItemValue::Missing) => codes[row] == -100,
            (BatchColumn::Numbers { values, valid }, ItemValue::Number(_, value)) => {
                valid[row] && same(&number(values.as_slice().get(row)), &number(*value))
                    || matches!((values.as_slice().get(row), value), (NumericValue::Signed(n), NumericValue::Bool(b)) if n == i64::from(*b))
                    || matches!((values.as_slice().get(row), value), (NumericValue::F64(n), NumericValue::Bool(b)) if n == f64::from(*b))
            }
            (BatchColumn::Numbers { valid, .. }, ItemValue::Missing) => !valid[row],
            (BatchColumn::Texts(texts), ItemValue::Text(text)) => texts[row].as_ref() == Some(text),
            (BatchColumn::Texts(texts), ItemValue::Missing) => texts[row].is_none(),
            (BatchColumn::Texts(texts), ItemValue::Number(..)) => texts[row].is_some(),
            _ => false,
        };
        if !agrees {
            return Err(format!("{key} of row {index} differs from the item"));
        }
    }
    Ok(())
}

/// Items and batches of both forms must agree; an error only where stores differ.
fn check_batches(cells: &MappedCollection) -> Result<(), String> {
    // Backwards, and one row twice: order and repeats are part of it.
    let mut indices: Vec<i64> = (0..cells.n_obs() as i64).rev().collect();
    indices.extend(indices.first().copied());
    for output in [MatrixFormat::Dense, MatrixFormat::Csr] {
        let format = BatchFormat::new().output(output);
        let batch = match cells.get_batch_with(&indices, &format) {
            Ok(batch) => batch,
            Err(Error::Read(ReadError::Ragged { .. } | ReadError::SameName { .. }))
                if !cells.is_uniform() =>
            {
                return Ok(());
            }
            // Zeros that move, of transforms.
            Err(Error::Option(error))
                if output == MatrixFormat::Csr && error.option() == "output" =>
            {
                continue;
            }
            Err(error) => return Err(format!("{output:?} batch: {error}")),
        };
        for (row, &index) in indices.iter().enumerate() {
            check_row(cells, &batch, row, index)
                .map_err(|error| format!("{output:?} batch: {error}"))?;
        }
    }
    Ok(())
}

/// Epochs have every row, as its item is.
fn check_epochs(cells: &MappedCollection) -> Result<(), String> {
    if !cells.is_uniform() {
        return Ok(());
    }
    let indices = 0..cells.n_obs() as i64;
    let located = indices.map(|index| (cells.locate(index).expect("it exists"), index));
    let index_of: HashMap<_, _> = located.collect();
    let options = LoaderOptions::new(7).shuffle(Shuffle::Exact);
    let loader = cells
        .loader(options)
        .map_err(|error| format!("loader: {error}"))?;
    for epoch in 0..3 {
        let mut n_rows = 0;
        for batch in loader.epoch(epoch) {
            let batch = batch.map_err(|error| format!("epoch {epoch}: {error}"))?;
            n_rows += batch.n_obs();
            let stores = batch.store_idx.iter().zip(&batch.row_idx);
            for (row, (&store, &of_store)) in stores.enumerate() {
                let location = RowLocation {
                    store: store as usize,
                    row: of_store,
                };
                check_row(cells, &batch, row, index_of[&location])
                    .map_err(|error| format!("epoch {epoch}: {error}"))?;
            }
        }
        if n_rows != cells.n_obs() {
            return Err(format!("epoch {epoch} has {n_rows} rows"));
        }
    }
    Ok(())
}

fn check(case: &Value, reading: &Reading) -> Result<(), String> {
    let expected = &case["expected"];
    let cells = match (
        open(&case["paths"], &case["options"], reading),
        expected.get("error"),
    ) {
        (Ok(cells), None) => cells,
        (Ok(_), Some(error)) => return Err(format!("opened, but {error} was expected")),
        (Err(error), None) => return Err(format!("not opened: {}", error.describe().1)),
        (Err(error), Some(wanted)) => {
            let (class, text) = error.describe();
            if wanted["class"] != class {
                return Err(format!(
                    "{} expected, found {class}: {text}",
                    wanted["class"]
                ));
            }
            let contains = wanted["contains"].as_str().unwrap_or_default();
            return if text.contains(contains) {
                Ok(())
            } else {
                Err(format!(
                    "an error with {contains:?} expected, found {text:?}"
                ))
            };
        }
    };
    for (part, expected) in expected.as_object().expect("a map") {
        let found = found(&cells, part, expected).map_err(|error| format!("{part}: {error}"))?;
        if !same(&found, expected) {
            return Err(format!(
                "{part}:\n   expected {expected}\n   found    {found}"
            ));
        }
    }
    check_batches(&cells)?;
    check_epochs(&cells)
}

/// All cases, by the names of their files.
fn cases() -> Vec<(String, Value)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(fixtures().join("cases"))
        .expect("the cases are committed")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 500, "only {} cases", paths.len());
    let case = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = path.file_stem().expect("a name").to_string_lossy();
        (
            name.into_owned(),
            serde_json::from_str(&text).expect("valid JSON"),
        )
    };
    paths.into_iter().map(case).collect()
}

#[test]
fn golden_cases_agree() {
    let io = IoOptions::new();
    golden(&Reading::of(io)).check("support");
}

/// The second read of a chunk, and every epoch, packs its rows, whether or not it is compressed.
#[test]
fn golden_cases_agree_when_rows_are_packed() {
    let io = IoOptions::new().cache_bytes(0).pack_uncompressed(true);
    golden(&Reading::of(io));
}

/// The same with packs on disk, which the first pass writes and the second finds.
#[test]
fn golden_cases_agree_when_packs_are_on_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CacheOptions::new(folder.path()).size(1 << 30);
    let reading = Reading {
        io: IoOptions::new()
            .cache_bytes(0)
            .pack_bytes(0)
            .pack_uncompressed(true),
        cache: Some(cache.clone()),
        server: None,
    };
    let listed = || {
        golden(&reading);
        let cache = PackCache::open(&cache).expect("a cache");
        assert_eq!(cache.verify(|_, _| {}).expect("readable"), []);
        cache.list().expect("readable")
    };
    let (fresh, filled) = (listed(), listed());
    assert!(fresh.len() > 50, "{}", fresh.len());
    assert_eq!(fresh, filled);
}

/// The stores lie on a server, except those that cannot be read from there.
#[cfg(feature = "remote")]
#[test]
fn golden_cases_agree_when_files_are_on_a_server() {
    let server = crate::server::Server::of(&fixtures().join("stores"));
    let reading = Reading {
        server: Some(server.url("")),
        ..Reading::default()
    };
    golden(&reading);
    let (n_requests, _) = server.take_counts();
    assert!(n_requests > 500, "{n_requests}");
}

fn golden(reading: &Reading) -> Support {
    let (cases, mut support) = (cases(), Support::default());
    let mut failures = Vec::new();
    for (name, case) in &cases {
        if let Err(failure) = check(case, reading) {
            let behaviour = case["behaviour"].as_str().unwrap_or("");
            failures.push(format!("{name} ({behaviour}): {failure}"));
        } else if case["expected"].get("error").is_none() {
            support.add(&strings(&case["paths"]), &case["options"]);
        }
    }
    let (n_failed, n_cases) = (failures.len(), cases.len());
    assert!(
        failures.is_empty(),
        "{n_failed} of {n_cases} cases:\n{}",
        failures.join("\n")
    );
    support
}

/// Where the library's build has the filters.
#[cfg(feature = "libhdf5")]
#[test]
fn golden_cases_agree_through_the_c_library() {
    let (mut failures, mut support) = (Vec::new(), Support::default());
    let mut n_passed = 0;
    for (name, case) in &cases() {
        let mut paths = strings(&case["paths"]);
        paths.retain(|path| path.ends_with(".h5ad"));
        if paths.is_empty() {
            continue;
        }
        let io = IoOptions::new().hdf5(Hdf5Backend::LibHdf5);
        match check(case, &Reading::of(io)) {
            Ok(()) => {
                n_passed += 1;
                if case["expected"].get("error").is_none() {
                    support.add(&paths, &case["options"]);
                }
            }
            Err(failure) if failure.contains("by the C library of this build") => {}
            Err(failure) => failures.push(format!("{name}: {failure}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{}:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(n_passed > 300, "only {n_passed} cases");
    support.check("support of libhdf5");
}
