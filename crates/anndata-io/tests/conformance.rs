//! One suite over every backend: the same AnnData object reads the same from any store.
//!
//! The stores are `base_a_*` of the fixtures, written by Python anndata; the values below are
//! the ones that its generator defines.

use std::path::Path;

use anndata_io::{
    AnnDataFile, AnnDataSource, Column, ColumnValues, DType, ErrorKind, IoContext, LayerKey,
    MatrixSource, MemoryStore, ReadScratch, RowSink, Values, ValuesRef,
};

/// Gathers rows as float64.
struct Rows {
    width: usize,
    values: Vec<f64>,
    seen: Vec<usize>,
}

impl RowSink for Rows {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        let at = row * self.width + start;
        self.seen[row] += values.len();
        values.write_to(&mut self.values[at..at + values.len()]);
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        assert!(
            columns.windows(2).all(|pair| pair[0] < pair[1]),
            "columns ascend"
        );
        self.seen[row] += self.width;
        for (&column, value) in columns.iter().zip(values.to_vec::<f64>()) {
            self.values[row * self.width + column as usize] = value;
        }
    }
}

fn read(matrix: &MatrixSource, rows: &[u64]) -> Vec<f64> {
    let width = matrix.row_len();
    let mut out = Rows {
        width,
        values: vec![0.0; rows.len() * width],
        seen: vec![0; rows.len()],
    };
    matrix
        .read_rows(rows, &mut ReadScratch::default(), &mut out)
        .expect("readable");
    assert!(
        out.seen.iter().all(|&seen| seen == width),
        "every row is covered once"
    );
    out.values
}

fn labels(column: &Column) -> Vec<Option<String>> {
    let labels = column.read_labels().expect("readable");
    let text = |code: u32| match &labels.categories {
        ColumnValues::Texts(texts) => texts
            .get(code as usize)
            .expect("codes are checked")
            .to_owned(),
        ColumnValues::Numbers(numbers) => {
            numbers.as_slice().to_vec::<f64>()[code as usize].to_string()
        }
    };
    (0..labels.codes.len())
        .map(|row| labels.codes.get(row).map(text))
        .collect()
}

/// `X[i][j]`: columns 1 and 3 are zero, the others increase by a half or one.
fn x(row: usize) -> [f64; 5] {
    let first = row as f64 * 2.5;
    [first + 0.5, 0.0, first + 1.5, 0.0, first + 2.5]
}

fn memory() -> MemoryStore {
    let data: Vec<f32> = (0..6)
        .flat_map(|row| x(row).into_iter().step_by(2))
        .map(|value| value as f32)
        .collect();
    let counts: Vec<i32> = (0..6)
        .flat_map(x)
        .map(|value| {
            if value == 0.0 {
                0
            } else {
                (value * 4.0) as i32
            }
        })
        .collect();
    let pca: Vec<f32> = (0..6)
        .flat_map(|row| [row as f32 + 0.5, row as f32 + 1.0])
        .collect();
    MemoryStore::new("memory")
        .dataframe("obs", &["a0", "a1", "a2", "a3", "a4", "a5"])
        .categorical(
            "obs/cell_type",
            vec![2, 0, 2, 3, 0, 2],
            &["B", "NK", "T", "unknown"],
        )
        .texts("obs/donor", &["d1", "d2", "d1", "d3", "d2", "d1"])
        .array(
            "obs/score",
            &[6],
            Values::F64(vec![0.5, f64::NAN, 1.25, 2.0, -3.5, 0.5]),
        )
        .dataframe("var", &["MYC", "TCF7", "GATA1", "CD4", "CD8A"])
        .csr(
            "X",
            [6, 5],
            (0..7).map(|i| i * 3).collect(),
            [0, 2, 4].repeat(6),
            Values::F32(data),
        )
        .array("layers/counts", &[6, 5], Values::I32(counts))
        .array("obsm/X_pca", &[6, 2], Values::F32(pca))
}

