"""Ray Train on a local cluster of two workers: every row that they were given is counted."""

import json

import counted
import helpers
import pytest
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from mapped_anndata import MappedCollection


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_V2_ENABLED", "1")
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def run(train, tmp_path, **config):
    """Runs a loop on two workers; returns what each has returned."""

    # Inside of a function, so that it travels to the workers by value.
    def write(config):
        rank = ray.train.get_context().get_world_rank()
        with open(f"{config['out']}/{rank}.json", "w") as file:
            json.dump(train(config), file)

    TorchTrainer(
        write,
        train_loop_config={"out": str(tmp_path), **config},
        scaling_config=ScalingConfig(num_workers=2, use_gpu=False),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(storage_path=str(tmp_path / "ray"), name="cells"),
    ).fit()
    return counted.results(tmp_path)


def test_workers_train_on_their_parts(cluster, tmp_path):
    def train(config):
        import torch

        from mapped_anndata import MappedCollection

        collection = MappedCollection(config["paths"], obs_keys="cell_type")
        loader = collection.loader(100, shuffle="exact", drop_last=True, as_torch=True)
        model = torch.nn.Linear(collection.n_vars, len(collection.encoders["cell_type"]))
        model = ray.train.torch.prepare_model(model)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        rows, losses = [], []
        for _ in range(2):
            for batch in loader:
                loss = torch.nn.functional.cross_entropy(model(batch["X"]), batch["cell_type"])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                if len(losses) <= len(loader):
                    rows += zip(batch["_store_idx"].tolist(), batch["_row_idx"].tolist())
        return {"rows": rows, "losses": losses}

    ranks = run(train, tmp_path, paths=helpers.DEMO)
    rows = [{tuple(row) for row in rank["rows"]} for rank in ranks]
    assert len(rows[0]) == len(rows[1]) == 1600 and not rows[0] & rows[1]
    losses = ranks[0]["losses"]
    assert len(losses) == 32 and sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_every_row_whoever_made_the_loader(cluster, tmp_path):
    def train(config):
        from mapped_anndata import MappedCollection

        def read(batches):
            return [(batch["X"][:, 0].int() - 1).tolist() for batch in batches]

        def epochs(loader, batches):
            # As its documentation asks for; and then without.
            loader.sampler.set_epoch(3)
            return [read(batches), read(batches)], len(batches)

        prepare = ray.train.torch.prepare_data_loader
        made_here = MappedCollection(config["paths"]).loader(8, as_torch=True, shuffle="exact")
        found = {}
        for name, loader in (
            ("here", made_here),
            ("driver", config["loader"]),
            ("no seed", config["no seed"]),
        ):
            found[name] = epochs(loader, loader)
            found[f"{name}, prepared"] = epochs(loader, prepare(loader))
        return found

    paths = counted.write(tmp_path)
    options = {"shuffle": "exact", "as_torch": True}
    of_driver = MappedCollection(paths).loader(8, **options)
    unseeded = MappedCollection(paths).loader(8, seed=None, **options)
    ranks = run(train, tmp_path, **{"paths": paths, "loader": of_driver, "no seed": unseeded})
    assert len(ranks[0]) == 6
    for name in ranks[0]:
        found = [
            [[sum(batches, []) for batches in epochs], n]
            for epochs, n in (rank[name] for rank in ranks)
        ]
        assert all(n == 7 for _, n in found)
        for epoch in zip(*(epochs for epochs, _ in found)):
            counted.check(epoch)
        if name != "no seed" and name != "no seed, prepared":
            assert found == [
                [[sum(b, []) for b in e], n] for e, n in (rank["here"] for rank in ranks)
            ]
