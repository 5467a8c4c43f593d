"""Columns of obs from a table outside the files, judged by pandas."""

import copy
import pickle
import sys

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import Balanced, Log1p, MappedCollection, NormalizeTotal, ObsTable

STORES = [str(helpers.STORES / name) for name in ("base_a_csr.h5ad", "base_b_dense_v2.zarr")]
TYPES = ["T", "B", "NK"]


def opened(table, stores=STORES, **options):
    return MappedCollection(stores, **{"obs_table": table, **options})


def names(stores=STORES):
    with MappedCollection(stores) as cells:
        return cells.obs_names(range(len(cells)))


@pytest.fixture
def frame():
    """Labels of most cells, in another order, and of cells that are in no file."""
    index = pd.Index(names(), name="cell")
    n = len(index)
    frame = pd.DataFrame(
        {
            "fate": [TYPES[i % 3] for i in range(n)],
            "n": np.arange(n) % 4,
            "score": np.linspace(0.5, 2, n),
            "ok": np.arange(n) % 2 == 0,
            "code": [f"{i % 3:03}" for i in range(n)],
        },
        index=index,
    )
    frame.loc[index[3], ["fate", "score"]] = [None, np.nan]
    others = frame.iloc[:2].set_axis(["x1", "x2"]).assign(fate="elsewhere")
    return pd.concat([frame.drop(index[5]).iloc[::-1], others]).rename_axis("cell")


def written(frame, path):
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def is_missing(value):
    return value is None or value is pd.NA or value != value


def assert_labels(cells, key, expected):
    """The labels of a key, everywhere, are those of a Series."""
    found = list(cells.get_merged_labels(key))
    assert len(found) == len(expected)
    for label, value in zip(found, expected, strict=True):
        assert is_missing(label) == is_missing(value), (label, value)
        assert is_missing(value) or label == value, (label, value)
    codes = cells.encoders.get(key)
    batch = cells[:]
    for row, value in enumerate(expected):
        item = cells[row].get(key)
        if codes is not None:
            assert is_missing(item) if is_missing(value) else item == codes[value]
            assert batch[key][row] == (-100 if is_missing(value) else codes[value])
        elif not is_missing(value):
            assert item == value and batch[key][row] == value


FORMS = ["frame", "csv", "tsv", "parquet", "on", "column"]


def form_of(frame, form, folder):
    match form:
        case "frame":
            return frame
        case "on":
            return ObsTable(frame.reset_index(), on="cell")
        case "column":
            path = written(frame, folder / "t.csv")
            return ObsTable(path, on="cell")
        case "parquet":
            pytest.importorskip("pyarrow")
    return written(frame, folder / f"t.{form}")


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_those_of_reindex(frame, form, tmp_path):
    table = form_of(frame, form, tmp_path)
    expected = frame.reindex(names())
    keys = ["fate", "n", "score", "ok", "code"]
    with opened(table, obs_keys=keys) as cells:
        for key in keys:
            assert_labels(cells, key, expected[key])
        assert cells.not_in_table == [1, 0]
        assert cells.encoders["fate"] == {"B": 0, "NK": 1, "T": 2}
        assert cells.encoders["code"] == {"000": 0, "001": 1, "002": 2}
        assert "score" not in cells.encoders
        batch = cells[:]
        assert batch["score"].dtype == np.float64
    with opened(table, obs_keys=keys, encode_labels=False) as cells:
        batch = cells[:]
        assert batch["n"].dtype == np.int64 and batch["ok"].dtype == np.bool_
        assert not batch["n_valid"][5] and batch["n_valid"].sum() == len(cells) - 1
        for key in keys:
            assert_labels(cells, key, expected[key])


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_labels_are_those_of_merge(frame, suffix, tmp_path):
    stores, parts = [], []
    for number in range(2):
        obs = pd.DataFrame(
            {"donor": pd.Categorical(["d1", "d2", "d1"]), "n": [9, 8, 7]},
            index=[f"c{number}{i}" for i in range(3)],
        )
        parts.append(obs.assign(store=f"{number}.{suffix}"))
        x = np.ones((3, 2), dtype="float32")
        stores.append(helpers.write(tmp_path / f"{number}.{suffix}", X=x, obs=obs))
    obs = pd.concat(parts).rename_axis("cell").reset_index()
    table = pd.DataFrame({"cell": ["c12", "c00", "c10"], "n": [1, 2, 3], "sex": ["f", "m", "f"]})
    expected = obs.drop(columns="n").merge(table, on="cell", how="left")
    with opened(table.set_index("cell"), stores, obs_keys=["n", "sex", "donor"]) as cells:
        for key in ("n", "sex", "donor"):
            assert_labels(cells, key, expected[key])
        assert cells.not_in_table == [2, 1]


