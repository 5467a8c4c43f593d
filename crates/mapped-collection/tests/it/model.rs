//! The collection against a model so naive that it is plainly right: every store is a list of
//! rows, each a map from variable to value.

use std::collections::{BTreeMap, BTreeSet};

use anndata_io::{Scalar, ValuesRef};
use mapped_collection::{
    BatchColumn, BatchFormat, Error, FilterValue, Join, LabelMatch, MappedCollection, Matrix,
    MatrixFormat, MemoryStore, OpenError, ReadError, Values,
};
use proptest::prelude::*;

const VARS: [&str; 7] = ["10", "9", "B", "_", "a", "e", "é"];
const LABELS: [&str; 4] = ["B cell", "T cell", "nan", "unknown"];

/// One store: variables in order, and for each cell its values and its label.
#[derive(Debug, Clone)]
struct Store {
    vars: Vec<&'static str>,
    rows: Vec<BTreeMap<&'static str, f32>>,
    labels: Option<Vec<Option<&'static str>>>,
    /// Category order in the file, and how the matrix is stored.
    categories: Vec<&'static str>,
    layout: Layout,
}

#[derive(Debug, Clone, Copy)]
enum Layout {
    Dense,
    Csr,
    /// Columns descending, and every element as two that sum up to it.
    CsrScrambled,
}

