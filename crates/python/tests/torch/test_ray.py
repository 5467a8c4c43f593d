"""Ray Train on a local cluster of two workers."""

import json

import helpers
import pytest
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_workers_train_on_their_parts(cluster, tmp_path):
    # Inside of the test, so that it travels to the workers by value.
    def train(config):
        import torch

        from mapped_anndata import MappedCollection

        rank = ray.train.get_context().get_world_rank()
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
        with open(f"{config['out']}/{rank}.json", "w") as file:
            json.dump({"rows": rows, "losses": losses}, file)

    trainer = TorchTrainer(
        train,
        train_loop_config={"paths": helpers.DEMO, "out": str(tmp_path)},
        scaling_config=ScalingConfig(num_workers=2, use_gpu=False),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(storage_path=str(tmp_path / "ray"), name="cells"),
    )
    trainer.fit()
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    rows = [{tuple(row) for row in rank["rows"]} for rank in ranks]
    assert len(rows[0]) == len(rows[1]) == 1600 and not rows[0] & rows[1]
    losses = ranks[0]["losses"]
    assert len(losses) == 32 and sum(losses[-5:]) < 0.8 * sum(losses[:5])