def test_everything_that_takes_a_key_takes_one_of_the_table(frame):
    expected = frame.reindex(names())
    with opened(frame, obs_filter={"fate": ["T", "NK"], "ok": True}, obs_keys="fate") as cells:
        kept = expected.fate.isin(["T", "NK"]) & (expected.ok == True)  # noqa: E712
        assert cells.obs_names(range(len(cells))) == list(expected.index[kept])
    with opened(frame, obs_filter={"fate": [None]}) as cells:
        assert cells.obs_names(range(len(cells))) == list(expected.index[expected.fate.isna()])
    fate_map = {"T": "lymphocyte", "B": "lymphocyte"}
    keys = {"kind": ["celltype", "fate"]}
    with opened(frame, obs_keys=keys, label_map={"kind": fate_map}) as cells:
        assert_labels(cells, "kind", expected.fate.replace(fate_map))
        assert cells.source_keys["kind"] == ["fate", "fate"]
    with opened(frame, obs_keys="fate", unknown_label="NK") as cells:
        assert cells.encoders["fate"] == {"NK": -1, "B": 0, "T": 1}
    with opened(frame) as cells:
        counts = expected.fate.fillna("nan").value_counts()
        weights = cells.get_label_weights("fate")
        np.testing.assert_allclose(weights, [1 / counts[f] for f in expected.fate.fillna("nan")])
        groups = cells.split([0.5, 0.5], group="fate")
        labels = [set(expected.fate.iloc[rows].fillna("nan")) for rows in groups]
        assert not labels[0] & labels[1]
        drawn = [row for batch in cells.loader(4, sampler=Balanced("fate")) for row in batch["X"]]
        assert len(drawn) == len(cells)
        assert set(cells.get_merged_categories("fate")) == {"T", "B", "NK"}
    steps = [NormalizeTotal(100, obs_key="score"), Log1p()]
    with opened(frame.fillna({"score": 1.0}), obs_filter={"ok": [True, False]}) as plain:
        raw, score = plain[:]["X"], frame.fillna({"score": 1.0}).reindex(names()).score
    options = {"transforms": steps, "obs_filter": {"ok": [True, False]}}
    with opened(frame.fillna({"score": 1.0}), **options) as cells:
        total = score.dropna().to_numpy()[:, None]
        np.testing.assert_allclose(cells[:]["X"], np.log1p(raw / total * 100), rtol=1e-6)


def test_a_column_of_the_table_comes_first(frame):
    table = frame.rename(columns={"fate": "cell_type"})
    with opened(table, obs_keys="cell_type") as cells:
        assert_labels(cells, "cell_type", table.reindex(names()).cell_type)
    with pytest.warns(UserWarning, match=r"no store has the obs key 'fates': did you mean 'fate'"):
        opened(frame, obs_keys="fates").close()


def test_cells_by_store_and_name(tmp_path):
    stores = []
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        x = np.ones((2, 1), dtype="float32")
        obs = pd.DataFrame(index=["1", "2"])
        stores.append(helpers.write(tmp_path / folder / f"{folder}.h5ad", X=x, obs=obs))
    table = pd.DataFrame(
        {
            "cell": ["1", "2", "1", "1"],
            "dataset": ["y", "x.h5ad", stores[0], "elsewhere"],
            "label": ["p", "q", "r", "s"],
        }
    )
    with pytest.raises(ValueError, match=r"each cell once, found \"1\" twice"):
        opened(ObsTable(table, on="cell"), stores)
    with pytest.raises(ValueError, match=r"found \"2\" in both: join by store and cell name"):
        opened(ObsTable(table[1:2], on="cell"), stores)
    for form in (table, table.assign(dataset=pd.Categorical(table.dataset))):
        given = ObsTable(form, on="cell", store="dataset")
        with opened(given, stores, obs_keys="label") as cells:
            assert list(cells.get_merged_labels("label"))[:3] == ["r", "q", "p"]
            assert cells.not_in_table == [0, 1]
    table.to_csv(tmp_path / "t.csv", index=False)
    given = ObsTable(tmp_path / "t.csv", "cell", "dataset")
    with opened(given, stores, obs_keys="label") as cells:
        assert_labels(cells, "label", ["r", "q", "p", None])
    with pytest.raises(ValueError, match=r"found \"X\.h5ad\": did you mean \"x\.h5ad\"\?"):
        opened(ObsTable(table.assign(dataset="X.h5ad")[:2], "cell", "dataset"), stores)
    with pytest.raises(ValueError, match=r"a column of stores among .*: did you mean \"dataset\""):
        opened(ObsTable(table, "cell", "datasets"), stores)
    with pytest.raises(ValueError, match=r"\"1\" of \"y\" twice"):
        opened(ObsTable(table.assign(dataset="y"), "cell", "dataset"), stores)