impl Store {
    fn to_memory(&self) -> MemoryStore {
        let names: Vec<String> = (0..self.rows.len()).map(|i| format!("c{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let shape = [self.rows.len() as u64, self.vars.len() as u64];
        let mut store = MemoryStore::new("store")
            .dataframe("obs", &names)
            .dataframe("var", &self.vars);
        let elements = |row: &BTreeMap<&'static str, f32>| -> Vec<(i32, f32)> {
            let of = |(i, var): (usize, &&'static str)| Some((i as i32, *row.get(*var)?));
            self.vars.iter().enumerate().filter_map(of).collect()
        };
        store = match self.layout {
            Layout::Dense => {
                let mut dense = vec![0f32; self.rows.len() * self.vars.len()];
                for (i, row) in self.rows.iter().enumerate() {
                    for (column, value) in elements(row) {
                        dense[i * self.vars.len() + column as usize] = value;
                    }
                }
                store.array("X", &shape, Values::F32(dense))
            }
            Layout::Csr | Layout::CsrScrambled => {
                let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
                for row in &self.rows {
                    let elements = elements(row);
                    if matches!(self.layout, Layout::Csr) {
                        indices.extend(elements.iter().map(|e| e.0));
                        data.extend(elements.iter().map(|e| e.1));
                    } else {
                        for &(column, value) in elements.iter().rev().chain(&elements) {
                            indices.push(column);
                            data.push(value / 2.0);
                        }
                    }
                    indptr.push(indices.len() as i64);
                }
                store.csr("X", shape, indptr, indices, Values::F32(data))
            }
        };
        if let Some(labels) = &self.labels {
            let code = |label: &Option<&str>| {
                label.map_or(-1, |label| {
                    let at = self
                        .categories
                        .iter()
                        .position(|category| *category == label);
                    at.expect("every label is a category") as i8
                })
            };
            let codes = labels.iter().map(code).collect();
            store = store.categorical("obs/cell_type", codes, &self.categories);
        }
        store
    }

    fn label(&self, row: usize) -> Option<&'static str> {
        self.labels.as_ref().and_then(|labels| labels[row])
    }
}

fn any_store() -> impl Strategy<Value = Store> {
    let vars = prop::sample::subsequence(VARS.to_vec(), 1..=VARS.len()).prop_shuffle();
    let layout = prop_oneof![
        Just(Layout::Dense),
        Just(Layout::Csr),
        Just(Layout::CsrScrambled)
    ];
    (
        vars,
        0..6usize,
        layout,
        Just(LABELS.to_vec()).prop_shuffle(),
    )
        .prop_flat_map(|(vars, n_rows, layout, categories)| {
            let n_vars = vars.len();
            // Even values: halves of them are exact.
            let values =
                prop::collection::vec(prop::option::weighted(0.4, 1..50i32), n_rows * n_vars);
            let label = prop::option::weighted(0.8, prop::sample::select(LABELS.to_vec()));
            let labels = prop::option::weighted(0.8, prop::collection::vec(label, n_rows));
            (values, labels).prop_map(move |(values, labels)| {
                let row = |values: &[Option<i32>]| {
                    let pairs = vars.iter().zip(values);
                    pairs
                        .filter_map(|(var, v)| Some((*var, (*v)? as f32 * 2.0)))
                        .collect()
                };
                let rows = values.chunks_exact(n_vars).map(row).collect();
                Store {
                    vars: vars.clone(),
                    rows,
                    labels,
                    categories: categories.clone(),
                    layout,
                }
            })
        })
}

#[derive(Debug, Clone)]
struct Options {
    join: Option<Join>,
    /// The list of `Join::Given`. A store may have none of it.
    genes: Vec<&'static str>,
    filter: Option<Vec<Option<&'static str>>>,
    unknown: Option<&'static str>,
}

fn any_options() -> impl Strategy<Value = Options> {
    let join = prop_oneof![
        Just(Some(Join::Inner)),
        Just(Some(Join::Outer)),
        Just(Some(Join::Given)),
        Just(None)
    ];
    let genes = prop::sample::subsequence(VARS.to_vec(), 1..=VARS.len()).prop_shuffle();
    let allowed = prop::option::of(prop::sample::select(LABELS.to_vec()));
    let filter = prop::option::weighted(0.4, prop::collection::vec(allowed, 0..3));
    let unknown = prop::option::of(prop::sample::select(LABELS.to_vec()));
    (join, genes, filter, unknown).prop_map(|(join, genes, filter, unknown)| Options {
        join,
        genes,
        filter,
        unknown,
    })
}

/// What the collection should be.
struct Model {
    joint: Option<Vec<&'static str>>,
    /// Store, row in it.
    rows: Vec<(usize, usize)>,
    classes: Vec<&'static str>,
}

impl Model {
    /// `None` when the join is empty, which is an error.
    fn new(stores: &[Store], options: &Options) -> Option<Model> {
        let equal = stores.iter().all(|store| store.vars == stores[0].vars);
        let joint = match options.join {
            None => None,
            Some(Join::Given) => {
                let has_some = |store: &Store| {
                    let mut genes = options.genes.iter();
                    genes.any(|gene| store.vars.contains(gene))
                };
                if !stores.iter().all(has_some) {
                    return None;
                }
                Some(options.genes.clone())
            }
            Some(_) if equal => Some(stores[0].vars.clone()),
            Some(Join::Inner) => {
                let shared = |var: &&&str| stores.iter().all(|store| store.vars.contains(var));
                let vars: Vec<_> = stores[0].vars.iter().filter(shared).copied().collect();
                if vars.is_empty() {
                    return None;
                }
                Some(vars)
            }
            Some(Join::Outer) => {
                let all: BTreeSet<_> = stores
                    .iter()
                    .flat_map(|store| &store.vars)
                    .copied()
                    .collect();
                Some(all.into_iter().collect())
            }
        };
        let passes = |store: &Store, row: usize| match &options.filter {
            None => true,
            Some(allowed) => allowed.contains(&store.label(row)),
        };
        let rows = stores.iter().enumerate().flat_map(|(number, store)| {
            (0..store.rows.len())
                .filter(move |&row| passes(store, row))
                .map(move |row| (number, row))
        });
        let labelled = stores.iter().filter(|store| store.labels.is_some());
        let all: BTreeSet<_> = labelled
            .flat_map(|store| &store.categories)
            .copied()
            .collect();
        let classes = all
            .into_iter()
            .filter(|label| Some(*label) != options.unknown)
            .collect();
        Some(Model {
            joint,
            rows: rows.collect(),
            classes,
        })
    }

    fn values(&self, stores: &[Store], row: usize) -> Vec<f32> {
        let (store, row) = self.rows[row];
        let vars = self.joint.as_ref().unwrap_or(&stores[store].vars);
        vars.iter()
            .map(|var| stores[store].rows[row].get(var).copied().unwrap_or(0.0))
            .collect()
    }

