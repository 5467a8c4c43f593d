"""Fits a model with Lightning, and writes the rows that this rank saw. A script, as ddp needs one.

Arguments: the folder to write to, a list of the options of one fit after another as JSON, and the
paths of the stores. The loaders are made before `fit`, as users do: Lightning starts this script again
for each further rank.
"""

import json
import sys
import warnings

import counted
import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from mapped_anndata import MappedCollection


class Model(lightning.LightningModule):
    """Notes the rows of each epoch."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.train_rows, self.val_rows = {}, []

    def training_step(self, batch, _):
        self.train_rows.setdefault(self.current_epoch, []).append(counted.rows(batch))
        return self.layer(batch["X"]).mean()

    def on_validation_epoch_start(self):
        self.val_rows.append([])

    def validation_step(self, batch, _):
        self.val_rows[-1].append(counted.rows(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


class Data(lightning.LightningDataModule):
    """Makes a loader whenever it is asked for one."""

    def __init__(self, make):
        super().__init__()
        self.train_dataloader = make


def fit(out, paths, loader=None, val=None, resume=None, reload=False, **options):
    """Fits; returns what was seen in each epoch, the warnings and the error, and the rank."""
    cells = MappedCollection(paths)

    def make():
        given = {"batch_size": counted.BATCH_SIZE, "shuffle": "exact", "seed": 1, **(loader or {})}
        return cells.loader(**given, as_torch=True)

    train = make()
    data = {"datamodule": Data(make)} if reload else {"train_dataloaders": train}
    if val is not None:
        data["val_dataloaders"] = cells.loader(counted.BATCH_SIZE, as_torch=True, **val)
    saves = {"filename": "{step}", "save_top_k": -1, "every_n_train_steps": 1}
    ends = {"filename": "end-{epoch}", "save_top_k": -1, "save_on_train_epoch_end": True}
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(f"{out}/saved", **which) for which in (saves, ends)],
        **{"max_epochs": 3, **options},
    )
    model, error = Model(), None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            trainer.fit(model, **data, ckpt_path=resume)
        except ValueError as raised:
            error = str(raised)
    told = sorted({str(warning.message) for warning in caught})
    seen = {
        "train": list(model.train_rows.values()),
        "val": model.val_rows,
        "warnings": told,
        "error": error,
    }
    return seen, trainer.global_rank


if __name__ == "__main__":
    out, runs, *paths = sys.argv[1:]
    found = []
    for number, options in enumerate(json.loads(runs)):
        seen, rank = fit(f"{out}/{number}", paths, **options)
        found.append(seen)
    with open(f"{out}/{rank}.json", "w") as file:
        json.dump(found, file)