def test_pickles_and_copies_have_the_table(frame, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    x = np.ones((2, 1), dtype="float32")
    helpers.write(tmp_path / "data/a.h5ad", X=x, obs=pd.DataFrame(index=["1", "2"]))
    helpers.write(tmp_path / "data/b.h5ad", X=x, obs=pd.DataFrame(index=["1", "2"]))
    table = pd.DataFrame(
        {
            "store": ["data/b.h5ad", "data/a.h5ad"],
            "kind": ["p", None],
            "when": pd.to_datetime(["2020-01-01", "2020-01-02"]),
            "cat": pd.Categorical([3, 4], categories=[4, 3, 5]),
            "n": pd.array([1, None], dtype="Int32"),
        },
        index=["1", "2"],
    )
    monkeypatch.chdir(tmp_path)
    cells = opened(
        ObsTable(table, store="store"),
        ["data/a.h5ad", "data/b.h5ad"],
        obs_keys=["kind", "cat", "n"],
    )
    pickled = pickle.dumps(cells)
    monkeypatch.chdir("/")
    for again in (pickle.loads(pickled), copy.deepcopy(cells), copy.copy(cells)):
        with again:
            assert_labels(again, "kind", [None, None, "p", None])
            assert_labels(again, "n", [None, None, 1, None])
            assert_labels(again, "cat", [None, 4, 3, None])
            assert (
                again.encoders
                == cells.encoders
                == {"kind": {"p": 0}, "cat": {3: 0, 4: 1, 5: 2}, "n": {1: 0}}
            )
    path = written(frame, tmp_path / "t.csv")
    with opened(path, obs_keys="fate") as cells:
        path.unlink()
        with pickle.loads(pickle.dumps(cells)) as again:
            assert_labels(again, "fate", frame.reindex(names()).fate)


def test_types_of_columns(frame):
    index = names()[:3]
    cases = {
        "int8": (np.array([1, 2, 3], dtype="int8"), np.int8),
        "uint64": (np.array([1, 2, 2**64 - 1], dtype="uint64"), np.uint64),
        "float32": (np.array([0.5, np.nan, 2], dtype="float32"), np.float32),
        "Int64": (pd.array([1, None, 2**60 + 1], dtype="Int64"), np.int64),
        "Float32": (pd.array([0.5, None, 2], dtype="Float32"), np.float32),
        "boolean": (pd.array([True, None, False], dtype="boolean"), np.bool_),
        "objects": (np.array([True, None, False], dtype=object), np.bool_),
        "int objects": (np.array([7, None, 2**60 + 1], dtype=object), np.int64),
        "string": (pd.array(["a", None, "b"], dtype="string"), None),
        "texts": (np.array(["a", np.nan, "b"], dtype=object), None),
        "categorical": (pd.Categorical(["a", None, "b"], categories=["z", "b", "a"]), None),
        "float categories": (pd.Categorical([0.5, None, 2.0]), np.float64),
    }
    for name, (values, dtype) in cases.items():
        table = pd.DataFrame({"k": values}, index=index)
        with opened(table, obs_keys="k", encode_labels=False) as cells:
            assert_labels(cells, "k", list(table.k) + [None] * (len(cells) - 3))
            if dtype is not None:
                assert cells[:]["k"].dtype == dtype, name
    if (arrow := sys.modules.get("pyarrow")) is not None:
        kinds = {"k": pd.array([1, None, 3], dtype=pd.ArrowDtype(arrow.int16()))}
        with opened(pd.DataFrame(kinds, index=index), obs_keys="k", encode_labels=False) as cells:
            assert_labels(cells, "k", [1, None, 3] + [None] * (len(cells) - 3))
    dates = pd.DataFrame({"when": pd.to_datetime(["2020-01-01"] * 3), "k": ["a"] * 3}, index=index)
    dates["mixed"] = ["a", 1, 2.5]
    opened(dates, obs_keys="k").close()
    for key in ("when", "mixed"):
        with pytest.raises(
            Exception, match=rf"obs_table/{key}: .*write it as numbers, booleans or"
        ):
            opened(dates, obs_keys=key)


def test_what_cannot_be_is_refused(frame, tmp_path):
    first = names()[0]
    with pytest.raises(ValueError, match=r"expected names of cells such as .*found \"x1\", \"x2\""):
        opened(frame.loc[["x1", "x2"]])
    with pytest.raises(ValueError, match=rf"each cell once, found \"{first}\" twice"):
        opened(pd.concat([frame, frame.loc[[first]]]))
    with pytest.raises(TypeError, match=r"obs_table: expected a pandas DataFrame or a path, found"):
        opened({"a": 1})
    with pytest.raises(ValueError, match=r"expected one column 'cells', found the columns 'fate'"):
        opened(ObsTable(frame, on="cells"))
    with pytest.raises(ValueError, match=r"expected a name in each row, found none in row 1"):
        opened(frame.iloc[:2].set_axis([first, None]))
    with pytest.raises(ValueError, match=r"columns of different names, found the column \"fate\""):
        opened(frame[["fate", "fate"]])
    with pytest.raises(ValueError, match=r"stands for the obs names"):
        opened(frame.rename(columns={"fate": "_index"}))
    with pytest.raises(TypeError, match=r"an index of one level, found several: choose `on`"):
        opened(frame.set_index(["n", "ok"]))
    with pytest.raises(TypeError, match=r"obs_table: expected a text, found 0"):
        opened(frame.rename(columns={"fate": 0}))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        opened(tmp_path / "nowhere.csv")
    path = written(frame, tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"t\.csv: expected one column \"cel\" \(did you mean"):
        opened(ObsTable(path, on="cel"))
    with pytest.raises(ValueError, match=r"obs_table: expected the names of cells in Unicode"):
        opened(frame.iloc[:1].set_axis(["\ud800"]))
    doubled = helpers.write(
        tmp_path / "a.h5ad", X=np.ones((2, 1)), obs=pd.DataFrame(index=["1", "1"])
    )
    table = pd.DataFrame({"k": ["a"]}, index=["1"])
    with pytest.raises(ValueError, match=r"a\.h5ad: obs: .*found \"1\" in row 0 and in row 1"):
        opened(table, doubled)
    assert repr(ObsTable(path, on="cell")).endswith("on='cell', store=None)")
    assert "DataFrame" in repr(ObsTable(frame))


def test_names_that_are_numbers(tmp_path):
    x, obs = np.ones((3, 1), dtype="float32"), pd.DataFrame(index=["0", "1", "2"])
    path = helpers.write(tmp_path / "a.h5ad", X=x, obs=obs)
    table = pd.DataFrame({"k": ["a", "b"]}, index=[2, 0])
    with opened(table, path, obs_keys="k") as cells:
        assert_labels(cells, "k", ["b", None, "a"])
    with opened(written(table, tmp_path / "t.csv"), path, obs_keys="k") as cells:
        assert_labels(cells, "k", ["b", None, "a"])


def test_pandas_is_not_needed_for_a_file(frame, tmp_path):
    import subprocess

    path = written(frame, tmp_path / "t.csv")
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from mapped_anndata import MappedCollection\n"
        f"cells = MappedCollection({STORES!r}, obs_keys='fate', obs_table={str(path)!r})\n"
        "assert len(cells.encoders['fate']) == 3\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_frame_of_pandas_3_is_known(monkeypatch):
    # There, the class says that it is of the module "pandas", not of one below it.
    monkeypatch.setattr(pd.DataFrame, "__module__", "pandas")
    frame = pd.DataFrame({"grade": ["a"]}, index=["none"])
    assert ObsTable(frame).table is frame