    /// `None` for a missing label.
    fn code(&self, stores: &[Store], row: usize) -> Option<i64> {
        let (store, row) = self.rows[row];
        let label = stores[store].label(row)?;
        Some(
            self.classes
                .iter()
                .position(|class| *class == label)
                .map_or(-1, |at| at as i64),
        )
    }
}

fn open(stores: &[Store], options: &Options) -> Result<MappedCollection, Error> {
    let mut builder = MappedCollection::builder(stores.iter().map(Store::to_memory))
        .obs(["cell_type"])
        .join(options.join);
    if options.join == Some(Join::Given) {
        builder = builder.genes(options.genes.clone());
    }
    if let Some(unknown) = options.unknown {
        builder = builder.unknown_label_for_all(unknown);
    }
    if let Some(allowed) = &options.filter {
        let values = allowed.iter().map(|label| match label {
            None => FilterValue::Missing,
            Some(label) => FilterValue::Label(LabelMatch::from(*label)),
        });
        builder = builder.filter("cell_type", values);
    }
    builder.open()
}

fn f32s(values: ValuesRef<'_>) -> Vec<f32> {
    <f32 as Scalar>::from_slice(values)
        .expect("float32 stores give float32")
        .to_vec()
}

fn dense_rows(matrix: &Matrix) -> Vec<Vec<f32>> {
    match matrix {
        Matrix::Dense { shape, values } => f32s(values.as_slice())
            .chunks(shape[1].max(1))
            .map(<[f32]>::to_vec)
            .collect(),
        Matrix::Csr {
            shape,
            indptr,
            indices,
            values,
        } => {
            let values = f32s(values.as_slice());
            let row = |i: usize| {
                let mut out = vec![0.0; shape[1]];
                (indptr.get(i)..indptr.get(i + 1)).for_each(|at| out[indices.get(at)] = values[at]);
                out
            };
            (0..shape[0]).map(row).collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..Default::default() })]

    #[test]
    fn collection_agrees_with_the_model(
        stores in prop::collection::vec(any_store(), 1..4),
        options in any_options(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let Some(model) = Model::new(&stores, &options) else {
            let error = open(&stores, &options).expect_err("no shared variables");
            let Error::Open(error) = error else { panic!("{error}") };
            let expected = match options.join {
                Some(Join::Given) => matches!(error, OpenError::NoOverlap(_)),
                _ => matches!(error, OpenError::Disjoint { .. }),
            };
            prop_assert!(expected, "{error}");
            return Ok(());
        };
        let cells = open(&stores, &options).expect("the stores fit together");
        prop_assert_eq!(cells.shape(), (model.rows.len(), model.joint.as_ref().map(Vec::len)));
        if let (Some(found), Some(expected)) = (cells.var_joint(), &model.joint) {
            prop_assert!(found.iter().eq(expected.iter().copied()));
        }
        for (row, &(store, in_file)) in model.rows.iter().enumerate() {
            let item = cells.get(row as i64).expect("within bounds");
            prop_assert_eq!((item.store_idx, item.row_idx as usize), (store, in_file));
            let values = item.row("X").expect("every store has X").values();
            prop_assert_eq!(f32s(values.as_slice()), model.values(&stores, row));
            prop_assert_eq!(item.code("cell_type"), model.code(&stores, row));
        }
        // Weights: one over the count of the row's text; a missing label is the text "nan".
        if stores.iter().any(|store| store.labels.is_some()) {
            let text = |&(store, row): &(usize, usize)| stores[store].label(row).unwrap_or("nan");
            let expected: Vec<f64> = model.rows.iter().map(|at| {
                1.0 / model.rows.iter().filter(|other| text(other) == text(at)).count() as f64
            }).collect();
            let weights = cells.label_weights(["cell_type"]).expect("a store has the column");
            prop_assert_eq!(weights.weights(None), expected);
        }
        if model.rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<usize> = picks.iter().map(|pick| pick.index(model.rows.len())).collect();
        let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let widths: BTreeSet<usize> = rows.iter().map(|&row| model.values(&stores, row).len()).collect();
        for output in [MatrixFormat::Dense, MatrixFormat::Csr] {
            let format = BatchFormat::new().output(output).missing_code(-7);
            let batch = cells.get_batch_with(&indices, &format);
            if widths.len() > 1 {
                let ragged = matches!(batch, Err(Error::Read(ReadError::Ragged { .. })));
                prop_assert!(ragged, "rows of several widths");
                continue;
            }
            let batch = batch.expect("equal widths");
            let expected: Vec<_> = rows.iter().map(|&row| model.values(&stores, row)).collect();
            if !rows.is_empty() {
                prop_assert_eq!(dense_rows(batch.matrix("X").expect("every store has X")), expected);
            }
            let codes: Vec<_> = rows.iter().map(|&row| model.code(&stores, row).unwrap_or(-7)).collect();
            match batch.column("cell_type") {
                Some(BatchColumn::Codes(found)) => prop_assert_eq!(found, &codes),
                other => prop_assert!(other.is_none() && stores.iter().all(|s| s.labels.is_none())),
            }
        }
    }
}
