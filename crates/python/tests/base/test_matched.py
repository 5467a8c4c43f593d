"""`Matched`: a control for each row of a batch."""

import dataclasses
import pickle

import helpers
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from mapped_anndata import (
    Balanced,
    CsrMatrix,
    IoOptions,
    MappedCollection,
    Matched,
    Mixture,
    Tokens,
)

KEYS = ["cell_type", "donor"]


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(helpers.DEMO, obs_keys=KEYS, encode_labels=False)


@pytest.fixture(scope="module")
def obs(collection):
    return pd.DataFrame({key: collection.get_merged_labels(key) for key in KEYS})


def rows_of(collection, batch):
    return np.cumsum([0, *collection.n_obs_list])[batch["_store_idx"]] + batch["_row_idx"]


def pairs(collection, loader):
    """The rows of an epoch, and those of their controls."""
    batches = [(rows_of(collection, b), rows_of(collection, b["control"])) for b in loader]
    return [np.concatenate(rows) for rows in zip(*batches, strict=True)]


N = 3350
MATCHED = Matched("cell_type", {"donor": ["donor1", "donor2"]}, unmatched="drop")
MATCHED_TO_ONE = Matched("cell_type", {"donor": "donor1"}, unmatched="drop")


@pytest.mark.parametrize("shuffle", [None, "exact", "blocks:64"])
def test_controls_have_the_labels_of_their_rows_as_pandas_says(collection, obs, shuffle):
    rows, controls = pairs(collection, collection.loader(97, shuffle=shuffle, matched=MATCHED))
    pool = obs[obs["donor"].isin(["donor1", "donor2"])].groupby("cell_type").groups
    kept = obs.index[obs["cell_type"].isin(pool.keys())]
    assert sorted(rows) == kept.tolist() and 0 < len(kept) < len(obs)
    for label, of_label in pool.items():
        found = controls[(obs["cell_type"][rows] == label).to_numpy()]
        assert np.isin(found, of_label).all()


def test_all_controls_are_equally_likely(collection, obs):
    label = obs["cell_type"].dropna().iloc[0]
    pool = obs.index[(obs["cell_type"] == label) & (obs["donor"] == "donor1")]
    row = np.full(200 * len(pool), pool[0])
    _, controls = pairs(collection, collection.loader(5000, sampler=row, matched=MATCHED_TO_ONE))
    counts = np.bincount(controls, minlength=N)
    assert counts.sum() == counts[pool].sum() and len(pool) > 20
    chi_square = ((counts[pool] - 200) ** 2 / 200).sum()
    assert abs(chi_square - len(pool)) < 5 * np.sqrt(2 * len(pool))


@pytest.mark.parametrize(
    "output", [{}, {"output": "csr"}, {"output": "tokens", "tokens": Tokens(9, pad=-1)}]
)
@pytest.mark.parametrize("workers", [0, 2])
def test_controls_are_a_batch_like_any_other(collection, output, workers):
    loader = collection.loader(64, shuffle="exact", matched=MATCHED, workers=workers, **output)
    for batch in loader:
        control = batch.pop("control")
        assert list(control) == list(batch)
        expected = collection.get_batch(rows_of(collection, control), **output)
        for key, value in expected.items():
            if isinstance(value, CsrMatrix):
                for part in ("indptr", "indices", "data"):
                    assert np.array_equal(getattr(value, part), getattr(control[key], part))
            else:
                assert np.array_equal(value, control[key]), key


def test_controls_do_not_depend_on_how_an_epoch_is_read(collection):
    options = {"sampler": Mixture("donor", temperature=0), "matched": MATCHED, "seed": 9}
    loader = collection.loader(4000, **options)
    rows, controls = pairs(collection, loader)
    again = pairs(collection, loader)
    assert not np.array_equal(again[1], controls)
    parts = [
        collection.loader(100, rank=r, world_size=3, memory="65 MiB", **options) for r in range(3)
    ]
    found = [
        (rows_of(collection, batch), rows_of(collection, batch["control"]))
        for step in zip(*parts, strict=True)
        for batch in step
    ]
    for expected, steps in zip((rows, controls), zip(*found, strict=True), strict=True):
        steps = np.concatenate(steps)
        # Ranks repeat rows of the start in the last step.
        assert np.array_equal(steps, np.resize(expected, len(steps)))


