"""Accelerate on two ranks: every row that it was given is counted, and none is divided twice."""

import counted
import pytest


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accelerate")
    counted.torchrun("accelerated.py", folder, *counted.write(folder))
    return counted.results(folder)


def test_prepare_leaves_the_loader_alone(ranks):
    assert all(rank["the same"] for rank in ranks)
    epochs = [
        [sum(batches, []) for batches in epoch]
        for epoch in zip(*(rank["epochs"] for rank in ranks))
    ]
    assert len(epochs) == 2 and epochs[0] != epochs[1]
    for epoch in epochs:
        counted.check(epoch)


def test_batches_can_be_skipped(ranks):
    for rank in ranks:
        assert len(rank["skipped"]) == 31 and all(rank["skipped"])


def test_workers_of_ranks(ranks):
    for name in ("forked", "spawned"):
        counted.check([sum(rank[name], []) for rank in ranks])
    for rank in ranks:
        assert rank["forked"] == rank["epochs"][0]
        assert "in the process that trains: give a seed" in rank["forked without a seed"]


def test_nothing_is_divided_twice(ranks):
    assert len(ranks[0]["refused"]) == 25 and len(ranks[1]["refused"]) == 8
    for (what, n_workers, method, dispatch), error in ranks[0]["refused"] + ranks[1]["refused"]:
        if what == "own" and method == "spawn":
            expected = (
                "made in a worker of a DataLoader, where nothing says whether accelerate divides"
            )
        elif what != "rows" and dispatch is False:
            # Accelerate itself cannot divide a dataset of batches.
            expected = "unsupported operand"
        else:
            expected = "of accelerate would divide them again: use the loader as it is"
        assert expected in str(error), (what, n_workers, method, dispatch)


def test_a_loader_of_all_rows_is_divided_by_accelerate(ranks):
    counted.check([sum(rank["dispatched"], []) for rank in ranks])
    # It fills the last step from the first one.
    counted.check(
        [[row - 1 for batch in rank["sharded"] for row in batch] for rank in ranks], repeated=9
    )
