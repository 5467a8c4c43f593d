"""Lightning's trainer, alone and with two ranks: every row that it was given is counted."""

import json
from concurrent.futures import ThreadPoolExecutor

import counted
import pytest

IN_ORDER = {"shuffle": None}
# Steps of a fit in one process, of 13 in each of its 3 epochs, and ends of epochs.
SAVED = [
    "step=1",
    "step=12",
    "step=13",
    "step=14",
    "step=26",
    "step=38",
    "step=39",
    "end-epoch=0",
    "end-epoch=2",
]
STEPS = {"end-epoch=0": 13, "end-epoch=2": 39} | {
    f"step={n}": n for n in (1, 12, 13, 14, 26, 38, 39)
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return counted.write(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def alone(paths, tmp_path_factory):
    """What fits saw in one process, by name."""
    folder = tmp_path_factory.mktemp("alone")
    at = f"{folder}/0/saved/{{}}.ckpt".format
    made_anew = {"reload": True, "reload_dataloaders_every_n_epochs": 1}
    runs = {
        "first": {"val": {}, "val_check_interval": 5},
        **{name: {"resume": at(name)} for name in SAVED},
        "made anew": made_anew,
        "made anew, step=14": {"resume": at("step=14"), **made_anew},
        "hook": {"reload": True},
        "limited": {"limit_train_batches": 4},
        "steps": {"max_epochs": -1, "max_steps": 30},
        "overfit": {"overfit_batches": 2, "loader": IN_ORDER},
        "overfit, shuffled": {"overfit_batches": 2},
        "larger batches": {"resume": at("step=4"), "loader": {"batch_size": 16}},
        "smaller batches": {"resume": at("step=4"), "loader": {"batch_size": 4}},
    }
    counted.run("fit.py", folder, json.dumps(list(runs.values())), *paths)
    return dict(zip(runs, counted.results(folder, 1)[0], strict=True))


def of_epochs(seen):
    return [sum(batches, []) for batches in seen]


@pytest.mark.parametrize("name", ["first", "made anew", "hook"])
def test_every_row_of_every_epoch(alone, name):
    epochs = of_epochs(alone[name]["train"])
    assert len(epochs) == 3 and len({tuple(rows) for rows in epochs}) == 3
    for rows in epochs:
        counted.check([rows])
    assert epochs == of_epochs(alone["first"]["train"])


def test_the_sanity_check_and_validation(alone):
    sanity, *rest = of_epochs(alone["first"]["val"])
    assert sanity == list(range(2 * counted.BATCH_SIZE))
    assert rest == [list(range(counted.N))] * 6


@pytest.mark.parametrize("name", [*SAVED, "made anew, step=14"])
def test_a_checkpoint_goes_on_with_the_next_batch(alone, name):
    batches = sum(alone["first"]["train"], [])
    assert sum(alone[name]["train"], []) == batches[STEPS[name.split(", ")[-1]] :]


def test_fits_that_end_early(alone):
    batches = alone["first"]["train"]
    assert alone["limited"]["train"] == [epoch[:4] for epoch in batches]
    assert sum(alone["steps"]["train"], []) == sum(batches, [])[:30]


def test_overfitting(alone):
    assert alone["overfit"]["train"] == [[list(range(8)), list(range(8, 16))]] * 3
    # Lightning announces that it turns the shuffle off, and then can do so for its own loaders only.
    refused = alone["overfit, shuffled"]
    assert (
        "DataLoader" in refused["error"]
        and "shuffle='exact'" in refused["error"]
        and not refused["train"]
    )


def test_what_lightning_warns_of(alone):
    # Ours has no such workers. That there is a dataset at all keeps others from rebuilding the loader.
    (told,) = [text for text in alone["first"]["warnings"] if "Loader" in text or "Dataset" in text]
    assert told.startswith("Your `IterableDataset` has `__len__` defined.")


def test_another_batch_size_in_mid_epoch(alone):
    """Lightning counts the batches of an epoch, also those before the checkpoint."""
    before = [sum(alone["first"]["train"][0][:4], [])]
    counted.check([*before, of_epochs(alone["smaller batches"]["train"])[0]], repeated=0)
    cut, *rest = of_epochs(alone["larger batches"]["train"])
    assert len(cut) == (7 - 4) * 16 and not set(cut) & set(before[0])
    for rows in rest:
        counted.check([rows])


@pytest.fixture(scope="module")
def on_ranks(paths, tmp_path_factory):
    """What fits saw on two ranks, by name: lists of the ranks."""
    folder = tmp_path_factory.mktemp("ranks")

    def fit(name, **options):
        runs = [{"devices": 2, "strategy": "ddp", **options}]
        (folder / name).mkdir()
        counted.run("fit.py", folder / name, json.dumps(runs), *paths)
        return [found for (found,) in counted.results(folder / name)]

    def at(name):
        return f"{folder}/first/0/saved/{name}.ckpt"

    found = {"first": fit("first", max_epochs=2, val={})}
    runs = {
        "middle": {"max_epochs": 2, "resume": at("step=3")},
        "end": {
            "resume": at("end-epoch=0"),
            "reload": True,
            "reload_dataloaders_every_n_epochs": 1,
        },
        "overfit": {"max_epochs": 2, "overfit_batches": 2, "loader": IN_ORDER},
    }
    # Lightning sleeps for seconds before it starts a rank.
    with ThreadPoolExecutor() as pool:
        fits = {name: pool.submit(fit, name, **options) for name, options in runs.items()}
    return found | {name: future.result() for name, future in fits.items()}


def test_ranks_see_every_row(on_ranks):
    ranks = on_ranks["first"]
    for epoch in zip(*(of_epochs(rank["train"]) for rank in ranks), strict=True):
        counted.check(epoch)
    sanity, *rest = zip(*(of_epochs(rank["val"]) for rank in ranks), strict=True)
    assert sorted(sum(sanity, [])) == list(range(2 * 2 * counted.BATCH_SIZE)) and len(rest) == 2
    for epoch in rest:
        counted.check(epoch)


def test_ranks_go_on_from_a_checkpoint(on_ranks):
    first = [rank["train"] for rank in on_ranks["first"]]
    middle = [rank["train"] for rank in on_ranks["middle"]]
    end = [rank["train"] for rank in on_ranks["end"]]
    assert middle == [[epochs[0][3:], epochs[1]] for epochs in first]
    assert [epochs[0] for epochs in end] == [epochs[1] for epochs in first] and len(end[0]) == 2
    counted.check([sum(epochs[1], []) for epochs in end])


def test_ranks_overfit_to_batches_of_their_own(on_ranks):
    for number, rank in enumerate(on_ranks["overfit"]):
        starts = [8 * number, 16 + 8 * number]
        assert rank["train"] == [[list(range(start, start + 8)) for start in starts]] * 2