def test_an_epoch_is_resumed_with_its_controls(collection):
    loader = collection.loader(100, shuffle="exact", matched=MATCHED)
    running = iter(loader)
    next(running), next(running)
    resumed = collection.loader(77, shuffle="exact", matched=MATCHED)
    resumed.load_state_dict(loader.state_dict())
    copied = pickle.loads(pickle.dumps(loader))
    expected = pairs(collection, running)
    for other in (resumed, copied):
        assert all(map(np.array_equal, pairs(collection, other), expected))
    for matched in (None, Matched([], {"donor": "donor1"})):
        other = collection.loader(100, shuffle="exact", matched=matched)
        with pytest.raises(ValueError, match="state"):
            other.load_state_dict(loader.state_dict())


def test_several_keys_and_conditions_hold_together(collection, obs):
    label = obs["cell_type"].dropna().iloc[0]
    matched = Matched(KEYS, {"cell_type": label, "donor": ["donor1", None]}, unmatched="drop")
    rows, controls = pairs(collection, collection.loader(50, matched=matched))
    expected = obs.index[(obs["cell_type"] == label) & (obs["donor"] == "donor1")]
    assert np.array_equal(rows, expected) and np.isin(controls, expected).all()


def test_unmatched_rows_are_named(collection, obs):
    matched = Matched("cell_type", {"donor": "donor1"})
    match = r"a control for each row \(equal cell_type\).*drop unmatched rows"
    with pytest.raises(ValueError, match=match) as raised:
        collection.loader(10, matched=matched)
    pool = obs[obs["donor"] == "donor1"]["cell_type"].dropna().unique()
    unmatched = obs.index[~obs["cell_type"].isin(pool)]
    assert f"none for {len(unmatched)} of {len(obs)} rows" in str(raised.value)
    assert f"row {unmatched[0]}" in str(raised.value)
    kept = obs.index[obs["cell_type"].isin(pool)]
    loader = collection.loader(10, matched=matched, sampler=kept.to_numpy())
    assert np.array_equal(pairs(collection, loader)[0], kept)


@pytest.mark.parametrize("first", ["Int64", "float64"])
def test_equal_numbers_of_different_types_match(tmp_path, first):
    """A nullable column of integers beside one of floats has no type in common with it."""
    types = {"Int64": "float64", "float64": "Int64"}
    for name, dtype in (("a", first), ("b", types[first])):
        obs = pd.DataFrame(
            {"donor": pd.array([1, 2, None], dtype="Int64").astype(dtype), "drug": name},
            index=[f"{name}{i}" for i in range(3)],
        )
        helpers.write(tmp_path / f"{name}.h5ad", X=np.eye(3, dtype=np.float32), obs=obs)
    cells = MappedCollection([tmp_path / "a.h5ad", tmp_path / "b.h5ad"])
    matched = Matched("donor", {"drug": "a"}, unmatched="drop")
    assert pairs(cells, cells.loader(10, matched=matched))[1].tolist() == [0, 1, 0, 1]
    for mixture in (Mixture("donor", temperature=0), Mixture("donor", proportions={1: 1, 2: 1})):
        mixture = dataclasses.replace(mixture, num_samples=100)
        rows = pairs(cells, cells.loader(10, sampler=mixture, matched=Matched([], {"drug": "a"})))[
            0
        ]
        assert np.isin(rows, [0, 3]).sum() == 50
    rows = [b["_row_idx"] for b in cells.loader(10, sampler=Balanced("donor", 30_000))]
    assert abs((np.concatenate(rows) == 0).sum() - 15_000) < 500


