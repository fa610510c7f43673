"""A loss or weights that are no numbers: the run stops within a few steps, says where, and keeps no such checkpoint."""

import json
import math

import pytest
import torch
from conftest import call
from lightning.pytorch import Callback
from torch import Tensor

import train
from autoencoder.models.bottlenecks.bottleneck import Code
from autoencoder.models.bottlenecks.identity import Identity
from autoencoder.models.module import LOOK_EVERY
from autoencoder.runs.model_of_checkpoint import has_finite_weights

SMALL = ("experiment=quick", "model.latent_dim=4", "model.network.hidden_dims=[8]", "callbacks=light", "logger=[]")
SMALL += ("views=none", "trainer.max_epochs=3")  # 125 steps each


class Poison(Callback):
    """Sets a weight to a value before a step."""

    def __init__(self, step: int, value: str) -> None:
        self.step, self.value = step, float(value)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            with torch.no_grad():
                pl_module.network.encoder[1].bias[0] = self.value


class PoisonedLoss(Identity):
    """A bottleneck whose penalty is infinite from a step on, at first with finite weights."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.warmup = 1.0  # so that it is told the progress

    def forward(self, encoded: Tensor) -> Code:
        penalty = encoded.sum() * (math.inf if self.progress > 0.5 else 0.0)
        return Code(encoded, {"penalty": penalty})


def values(content):
    """All numbers in a checkpoint."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, float):
        yield torch.tensor(content)
    elif isinstance(content, dict | list | tuple):
        for value in content.values() if isinstance(content, dict) else content:
            yield from values(value)


def diverge(folder, capfd, *overrides):
    """The one line of a run that diverges, and the contents of its checkpoints by name, all of them finite."""
    with pytest.raises(SystemExit) as stopped:
        call(train.train, *SMALL, f"hydra.run.dir={folder}", *overrides)
    said = "".join(capfd.readouterr())
    assert stopped.value.code == 1 and said.count("error: ") == 1 and "Traceback" not in said
    kept = {path.stem: torch.load(path, weights_only=True) for path in folder.rglob("*.ckpt")}
    for content in kept.values():
        weights = [content["state_dict"], content["optimizer_states"]]
        assert all(bool(value.isfinite().all()) for value in values(weights))
    return said.splitlines()[-1], kept


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("step", [0, 133, 374])  # the first, one within the second epoch, the last of all
def test_a_run_stops_within_a_few_steps_and_says_where(step, value, tmp_path, capfd):
    poison = f"{{_target_: test_divergence.Poison, step: {step}, value: '{value}'}}"
    line, kept = diverge(tmp_path / "run", capfd, f"+callbacks.poison={poison}")
    epoch, at = step // 125 + 1, int(line.partition(", step ")[2].partition(",")[0])
    assert line.startswith(f"error: training diverged in epoch {epoch}, step ") and step < at <= step + LOOK_EVERY
    assert "at a learning rate of " in line and "lower optimizer.lr" in line
    if step < 125:
        assert not kept and "last good" not in line and not (tmp_path / "run" / "metrics.json").exists()
        return
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert f"the last good state is in {last}" in line and kept["last"]["global_step"] == 125 * (epoch - 1)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert metrics["status"] == "interrupted"
    assert (metrics["epochs"], metrics["steps"]) == (epoch - 1, at)


def test_what_is_saved_within_an_epoch_is_finite_too(tmp_path, capfd):
    poison = "{_target_: test_divergence.Poison, step: 133, value: 'nan'}"
    line, kept = diverge(
        tmp_path / "run", capfd, f"+callbacks.poison={poison}", "callbacks.checkpoints.save_every=3 steps"
    )
    assert "step 134," in line  # the save that was due is refused
    assert (kept["last"]["global_step"], kept["previous"]["global_step"]) == (131, 128)


def test_a_penalty_that_is_infinite_stops_a_run(tmp_path, capfd):
    bottleneck = "model.bottleneck={_target_: test_divergence.PoisonedLoss, _partial_: true}"
    line, kept = diverge(tmp_path / "run", capfd, bottleneck, "scheduler=constant")
    assert "diverged in epoch 2, step " in line and kept["last"]["global_step"] == 125


def test_a_job_that_diverges_does_not_stop_its_sweep(tmp_path):
    with pytest.raises(SystemExit, match=r"1 of 2 jobs did not finish \(job 0 failed\)"):
        call(train.train, "-m", *SMALL, "optimizer=adam", "optimizer.lr=1e30,1e-3", f"hydra.sweep.dir={tmp_path}/sweep")
    finished, failed = (tmp_path / "sweep" / "summary.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert "training diverged in epoch 1" in failed and "finished" in finished
    assert (tmp_path / "sweep" / "1" / "metrics.json").exists()


def test_weights_that_no_optimiser_changes_are_looked_at_too():
    module = torch.nn.BatchNorm1d(2)
    assert has_finite_weights(module)
    module.running_var[1] = torch.nan
    assert not has_finite_weights(module)
