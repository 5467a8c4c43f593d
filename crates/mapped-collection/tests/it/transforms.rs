//! Transforms of rows against their formulas, over all layouts of matrices and ways to read them.

use std::collections::HashMap;
use std::num::NonZeroU64;

use mapped_collection::{
    BatchFormat, CacheOptions, DType, Depth, Error, Join, LoaderOptions, MappedCollection,
    MatrixFormat, MemoryStore, Shuffle, TargetTotal, Totals, Transform, Values,
};
use proptest::prelude::*;

const GENES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The rows of a store, and how they are stored.
#[derive(Debug, Clone)]
struct Store {
    /// The genes of its columns, by their numbers.
    genes: Vec<usize>,
    counts: Vec<Vec<u8>>,
    dtype: DType,
    layout: Layout,
}

#[derive(Debug, Clone)]
enum Layout {
    Csr,
    /// The rows and columns of a chunk.
    Dense([u64; 2]),
}

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix}{i}")).collect()
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

impl Store {
    fn to_memory(&self, name: &str) -> MemoryStore {
        let shape = [self.counts.len() as u64, self.genes.len() as u64];
        let genes: Vec<&str> = self.genes.iter().map(|&gene| GENES[gene]).collect();
        let store = MemoryStore::new(name)
            .dataframe("obs", &texts(&names("c", self.counts.len())))
            .dataframe("var", &genes);
        let values = |counts: Vec<u8>| Values::U8(counts).cast(self.dtype);
        match self.layout {
            Layout::Dense(chunk) => {
                let chunk = chunk.map(|extent| NonZeroU64::new(extent).expect("not 0"));
                let store = store.array("X", &shape, values(self.counts.concat()));
                store.chunks("X", &chunk)
            }
            Layout::Csr => {
                let (mut starts, mut columns, mut stored) = (vec![0], Vec::new(), Vec::new());
                for row in &self.counts {
                    for (column, &count) in (0..).zip(row) {
                        if count > 0 {
                            columns.push(column);
                            stored.push(count);
                        }
                    }
                    starts.push(columns.len() as i64);
                }
                store.csr("X", shape, starts, columns, values(stored))
            }
        }
    }

    /// A row in joint columns; `None` where the store lacks a gene.
    fn joint(&self, row: usize, joint: &[usize]) -> Vec<Option<f64>> {
        let of = |gene: &usize| {
            let column = self.genes.iter().position(|own| own == gene)?;
            Some(f64::from(self.counts[row][column]))
        };
        joint.iter().map(of).collect()
    }

    fn total(&self, row: usize) -> f64 {
        self.counts[row].iter().map(|&count| f64::from(count)).sum()
    }
}

fn stores() -> impl Strategy<Value = [Store; 2]> {
    let dtypes = [DType::U8, DType::F32, DType::F64, DType::I64, DType::I16];
    let store = || {
        let genes = prop::sample::subsequence((1..GENES.len()).collect::<Vec<_>>(), 0..5);
        let layout = prop_oneof![
            Just(Layout::Csr),
            (1..5u64, 1..7u64).prop_map(|(rows, columns)| Layout::Dense([rows, columns])),
        ];
        let dtype = prop::sample::select(dtypes.to_vec());
        (genes, 1..9usize, dtype, layout).prop_flat_map(|(mut genes, n_rows, dtype, layout)| {
            genes.push(0); // which both have
            let count = prop_oneof![3 => Just(0u8), 3 => 1..4u8, 1 => any::<u8>()];
            let row = prop::collection::vec(count, genes.len());
            prop::collection::vec(row, n_rows).prop_map(move |counts| Store {
                genes: genes.clone(),
                counts,
                dtype,
                layout: layout.clone(),
            })
        })
    };
    [store(), store()]
}