def test_a_label_without_controls_leaves_its_draws_to_the_others(collection, obs):
    options = {"sampler": Mixture("cell_type", temperature=0), "matched": MATCHED_TO_ONE}
    rows, _ = pairs(collection, collection.loader(100, **options))
    pool = obs[obs["donor"] == "donor1"]["cell_type"].dropna().unique()
    counts = obs["cell_type"][rows].value_counts()
    assert sorted(counts.index) == sorted(pool) and len(rows) == N
    assert counts.max() - counts.min() <= 1


def test_memory_counts_the_controls(tmp_path):
    """The rows of a batch are small, and their controls are not."""
    n, width = 200, 20_000
    x = scipy.sparse.random(n, width, density=1.0, format="csr", dtype=np.float32)
    x = scipy.sparse.vstack([scipy.sparse.csr_matrix((n, width), dtype=np.float32), x]).tocsr()
    obs = pd.DataFrame({"drug": ["b"] * n + ["a"] * n}, index=[f"c{i}" for i in range(2 * n)])
    helpers.write(tmp_path / "a.h5ad", X=x, obs=obs)
    cells = MappedCollection(tmp_path / "a.h5ad", io=IoOptions(cache_bytes=0))
    options = {"sampler": np.arange(n), "output": "csr", "memory": "20 MiB"}
    assert len(cells.loader(n, **options)) == 1
    with pytest.raises(ValueError, match="memory: expected at least 64"):
        cells.loader(n, matched=Matched([], {"drug": "a"}), **options)


class Drawing:
    """A sampler object."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)


def test_sampler_objects_draw_rows_that_have_controls(collection, obs):
    matched = Matched("cell_type", {"donor": "donor1"}, unmatched="drop")
    has_one = obs["cell_type"].isin(obs[obs["donor"] == "donor1"]["cell_type"].dropna())
    good = obs.index[has_one][:30].tolist()
    rows, _ = pairs(collection, collection.loader(8, sampler=Drawing(good), matched=matched))
    assert rows.tolist() == good
    bad = obs.index[~has_one][:1].tolist()
    with pytest.raises(ValueError, match="leave them out of the sampler"):
        next(iter(collection.loader(8, sampler=Drawing(good + bad), matched=matched)))


def test_controls_are_no_sampler(collection):
    with pytest.raises(TypeError, match="which is the argument `matched`"):
        collection.loader(8, sampler=MATCHED)


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (TypeError, "matched: expected Matched", lambda: "donor1"),
        (TypeError, "control: expected a dict", lambda: Matched("donor", "donor1")),
        (TypeError, "control: expected a dict", lambda: Matched("donor", {})),
        (TypeError, "keys: expected keys of obs", lambda: Matched(None, {"donor": "donor1"})),
        (
            ValueError,
            "unmatched: expected 'error' or 'drop'",
            lambda: Matched("donor", {"donor": "a"}, unmatched="skip"),
        ),
        (ValueError, "did you mean", lambda: Matched("donor", {"donor": "donor_1"})),
        (ValueError, "cell_typ", lambda: Matched("cell_typ", {"donor": "donor1"})),
        (
            ValueError,
            "control: expected labels of 'donor', found \\[\\]",
            lambda: Matched("cell_type", {"donor": []}, unmatched="drop"),
        ),
    ],
)
def test_controls_without_a_meaning_are_refused(collection, error, match, make):
    with pytest.raises(error, match=match):
        collection.loader(8, matched=make())


def test_no_entry_of_a_batch_may_be_called_control(tmp_path):
    path = tmp_path / "a.h5ad"
    obs = pd.DataFrame({"control": ["yes", "no"]}, index=["a", "b"])
    helpers.write(path, X=np.eye(2, dtype=np.float32), obs=obs)
    cells = MappedCollection(path, obs_keys="control")
    with pytest.raises(ValueError, match="a batch cannot hold both the obs key .control."):
        cells.loader(2, matched=Matched([], {"control": "yes"}))
    loader = MappedCollection(path).loader(2, matched=Matched([], {"control": "yes"}))
    assert next(iter(loader))["control"]["_row_idx"].tolist() == [0, 0]
