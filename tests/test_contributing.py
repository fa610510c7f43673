"""CONTRIBUTING's worked example, done to the letter: it trains, and its checkpoints are taken everywhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import lightning
import pytest
import torch
from conftest import QUICK, ROOT, call, read_metrics, refuse_here, run_evaluate, run_train

import evaluate
import explore
import export
import report
import train
from autoencoder.errors import InputError
from autoencoder.models.module import AutoencoderModule
from autoencoder.runs.checkpoints import load, restore

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
def example(tmp_path, monkeypatch) -> tuple[str, ...]:
    """The example in a folder of its own; returns what a command needs to find its config."""
    assert [path.suffix for path in write_example(tmp_path)] == [".py", ".yaml"]
    monkeypatch.syspath_prepend(tmp_path / "src")
    yield (
        f"hydra.searchpath=[file://{tmp_path}/configs]",  # not the checkout's own configs: the class must be allowed
        "model/bottleneck=binary",
        "allow_targets=[my_bottlenecks]",
    )
    del sys.modules["my_bottlenecks"]


def test_it_trains_is_evaluated_explored_loaded_and_resumed(example, tmp_path, capfd):
    run, allowed = tmp_path / "run", "allow_packages=[my_bottlenecks]"
    trained = run_train(run, *TINY, *example, "model.bottleneck.slope=2.0", "model.latent_dim=5")
    assert trained["test/bits_per_image"] == 5 and 1 <= trained["test/perplexity"] <= 2
    best = run / "checkpoints" / "best.ckpt"
    saved = torch.load(best, weights_only=True)["hyper_parameters"]
    assert saved["bottleneck"] == {"_target_": "my_bottlenecks.Binary", "slope": 2.0}
    measured = run_evaluate(tmp_path / "again", f"ckpt_path={best}", "metrics=[mse]", "figures=false", allowed)
    assert measured["test/mse"] == pytest.approx(trained["test/mse"], rel=1e-6)
    call(explore.explore, f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/page", allowed)
    assert (run / "explorer.html").is_file()
    call(export.export, f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/log", allowed)
    for path in (best, run / "export" / "model.safetensors"):
        module = load(path, allow_packages=["my_bottlenecks"])
        assert module.encode(torch.rand(3, 1, 28, 28)).unique().tolist() == [-1, 1]
    capfd.readouterr()
    longer = (f"resume={run}", "trainer.max_epochs=2")
    line = refuse_here(train.train, capfd, *longer)  # what a run's folder allows counts for nothing
    assert "model.bottleneck._target_ names my_bottlenecks.Binary; it may" in line and line.endswith(example[-1])
    call(train.train, *longer, example[-1])
    assert read_metrics(run)["epochs"] == 2
    capfd.readouterr()
    for main in (evaluate.evaluate, explore.explore, export.export):
        message = refuse_here(main, capfd, f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/refused")
        assert (
            message.endswith(
                f"needs the class my_bottlenecks.Binary of another package: if you trust that, allow it with {allowed}"
            )
            and not (tmp_path / "refused").exists()
        )


def test_a_sweep_over_it_is_compared(example, tmp_path, capfd):
    searched, _, allowed = example
    parts = "model/bottleneck=identity,binary"
    call(train.train, "-m", *TINY, searched, parts, allowed, f"hydra.sweep.dir={tmp_path}/sweep")
    assert (tmp_path / "sweep" / "comparison.png").is_file()
    assert "job,model/bottleneck,seed,status" in (tmp_path / "sweep" / "summary.csv").read_text(encoding="utf-8")
    output = f"hydra.run.dir={tmp_path}/report"
    call(report.report, f"runs={tmp_path}/sweep", output)
    assert (
        "comparison.png is without job 1: " in "".join(capfd.readouterr())
        and not (tmp_path / "report" / "comparison.png").exists()
    )
    call(report.report, f"runs={tmp_path}/sweep", output, "allow_packages=[my_bottlenecks]")
    assert (tmp_path / "report" / "comparison.png").is_file()


class Wider(AutoencoderModule):
    """A subclass with an argument of its own."""

    def __init__(self, factor: float = 2.0, **others: object) -> None:
        super().__init__(**others)
        self.save_hyperparameters("factor", logger=False)
        self.factor = factor


def test_a_subclass_saves_its_own_arguments(tmp_path):
    module = Wider(0.5, latent_dim=3)
    assert module.hparams["factor"] == 0.5 and module.hparams["latent_dim"] == 3
    saved = {"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}
    torch.save(saved | {"pytorch-lightning_version": lightning.__version__}, tmp_path / "one.ckpt")
    assert Wider.load_from_checkpoint(tmp_path / "one.ckpt").factor == 0.5


@pytest.mark.slow
def test_a_checkpoint_of_another_version_of_a_part_is_one_line(tmp_path, capfd):
    run = tmp_path / "run"
    run_train(run, *TINY)
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
            (train.train, (*TINY, f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/new")),
            (evaluate.evaluate, (f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/new")),
            (explore.explore, (f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/new")),
        ):
            with pytest.raises(SystemExit):
                call(main, *arguments)
            assert "the current AutoencoderModule" in "".join(capfd.readouterr())
            assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_it_passes_the_typecheck_the_linter_and_the_tests(tmp_path):
    for name in ("src", "configs", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    write_example(tmp_path)
    example = ["tests/test_configs.py", "tests/models/test_parts.py", "tests/cli/test_bad_input.py"]
    for tool in (["mypy"], ["ruff", "check", "."], ["pytest", "-n", "0", "--no-cov", *example]):
        ended = subprocess.run([sys.executable, "-m", *tool], cwd=tmp_path, capture_output=True, encoding="utf-8")
        assert ended.returncode == 0, ended.stdout[-3000:]


def test_a_class_outside_the_package_is_not_run_from_a_checkpoint(run, tmp_path):
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    for name, message in (
        ("test_contributing.Wider", "of another package: if you trust that, allow it with allow_packages="),
        ("os.system", "of another package: if you trust that, allow it with allow_packages="),
        ("autoencoder.models.conv.Gone", "which does not exist"),
        ("autoencoder.errors.InputError", "which does not exist"),
        ("Gone", "which does not exist"),
    ):
        torch.save(checkpoint | {"model": name}, tmp_path / "other.ckpt")
        with pytest.raises(InputError, match=f"needs the (model )?class {re.escape(name)},? .*{message}"):
            restore(tmp_path / "other.ckpt")