/// A step by its formula. `total` is that of the row in its file.
fn apply(step: &Transform, row: &mut [Option<f64>], total: f64, median: f64) {
    let joint: f64 = row.iter().flatten().sum();
    let numbers = |n: usize| (0..n).map(|i| 0.5 + i as f64);
    let of_gene: Vec<f64> = numbers(row.len()).collect();
    for (value, number) in row.iter_mut().zip(of_gene) {
        let Some(value) = value else { continue };
        *value = match step {
            Transform::NormalizeTotal { target, totals } => {
                let total = if *totals == Totals::JointGenes {
                    joint
                } else {
                    total
                };
                let target = match target {
                    TargetTotal::Sum(sum) => *sum,
                    _ => median,
                };
                if total == 0.0 {
                    *value
                } else {
                    *value * (target / total)
                }
            }
            Transform::Log1p { base: None } => value.ln_1p(),
            Transform::Log1p { base: Some(base) } => value.ln_1p() / base.ln(),
            Transform::Clip { min, max } => {
                value.clamp(min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX))
            }
            Transform::ScaleGenes { .. } => (*value - number) / number,
            Transform::DivideGenes { .. } => *value / number,
            other => panic!("no formula for {other:?}"),
        };
    }
}

fn pipelines(n_genes: usize) -> Vec<Vec<Transform>> {
    let numbers = || (0..n_genes).map(|i| 0.5 + i as f64).collect::<Vec<_>>();
    let (all, joint) = (Totals::AllGenes, Totals::JointGenes);
    let normalize = |target: TargetTotal, totals: &Totals| Transform::NormalizeTotal {
        target,
        totals: totals.clone(),
    };
    let sum = TargetTotal::Sum;
    vec![
        vec![normalize(sum(1e4), &all), Transform::log1p()],
        vec![
            normalize(sum(10.0), &joint),
            Transform::Log1p { base: Some(2.0) },
        ],
        vec![
            normalize(TargetTotal::Median, &all),
            Transform::clip(None, 2.5),
        ],
        vec![normalize(TargetTotal::Median, &joint)],
        vec![Transform::log1p(), Transform::divide_genes(numbers())],
        vec![Transform::clip(1.0, 3.0), Transform::log1p()],
        vec![
            normalize(sum(1e4), &all),
            Transform::log1p(),
            Transform::scale_genes(numbers(), numbers()),
            Transform::clip(-1.0, None),
        ],
        vec![
            Transform::divide_genes(numbers()),
            normalize(sum(7.0), &joint),
        ],
    ]
}

/// The rows of batches by their places, each as its values.
type Rows = HashMap<(u32, u32), Vec<f32>>;

fn rows_of(batches: impl Iterator<Item = Result<mapped_collection::Batch, Error>>) -> Rows {
    let mut rows = Rows::new();
    for batch in batches {
        let batch = batch.expect("readable");
        let matrix = batch.x().expect("X is read");
        let width = matrix.shape()[1];
        let Values::F32(values) = matrix.to_dense() else {
            panic!("transformed values are float32")
        };
        for (at, row) in (0..).zip(values.chunks_exact(width)) {
            let place = batch.location(at);
            rows.insert((place.store as u32, place.row), row.to_vec());
        }
    }
    rows
}

/// Within one unit in the last place.
fn is_close(a: f32, b: f64) -> bool {
    let expected = b as f32;
    a == expected || a.to_bits().abs_diff(expected.to_bits()) <= 1
}