fn check(source: AnnDataSource) {
    let context = IoContext::default();
    let file = source.open(&context).expect("it is AnnData");
    assert_eq!((file.n_obs(), file.n_vars()), (6, 5));
    let names = file.var_names().expect("readable");
    assert!(names.iter().eq(["MYC", "TCF7", "GATA1", "CD4", "CD8A"]));
    let index = file.obs_index().expect("it has obs names");
    assert!(
        index
            .read_names(&[4, 0])
            .expect("readable")
            .iter()
            .eq(["a4", "a0"])
    );

    let matrix = file
        .layer(&LayerKey::X)
        .expect("readable")
        .expect("it has X");
    assert_eq!((matrix.shape(), matrix.dtype()), (&[6, 5][..], DType::F32));
    for rows in [vec![0, 1, 2, 3, 4, 5], vec![3], vec![1, 1, 4], vec![]] {
        let expected: Vec<f64> = rows.iter().flat_map(|&row| x(row as usize)).collect();
        assert_eq!(read(&matrix, &rows), expected, "rows {rows:?}");
    }
    let mut sink = Rows {
        width: 5,
        values: vec![],
        seen: vec![],
    };
    let error = matrix
        .read_rows(&[6], &mut ReadScratch::default(), &mut sink)
        .expect_err("there are six rows");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::OutOfBounds {
                index: 6,
                len: 6,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        matrix
            .read_rows(&[2, 1], &mut ReadScratch::default(), &mut sink)
            .is_err(),
        "rows must ascend"
    );

    let counts = file
        .layer(&"counts".into())
        .expect("readable")
        .expect("it has counts");
    assert_eq!(counts.dtype(), DType::I32);
    assert_eq!(read(&counts, &[2]), [22.0, 0.0, 26.0, 0.0, 30.0]);
    let pca = file.obsm("X_pca").expect("readable").expect("it has X_pca");
    assert_eq!(read(&pca, &[1, 5]), [1.5, 2.0, 5.5, 6.0]);
    assert!(
        file.layer(&"nope".into())
            .expect("absent is no error")
            .is_none()
    );
    assert!(file.obsm("nope").expect("absent is no error").is_none());

    let column = |key: &str| file.obs_column(key).expect("readable").expect("a column");
    let texts = |texts: [&str; 6]| texts.map(|text| Some(text.to_owned())).to_vec();
    assert_eq!(
        labels(&column("cell_type")),
        texts(["T", "B", "T", "unknown", "B", "T"])
    );
    assert_eq!(
        labels(&column("donor")),
        texts(["d1", "d2", "d1", "d3", "d2", "d1"])
    );
    let mut scores = texts(["0.5", "", "1.25", "2", "-3.5", "0.5"]);
    scores[1] = None;
    assert_eq!(labels(&column("score")), scores);
    let rows = column("donor").read_rows(&[3, 0]).expect("readable");
    assert_eq!(
        rows.values,
        ColumnValues::Texts(["d3", "d1"].into_iter().collect())
    );
    let rows = column("cell_type").read_rows(&[1, 2]).expect("readable");
    assert_eq!(
        rows.values,
        ColumnValues::Texts(["B", "T"].into_iter().collect())
    );
    assert!(
        file.obs_column("nope")
            .expect("absent is no error")
            .is_none()
    );
    let keys = file.obs_keys().expect("readable");
    for key in ["cell_type", "donor", "score"] {
        assert!(keys.contains(&key.to_owned()), "{keys:?}");
    }
    assert!(
        file.obsm_keys()
            .expect("readable")
            .contains(&"X_pca".to_owned())
    );

    // Matrices that were handed out outlive the file, until the context is closed.
    let path = file.path().to_owned();
    drop(file);
    assert_eq!(read(&matrix, &[0]), x(0));
    context.close();
    if path != Path::new("memory") {
        let mut sink = Rows {
            width: 5,
            values: vec![0.0; 5],
            seen: vec![0],
        };
        let error = matrix
            .read_rows(&[0], &mut ReadScratch::default(), &mut sink)
            .expect_err("closed");
        assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
    }
}

fn fixture(name: &str) -> AnnDataSource {
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores");
    AnnDataSource::Path(stores.join(name))
}

#[test]
fn memory_store_conforms() {
    check(memory().into());
}

#[test]
fn h5ad_conforms() {
    for name in ["base_a_csr.h5ad", "base_a_dense.h5ad"] {
        check(fixture(name));
    }
}

#[test]
fn zarr_conforms() {
    for version in ["v2", "v3"] {
        for layout in ["csr", "dense"] {
            check(fixture(&format!("base_a_{layout}_{version}.zarr")));
        }
    }
}

#[test]
fn context_is_shared_by_its_clones() {
    let context = IoContext::default();
    let clone = context.clone();
    let AnnDataSource::Path(path) = fixture("base_a_csr.h5ad") else {
        unreachable!("a path")
    };
    AnnDataFile::open_in(path, &context).expect("it is AnnData");
    assert!(clone.open_files() > 0);
    clone.close();
    assert!(context.is_closed() && context.open_files() == 0);
}
