"""Epochs under torchrun: every row that the ranks were given is counted."""

from collections import Counter

import counted
import pytest

from mapped_anndata import MappedCollection


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return counted.write(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def ranks(paths, tmp_path_factory):
    """What two ranks saw, for each loader that they read."""
    folder = tmp_path_factory.mktemp("ranks")
    counted.torchrun("ranks_of_torchrun.py", folder, *paths)
    found = counted.results(folder)
    return {name: [of_rank[name] for of_rank in found] for name in found[0]}


def epochs(of_ranks):
    """The rows of each rank, epoch by epoch."""
    return [
        [sum(batches, []) for batches in epoch]
        for epoch in zip(*(rank["epochs"] for rank in of_ranks))
    ]


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("n", [96, 97, 103])
def test_every_row_of_an_epoch(ranks, n, pad):
    of_ranks = ranks[f"{n} {pad}"]
    found = epochs(of_ranks)
    assert len(found) == 2 and found[0] != found[1]
    for epoch in found:
        counted.check(epoch, n, repeated=None if pad else 0)
    n_batches = [[len(batches) for batches in rank["epochs"]] for rank in of_ranks]
    assert n_batches == [[rank["len"]] * 2 for rank in of_ranks]
    assert not pad or n_batches[0] == n_batches[1]


def test_dropping_the_last_step(ranks):
    for epoch in epochs(ranks["drop_last"]):
        counted.check(epoch, 96)


@pytest.mark.parametrize(
    "name", ["early", "no seed", "alike", "of one global seed", "divides False"]
)
def test_every_row_with_each_kind_of_sampler_and_seed(ranks, name):
    found = epochs(ranks[name])
    assert len(found) == 2 and found[0] != found[1]
    for epoch in found:
        counted.check(epoch)
    assert ranks[name][0]["state"] == ranks[name][1]["state"]


def test_a_sampler_that_divides_is_not_divided_again(ranks):
    for epoch in epochs(ranks["divides True"]):
        counted.check(epoch, 102)


def test_samplers_that_differ_are_refused(ranks):
    for of_rank in ranks["unlike"]:
        assert "sampler: ranks 0 and 1 drew different rows" in of_rank["error"]


def test_torchs_weights(ranks):
    for epoch in epochs(ranks["weights"]):
        rows = sum(epoch, [])
        assert len(rows) == 50 and all(row % 3 for row in rows)
    for epoch in epochs(ranks["each once"]):
        assert max(Counter(sum(epoch, [])).values()) == 1 and len(sum(epoch, [])) == 60


@pytest.mark.parametrize("world_size", [1, 3])
def test_another_number_of_ranks_goes_on(ranks, paths, world_size):
    left = ranks["left"]
    assert left[0]["state"] == left[1]["state"]
    cells = MappedCollection(paths)
    rest = []
    for rank in range(world_size):
        loader = cells.loader(
            5, shuffle="exact", seed=None, pad=False, rank=rank, world_size=world_size
        )
        loader.load_state_dict(left[rank % 2]["state"])
        rest += [row for batch in loader for row in counted.rows(batch)]
    counted.check([*epochs(left)[0], rest], repeated=0)


def test_ranks_go_on_with_what_one_process_left(ranks):
    before = sum(ranks["goes on"][0]["before"], [])
    counted.check([before, *epochs(ranks["goes on"])[0]], repeated=0)
