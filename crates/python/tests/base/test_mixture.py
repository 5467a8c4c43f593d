"""`Mixture`: stores and labels in fixed proportions."""

import pickle
from collections import Counter
from fractions import Fraction

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import MappedCollection, Mixture

N = 3350


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(helpers.DEMO, obs_keys=["cell_type", "donor"])


def drawn(collection, loader):
    """The rows of an epoch."""
    starts = np.cumsum([0, *collection.n_obs_list])
    batches = [starts[batch["_store_idx"]] + batch["_row_idx"] for batch in loader]
    return np.concatenate([np.empty(0, int), *batches])


def largest_remainder(n, shares):
    """How `n` draws are divided, in exact arithmetic."""
    quotas = [Fraction(n) * Fraction(share) / sum(map(Fraction, shares)) for share in shares]
    counts = [int(quota) for quota in quotas]
    order = sorted(range(len(shares)), key=lambda group: counts[group] - quotas[group])
    for group in order[: n - sum(counts)]:
        counts[group] += 1
    return counts


@pytest.mark.parametrize("temperature", [1, 0, 0.5, -1, 0.25])
@pytest.mark.parametrize("num_samples", [None, 0, 1, 997, 10_000])
def test_draws_of_labels_are_divided_by_the_largest_remainder(collection, temperature, num_samples):
    mixture = Mixture("cell_type", temperature=temperature, num_samples=num_samples)
    loader = collection.loader(500, sampler=mixture)
    n = N if num_samples is None else num_samples
    assert loader.n_rows == n
    rows = drawn(collection, loader)
    labels = pd.Series(collection.get_merged_labels("cell_type"))
    sizes = labels.dropna().value_counts()
    expected = largest_remainder(n, (sizes.astype(float) ** temperature).tolist())
    counts = labels[rows].value_counts().reindex(sizes.index, fill_value=0)
    found = counts.tolist()
    if temperature == 0:
        # Equal shares have equal remainders: which label has one more is left open here.
        found, expected = sorted(found), sorted(expected)
    assert found == expected and len(rows) == n
    for label, size in sizes.items():
        of_label = rows[(labels[rows] == label).to_numpy()]
        if len(of_label) <= size:
            assert len(np.unique(of_label)) == len(of_label)
        elif len(of_label) > 3 * size:
            assert len(np.unique(of_label)) > size / 2


def test_stores_have_shares_by_list_number_or_path(collection):
    shares = [0.5, 0, 2, 1]
    path = str(helpers.DEMO[3])
    by_path = pd.Series([1, 0.5, 2], index=[path, *map(str, (helpers.DEMO[0], helpers.DEMO[2]))])
    forms = [shares, np.array(shares), iter(shares), {0: 0.5, 2: 2, path: 1}, by_path]
    expected = None
    for proportions in forms:
        mixture = Mixture(proportions=proportions, num_samples=100)
        rows = drawn(collection, collection.loader(64, sampler=mixture, seed=3))
        stores = Counter(np.digitize(rows, np.cumsum(collection.n_obs_list)).tolist())
        assert [stores[store] for store in range(4)] == largest_remainder(100, shares)
        expected = rows if expected is None else expected
        assert np.array_equal(rows, expected)


def test_labels_have_shares_and_missing_is_one(collection):
    labels = pd.Series(collection.get_merged_labels("cell_type")).fillna("missing")
    first, second = labels[labels != "missing"].unique()[:2]
    proportions = {first: 3, second: 1, None: 1}
    loader = collection.loader(64, sampler=Mixture("cell_type", proportions=proportions))
    counts = labels[drawn(collection, loader)].value_counts()
    assert len(counts) == 3
    expected = largest_remainder(N, list(proportions.values()))
    assert counts[[first, second, "missing"]].tolist() == expected


def test_the_order_of_proportions_does_not_matter(collection):
    shares = {"donor1": 3, "donor2": 2, "donor3": 0}
    epochs = []
    for labels in (["donor1", "donor2"], ["donor2", "donor1"], ["donor3", "donor2", "donor1"]):
        mixture = Mixture("donor", proportions={label: shares[label] for label in labels})
        epochs.append(drawn(collection, collection.loader(500, sampler=mixture)))
    assert all(np.array_equal(epoch, epochs[0]) for epoch in epochs)