proptest! {
    #[test]
    fn transformed_rows_are_those_of_the_formulas(
        stores in stores(), join in prop::sample::select(vec![Join::Inner, Join::Outer]), which in 0..8usize,
    ) {
        let builder = || {
            let memory = [stores[0].to_memory("a"), stores[1].to_memory("b")];
            MappedCollection::builder(memory).join(join)
        };
        let plain = builder().open().expect("both have gene a");
        let names = plain.var_joint().expect("joined").clone();
        let joint: Vec<usize> = names
            .iter()
            .map(|name| GENES.iter().position(|gene| *gene == name).expect("known"))
            .collect();
        let steps = pipelines(joint.len()).swap_remove(which);
        let totals = |joint_only: bool| {
            let rows = stores.iter().flat_map(|store| (0..store.counts.len()).map(move |row| (store, row)));
            let total = |(store, row): (&Store, usize)| match joint_only {
                true => store.joint(row, &joint).iter().flatten().sum(),
                false => store.total(row),
            };
            let mut totals: Vec<f64> = rows.map(total).filter(|total| *total != 0.0).collect();
            totals.sort_by(f64::total_cmp);
            totals
        };
        let is_joint = matches!(&steps[0], Transform::NormalizeTotal { totals, .. } if *totals == Totals::JointGenes);
        let sorted = totals(is_joint);
        let median = match sorted.len() {
            0 => 1.0,
            n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
        };
        let cells = builder().transforms("X", steps.clone()).open().expect("valid");
        let mut expected = HashMap::new();
        for (number, store) in (0..).zip(&stores) {
            for row in 0..store.counts.len() {
                let mut values = store.joint(row, &joint);
                for step in &steps {
                    apply(step, &mut values, store.total(row), median);
                }
                expected.insert((number, row as u32), values);
            }
        }
        let check = |what: &str, rows: &Rows| {
            assert_eq!(rows.len(), expected.len());
            for (place, found) in rows {
                for (found, expected) in found.iter().zip(&expected[place]) {
                    let expected = expected.unwrap_or(0.0);
                    assert!(is_close(*found, expected), "{what} {place:?}: {found} is not {expected}");
                }
            }
        };
        let indices: Vec<i64> = (0..cells.n_obs() as i64).rev().collect();
        check("batch", &rows_of(std::iter::once(cells.get_batch(&indices))));
        let items = rows_of(std::iter::once(cells.get_batch(&indices)));
        for &index in &indices {
            let (item, place) = (cells.get(index).expect("readable"), cells.locate(index).expect("there"));
            let Values::F32(values) = item.row("X").expect("X is read").values() else {
                panic!("transformed values are float32")
            };
            assert_eq!(values, &items[&(place.store as u32, place.row)], "item {index}");
        }
        for output in [MatrixFormat::Dense, MatrixFormat::Csr] {
            for shuffle in [Shuffle::None, Shuffle::Exact] {
                let options = LoaderOptions::new(3).shuffle(shuffle).output(output);
                let loader = match cells.loader(options) {
                    Ok(loader) => loader,
                    Err(Error::Option(error)) if error.option() == "output" => {
                        assert!(output == MatrixFormat::Csr && (which == 5 || which == 6));
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                for epoch in 0..2 {
                    let rows = rows_of(loader.epoch(epoch));
                    check("epoch", &rows);
                    assert!(rows == items, "the same bits");
                }
            }
        }
    }
}

/// 400 cells of 60 genes, with counts of which many are large; in chunks of 7 columns, or CSR.
fn counts(is_dense: bool) -> MemoryStore {
    let (n_rows, width) = (400, 60);
    let count = |i: usize| ((i * 7919) % 13) as i64 * i64::from(i.is_multiple_of(3)) * 5;
    let (cells, genes) = (names("c", n_rows), names("g", width));
    let store = MemoryStore::new("counts")
        .dataframe("obs", &texts(&cells))
        .dataframe("var", &texts(&genes))
        .categorical(
            "obs/k",
            (0..n_rows).map(|i| (i % 2) as i8).collect(),
            &["x", "y"],
        );
    let shape = [n_rows as u64, width as u64];
    if is_dense {
        let chunk = [50, 7].map(|extent| NonZeroU64::new(extent).expect("not 0"));
        let values = (0..n_rows * width).map(count).collect();
        return store
            .array("X", &shape, Values::I64(values))
            .chunks("X", &chunk);
    }
    let (mut starts, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in 0..n_rows {
        for column in 0..width {
            if count(row * width + column) > 0 {
                columns.push(column as i32);
                values.push(count(row * width + column) as f32);
            }
        }
        starts.push(columns.len() as i64);
    }
    store.csr("X", shape, starts, columns, Values::F32(values))
}

fn downsampled(store: MemoryStore, depth: Depth, more: &[Transform]) -> MappedCollection {
    let mut steps = vec![Transform::downsample(depth)];
    steps.extend(more.iter().cloned());
    let builder = MappedCollection::builder([store]).transforms("X", steps);
    builder.open().expect("valid")
}

#[test]
fn downsampled_rows_are_the_same_however_they_are_read() {
    let more = [Transform::normalize_total(1e4), Transform::log1p()];
    let cells = downsampled(counts(false), Depth::To(200.0), &more);
    let indices: Vec<i64> = (0..400).collect();
    let by_index = rows_of(std::iter::once(cells.get_batch(&indices)));
    let dense = downsampled(counts(true), Depth::To(200.0), &more);
    assert!(rows_of(std::iter::once(dense.get_batch(&indices))) == by_index);
    let filtered = MappedCollection::builder([counts(false)])
        .filter("k", ["y"])
        .transforms(
            "X",
            [
                Transform::downsample(Depth::To(200.0)),
                more[0].clone(),
                more[1].clone(),
            ],
        )
        .open()
        .expect("valid");
    let kept = rows_of(
        filtered
            .loader(LoaderOptions::new(30))
            .expect("valid")
            .epoch(0),
    );
    assert!(kept.len() == 200 && kept.iter().all(|(place, row)| by_index[place] == *row));
    let options = LoaderOptions::new(30).shuffle(Shuffle::Exact).seed(5);
    let epoch_1 = rows_of(cells.loader(options.clone()).expect("valid").epoch(1));
    assert_ne!(epoch_1, by_index);
    for workers in [1, 3] {
        for output in [MatrixFormat::Dense, MatrixFormat::Csr] {
            for cells in [&cells, &dense] {
                let loader = cells.loader(options.clone().workers(workers).output(output));
                let loader = loader.expect("valid");
                assert!(
                    rows_of(loader.epoch(0)) == by_index,
                    "epoch 0 is that of rows by index"
                );
                assert!(rows_of(loader.epoch(1)) == epoch_1);
                let mut ranks = Rows::new();
                for rank in 0..2 {
                    let loader = loader.with(|options| options.rank(rank, 2)).expect("valid");
                    ranks.extend(rows_of(loader.epoch(1)));
                }
                assert!(ranks == epoch_1);
                let mut epoch = loader.epoch(1);
                epoch.next().expect("a batch").expect("readable");
                let state = epoch.state().expect("readable");
                let rest = rows_of(loader.resume(&state).expect("its own"));
                assert!(
                    rest.len() == 370 && rest.iter().all(|(place, row)| epoch_1[place] == *row)
                );
            }
        }
    }
}

#[test]
fn downsampled_rows_have_the_depth() {
    let total = |rows: &Rows| {
        rows.values()
            .flatten()
            .map(|&value| f64::from(value))
            .sum::<f64>()
    };
    let whole = MappedCollection::builder([counts(false)])
        .open()
        .expect("valid");
    let indices: Vec<i64> = (0..400).collect();
    let whole = rows_of(std::iter::once(whole.get_batch(&indices)));
    let half = downsampled(counts(true), Depth::Fraction(0.5), &[]);
    let half = rows_of(std::iter::once(half.get_batch(&indices)));
    // A tenth of a percent is five standard deviations.
    assert!(
        (total(&half) / total(&whole) - 0.5).abs() < 0.01,
        "{}",
        total(&half)
    );
    for (place, row) in &half {
        let of_whole = row.iter().zip(&whole[place]);
        assert!(
            of_whole
                .clone()
                .all(|(drawn, count)| drawn <= count && drawn.fract() == 0.0)
        );
    }
    let deep = downsampled(counts(false), Depth::To(1e6), &[]);
    assert!(rows_of(std::iter::once(deep.get_batch(&indices))) == whole);
    let to = downsampled(counts(false), Depth::To(200.0), &[]);
    let to = rows_of(std::iter::once(to.get_batch(&indices)));
    let depths: Vec<f32> = to.values().map(|row| row.iter().sum()).collect();
    let mean = depths.iter().sum::<f32>() / 400.0;
    assert!((mean - 200.0).abs() < 4.0, "{mean}");
}

#[test]
fn rows_that_cannot_be_transformed_are_named() {
    let store = |values: Vec<f32>| {
        MemoryStore::new("a")
            .dataframe("obs", &["c0", "c1"])
            .dataframe("var", &["g0", "g1"])
            .array("X", &[2, 2], Values::F32(values))
            .array("obs/depth", &[2], Values::F64(vec![0.0, f64::NAN]))
    };
    let by_obs = Transform::NormalizeTotal {
        target: 1.0.into(),
        totals: Totals::ObsKey("depth".to_owned()),
    };
    let refused = |values: Vec<f32>, step: Transform| {
        let cells = MappedCollection::builder([store(values)]).transforms("X", [step]);
        let cells = cells.open().expect("valid");
        let by_item = cells.get(1).expect_err("a bad row");
        let by_batch = cells.get_batch(&[0, 1]).expect_err("a bad row");
        let by_loader = cells
            .loader(LoaderOptions::new(2))
            .expect("valid")
            .epoch(0)
            .next();
        let by_loader = by_loader.expect("a batch").expect_err("a bad row");
        let texts =
            [by_item, by_batch, by_loader].map(|error| anndata_io::chain(&error).to_string());
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        texts[0].clone()
    };
    let row = "row 1 of store 0 cannot be read: a: X: expected";
    let total = "a row whose total is finite and not negative, for NormalizeTotal, found the total";
    let normalize = || Transform::normalize_total(1e4);
    assert_eq!(
        refused(vec![1.0, 2.0, 1.0, -2.0], normalize()),
        format!("{row} {total} -1")
    );
    assert_eq!(
        refused(vec![1.0, 2.0, 1.0, f32::NAN], normalize()),
        format!("{row} {total} NaN")
    );
    assert_eq!(
        refused(vec![1.0, 2.0, -1.0, 3.0], Transform::log1p()),
        format!("{row} values above -1, for Log1p, found -1")
    );
    assert_eq!(
        refused(
            vec![1.0, 2.0, 1.5, 3.0],
            Transform::downsample(Depth::Fraction(0.5))
        ),
        format!("{row} counts (whole numbers that are not negative), found 1.5")
    );
    assert_eq!(
        refused(vec![0.0, 0.0, 1.0, 0.0], by_obs),
        format!(
            "{row} a total in obs for every row that is not empty, for NormalizeTotal, found 0, or a missing value"
        )
    );
    let median = Transform::normalize_total(TargetTotal::Median);
    let cells =
        MappedCollection::builder([store(vec![1.0, 2.0, -1.0, 0.5])]).transforms("X", [median]);
    let error = cells
        .open()
        .expect("valid")
        .prepare(|_| {})
        .expect_err("a bad row");
    assert_eq!(
        anndata_io::chain(&error).to_string(),
        format!("{row} {total} -0.5")
    );
}

#[test]
fn formats_that_cannot_hold_the_results_are_refused() {
    let moving = MappedCollection::builder([counts(false)])
        .transforms("X", [Transform::clip(1.0, None)])
        .open()
        .expect("valid");
    let csr = BatchFormat::new().output(MatrixFormat::Csr);
    let error = moving.get_batch_with(&[0], &csr).expect_err("zeros change");
    assert_eq!(
        error.to_string(),
        "output: expected dense, because the transforms of \"X\" change zeros, found csr"
    );
    let loader = moving.loader(LoaderOptions::new(2).output(MatrixFormat::Csr));
    assert_eq!(
        loader.expect_err("zeros change").to_string(),
        error.to_string()
    );
    let integers = moving.get_batch_with(&[0], &BatchFormat::new().dtype(DType::I32));
    assert_eq!(
        integers.expect_err("fractions").to_string(),
        "dtype: expected a type of floats, because \"X\" is transformed, found int32"
    );
    let draws = downsampled(counts(false), Depth::Fraction(0.5), &[]);
    let batch = draws.get_batch_with(&[3], &BatchFormat::new().dtype(DType::I32));
    assert_eq!(
        batch.expect("whole numbers").x().expect("X").dtype(),
        DType::I32
    );
}

#[test]
fn totals_for_a_median_are_kept_in_the_cache() {
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
    let paths = ["a.h5ad", "b.h5ad", "c.zarr"].map(|name| demo.join(name));
    let folder = tempfile::tempdir().expect("a folder");
    let open = |filter: Option<&str>| {
        let mut builder = MappedCollection::builder(paths.clone())
            .cache(CacheOptions::new(folder.path()))
            .transforms("X", [Transform::normalize_total(TargetTotal::Median)]);
        if let Some(label) = filter {
            builder = builder.filter("donor", [label]);
        }
        builder.open().expect("valid")
    };
    let first = open(None);
    assert_eq!(first.median_total("X"), None);
    let mut parts = Vec::new();
    first.prepare(|part| parts.push(part)).expect("readable");
    assert!(parts.is_sorted() && parts.last() == Some(&1.0), "{parts:?}");
    let median = first.median_total("X");
    assert!(median.is_some_and(|median| median > 0.0));
    assert_eq!(
        first.fork().expect("the same files").median_total("X"),
        median
    );
    let row = first.get(7).expect("readable");
    drop(first);
    let later = open(None);
    let opening = later.io().decoded_chunks();
    later.prepare(|_| {}).expect("readable");
    assert_eq!(later.median_total("X"), median);
    assert_eq!(
        later.io().decoded_chunks(),
        opening,
        "the totals are in the cache"
    );
    assert!(later.get(7).expect("readable") == row);
    // Another filter has another median, of the same totals.
    let some = open(Some("donor1"));
    let opening = some.io().decoded_chunks();
    some.prepare(|_| {}).expect("readable");
    assert_ne!(some.median_total("X"), median);
    assert_eq!(some.io().decoded_chunks(), opening);
    // Without preparation, the first read finds it.
    let unprepared = open(None);
    assert!(unprepared.get(7).expect("readable") == row);
    assert_eq!(unprepared.median_total("X"), median);
}

#[test]
fn bad_row_of_a_wide_band_leaves_other_batches_whole() {
    // A band of chunks of 24 MB, which threads would divide.
    let (n_rows, width, bad) = (300, 20_000, 17);
    let value = |i: usize| match i == bad * width + 5 {
        true => -3.0,
        false => (i % 7) as f32,
    };
    let (cells, genes) = (names("c", n_rows), names("g", width));
    let chunk = [300, 500].map(|extent| NonZeroU64::new(extent).expect("not 0"));
    let values = (0..n_rows * width).map(value).collect();
    let store = MemoryStore::new("wide")
        .dataframe("obs", &texts(&cells))
        .dataframe("var", &texts(&genes))
        .array("X", &[n_rows as u64, width as u64], Values::F32(values))
        .chunks("X", &chunk);
    let cells = MappedCollection::builder([store]).transforms("X", [Transform::log1p()]);
    let cells = cells.open().expect("valid");
    let options = LoaderOptions::new(30).shuffle(Shuffle::Exact).workers(3);
    let (mut n_good, mut n_bad) = (0, 0);
    for batch in cells.loader(options).expect("valid").epoch(0) {
        let Ok(batch) = batch else {
            n_bad += 1;
            continue;
        };
        let x = batch.x().expect("X is read").dense::<f32>();
        for (row, &at) in x.expect("float32").chunks_exact(width).zip(&batch.row_idx) {
            let first = at as usize * width;
            let expected = (first..).map(|i| value(i).ln_1p());
            assert!(
                row.iter()
                    .zip(expected)
                    .all(|(&a, b)| is_close(a, b.into())),
                "row {at}"
            );
            n_good += 1;
        }
    }
    assert_eq!((n_good, n_bad), (270, 1));
}
