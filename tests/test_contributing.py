"""CONTRIBUTING's worked example, done to the letter: it trains, and its checkpoints are taken everywhere."""

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import QUICK, ROOT, call, read_metrics, run_evaluate, run_train

import autoencoder.models
import evaluate
import explore
import train
from autoencoder.errors import InputError
from autoencoder.models.module import AutoencoderModule, plain
from autoencoder.runs.checkpoints import restore

TINY = (*QUICK, "callbacks=light", "logger=[]", "+trainer.limit_train_batches=20")


def write_example(folder: Path) -> list[Path]:
    """Writes each file of the example below `folder`, at the path that its first line names."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    written = []
    for name, content in re.findall(r"```(?:python|yaml)\n# ((?:src|configs)/\S+)\n(.*?)```", text, re.DOTALL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
        written.append(folder / name)
    return written


@pytest.fixture
def example(tmp_path) -> tuple[str, ...]:
    """The example as a part of the package; returns what a command needs to find its config."""
    assert [path.suffix for path in write_example(tmp_path)] == [".py", ".yaml"]
    autoencoder.models.__path__.append(str(tmp_path / "src" / "autoencoder" / "models"))
    yield (f"hydra.searchpath=[file://{tmp_path}/configs]", "model=conv")
    autoencoder.models.__path__.pop()
    del sys.modules["autoencoder.models.conv"]


def test_it_trains_and_is_evaluated_explored_and_gone_on_with(example, tmp_path):
    run = tmp_path / "run"
    trained = run_train(run, *TINY, *example, "model.channels=3", "model.latent_dim=5")
    best = run / "checkpoints" / "best.ckpt"
    arguments = torch.load(best, weights_only=True)["hyper_parameters"]
    assert arguments == {"latent_dim": 5, "channels": 3, "image_shape": [1, 28, 28]}
    measured = run_evaluate(tmp_path / "again", f"ckpt_path={best}", "metrics=[mse]", "figures=false")
    assert measured["test/mse"] == pytest.approx(trained["test/mse"], rel=1e-6)
    call(explore.explore, f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/page")
    assert (run / "explorer.html").is_file()
    module, _ = restore(best)
    assert module.network.encoder[0].out_channels == 3 and module.latent_dim == 5
    call(train.train, f"resume={run}", "trainer.max_epochs=2")
    assert read_metrics(run)["epochs"] == 2


@pytest.mark.slow
def test_a_checkpoint_of_another_version_of_the_class_is_one_line(example, tmp_path, capfd):
    run = tmp_path / "run"
    run_train(run, *TINY, *example)
    last, best = (run / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    checkpoint = torch.load(last, weights_only=True)
    weights = checkpoint["state_dict"]
    for changed in (
        {name.replace("decoder.0", "decoder.9"): one for name, one in weights.items()},
        {name: one[:1] for name, one in weights.items()},
    ):
        for path in (last, best):
            path.unlink(missing_ok=True)
            torch.save(checkpoint | {"state_dict": changed}, path)
        for main, arguments in (
            (train.train, (f"resume={run}", "trainer.max_epochs=2")),
            (train.train, (*TINY, *example, f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/new")),
            (evaluate.evaluate, (f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/new")),
            (explore.explore, (f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/new")),
        ):
            with pytest.raises(SystemExit):
                call(main, *arguments)
            assert "the current ConvAutoencoder" in "".join(capfd.readouterr())
            assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_it_passes_the_typecheck_the_linter_and_the_tests(tmp_path):
    for name in ("src", "configs", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    write_example(tmp_path)
    example = ["tests/test_configs.py", "tests/cli/test_bad_input.py"]
    for tool in (["mypy"], ["ruff", "check", "."], ["pytest", "-n", "0", "--no-cov", *example]):
        ended = subprocess.run([sys.executable, "-m", *tool], cwd=tmp_path, capture_output=True, encoding="utf-8")
        assert ended.returncode == 0, ended.stdout[-3000:]


class Wide(AutoencoderModule):
    """A subclass that hands everything on, and one argument more."""

    def __init__(self, factor: float = 2.0, **others: object) -> None:
        super().__init__(**others)
        self.factor = factor


def test_a_subclass_notes_what_it_was_made_of():
    assert dict(Wide(latent_dim=3, hidden_dims=(9,)).hparams) == {"factor": 2.0, "latent_dim": 3, "hidden_dims": [9]}
    assert dict(copy.deepcopy(Wide(0.5)).hparams) == {"factor": 0.5}
    assert set(AutoencoderModule(3).hparams) == {"latent_dim", "hidden_dims", "activation", "image_shape"}
    assert plain("sizes", ((1, 2), {"a": None})) == [[1, 2], {"a": None}]
    for value in (torch.nn.ReLU(), torch.nn.ReLU, {1, 2}, b"bytes"):
        with pytest.raises(TypeError, match=r"`factor` is a .*, and a checkpoint holds plain values"):
            Wide(value)


def test_a_class_outside_the_package_is_not_run_from_a_checkpoint(run, tmp_path):
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    for name, message in (
        ("test_contributing.Wide", "is not in the package autoencoder"),
        ("os.system", "is not in the package autoencoder"),
        ("autoencoder.models.conv.Gone", "which does not exist"),
        ("autoencoder.errors.InputError", "which does not exist"),
        ("Gone", "which does not exist"),
    ):
        torch.save(checkpoint | {"model": name}, tmp_path / "other.ckpt")
        with pytest.raises(InputError, match=f"needs the model class {re.escape(name)}, .*{message}"):
            restore(tmp_path / "other.ckpt")