def test_rows_follow_weights_within_a_label(collection):
    rng = np.random.default_rng(1)
    weights = rng.random(N) * (rng.random(N) < 0.1)
    mixture = Mixture("donor", temperature=0, num_samples=60_000, weights=weights)
    rows = drawn(collection, collection.loader(5000, sampler=mixture))
    labels = pd.Series(collection.get_merged_labels("donor"))
    counts = np.bincount(rows, minlength=N)
    assert (counts[weights == 0] == 0).all()
    for label, total in labels[rows].value_counts().items():
        of_label = np.flatnonzero(labels == label)
        expected = total * weights[of_label] / weights[of_label].sum()
        difference = np.abs(counts[of_label] - expected)
        assert (difference < 5 * np.sqrt(expected) + 1).all()


def test_epochs_differ_and_ranks_divide_the_draws(collection):
    mixture = Mixture("cell_type", temperature=0.5)
    loader = collection.loader(N, sampler=mixture)
    first, second = drawn(collection, loader), drawn(collection, loader)
    assert not np.array_equal(first, second)
    parts = [
        collection.loader(335, sampler=mixture, rank=rank, world_size=2, workers=rank)
        for rank in range(2)
    ]
    starts = np.cumsum([0, *collection.n_obs_list])
    found = [
        starts[batch["_store_idx"]] + batch["_row_idx"]
        for step in zip(*parts, strict=True)
        for batch in step
    ]
    assert np.array_equal(np.concatenate(found), first)


def test_a_mixture_is_resumed_and_copied(collection):
    loader = collection.loader(500, sampler=Mixture(temperature=0))
    running = iter(loader)
    next(running)
    copied = pickle.loads(pickle.dumps(loader))
    resumed = collection.loader(250, sampler=Mixture(temperature=0))
    resumed.load_state_dict(loader.state_dict())
    rest = drawn(collection, running)
    for other in (copied, resumed):
        assert np.array_equal(drawn(collection, other), rest)
    for sampler in (Mixture(temperature=1), Mixture(temperature=0, num_samples=9), None):
        with pytest.raises(ValueError, match="state"):
            collection.loader(500, sampler=sampler).load_state_dict(loader.state_dict())


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (ValueError, "neither", lambda: Mixture("donor")),
        (ValueError, "both", lambda: Mixture("donor", temperature=1, proportions={"a": 1})),
        (TypeError, "key: expected a text", lambda: Mixture(3, temperature=1)),
        (ValueError, "temperature: expected a finite", lambda: Mixture(temperature=np.inf)),
        (TypeError, "temperature: expected a number", lambda: Mixture(temperature="1")),
        (TypeError, "a dict of labels", lambda: Mixture("donor", proportions=[1, 2])),
        (
            ValueError,
            "num_samples: expected 0 or more",
            lambda: Mixture(temperature=1, num_samples=-1),
        ),
        (ValueError, "4 stores, found 2", lambda: Mixture(proportions=[1, 2])),
        (
            ValueError,
            "labels need a key.: expected a path of path_list",
            lambda: Mixture(proportions={"x.h5ad": 1}),
        ),
        (ValueError, "not negative", lambda: Mixture(proportions={0: -1})),
        (
            ValueError,
            "one entry for store 0, found two",
            lambda: Mixture(proportions={0: 1, str(helpers.DEMO[0]): 2}),
        ),
        (ValueError, "a share for 3350 draws", lambda: Mixture(proportions=[0] * 4)),
        (ValueError, "did you mean", lambda: Mixture("donor", proportions={"donor_1": 1})),
        (ValueError, "cell_typ", lambda: Mixture("cell_typ", temperature=1)),
        (ValueError, "one weight per row", lambda: Mixture(temperature=1, weights=[1.0])),
        (
            ValueError,
            "rows to draw in group 0",
            lambda: Mixture(proportions={0: 1}, num_samples=2, weights=np.zeros(N)),
        ),
        (ValueError, "2\\^32", lambda: Mixture(temperature=1, num_samples=2**33)),
    ],
)
def test_mixtures_without_a_meaning_are_refused(collection, error, match, make):
    with pytest.raises(error, match=match):
        collection.loader(8, sampler=make())
