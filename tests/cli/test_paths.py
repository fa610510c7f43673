"""Paths are taken as people write them: a home as ~, and letters that mean something to Hydra or a shell."""

import shlex
from pathlib import Path

import pytest
from conftest import call, refuse
from hydra.core.override_parser.overrides_parser import OverridesParser

import evaluate
import explore
import train
from autoencoder.paths import assignment, expand_home, expand_homes

ODD = [
    "a=b",
    "a b",
    "grün",
    "日本",
    "it's",
    'a"b',
    "a'b\"c",
    "a,b",
    "a(b)",
    "a[b]",
    "a{b}",
    "a#b",
    "a&b",
    "$x",
    "a\\b",
    "a\\",
]


@pytest.mark.parametrize("name", ["plain", "a/b.ckpt", "a:b", *ODD, "a\\'b", "x\\\\", "~/x"])
def test_a_assignment_reaches_hydra_as_it_was(name):
    [word] = shlex.split(assignment("ckpt_path", name))
    value = OverridesParser.create().parse_override(word).value()
    assert getattr(value, "text", value) == name


def test_a_home_is_put_in_place_of_its_sign(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    words = ["data.data_dir=~/data", 'output="~/a b"', "ckpt_path=~/x,~/y", "paths.log_dir=~", "~scheduler", "+a=b~c"]
    assert expand_homes(words) == [
        *("data.data_dir=/home/me/data", 'output="/home/me/a b"', "ckpt_path=/home/me/x,/home/me/y"),
        *("paths.log_dir=/home/me", "~scheduler", "+a=b~c"),
    ]
    assert expand_home("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


def test_a_command_takes_a_home(tmp_path):
    line = refuse("src/evaluate.py", "ckpt_path=~/no.ckpt", "paths.log_dir=~/logs", HOME=str(tmp_path))
    assert f"ckpt_path={tmp_path}/no.ckpt: there is no such file" in line


@pytest.mark.parametrize("name", ["a=b", "grün", "it's"])
def test_what_hydra_cannot_read_is_answered_with_how_to_quote_it(name, tmp_path):
    line = refuse("src/train.py", "experiment=quick", f"hydra.run.dir={tmp_path}/{name}")
    assert line.endswith(f"to use the value literally: {assignment('hydra.run.dir', f'{tmp_path}/{name}')}")
    assert not list(tmp_path.iterdir())


def test_a_comma_is_answered_with_how_to_quote_it(tmp_path):
    assert "quote the value" in refuse("src/evaluate.py", f"ckpt_path={tmp_path}/a,b")


@pytest.mark.slow
def test_a_run_into_an_oddly_named_folder_is_measured_from_there(tmp_path):
    """Spaces, umlauts, quotes, commas and signs of Hydra's own, in the folder of the run and of the evaluation."""
    folder = tmp_path / "grün, it's a=b (1) #2 [3] & 日本"
    words = shlex.split(assignment("hydra.run.dir", str(folder)))
    settings = ("experiment=quick", "trainer.max_epochs=1", "model.latent_dim=2", "model.network.hidden_dims=[8]")
    call(train.train, *settings, "explorer=true", *words)
    (folder / "explorer.html").unlink()
    checkpoint = shlex.split(assignment("ckpt_path", str(folder / "checkpoints" / "best.ckpt")))
    again = shlex.split(assignment("hydra.run.dir", str(folder / "again")))
    call(evaluate.evaluate, *checkpoint, *again, "metrics=[mse]")
    call(explore.explore, *checkpoint, *again)
    assert (folder / "again" / "metrics.json").is_file() and (folder / "explorer.html").is_file()
    assert (folder / "again" / "figures" / "loss_curves.png").is_file()


TINY = ("experiment=quick", "callbacks=light", "logger=[]", "trainer.max_epochs=1", "+trainer.limit_train_batches=2")


@pytest.mark.parametrize("way", ["inner/../run", pytest.param("link/run/", marks=pytest.mark.slow)])
def test_a_folder_has_one_name_however_it_is_written(way, tmp_path, monkeypatch, capfd):
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    call(train.train, *TINY, f"hydra.run.dir={way}")
    call(train.train, *TINY, f"hydra.run.dir={way}")
    assert "already finished with the same settings" in capfd.readouterr().out
    call(train.train, f"resume={way}", "trainer.max_epochs=2")
    call(
        evaluate.evaluate,
        f"ckpt_path={way}/checkpoints/best.ckpt",
        "hydra.run.dir=again",
        "metrics=[mse]",
        "figures=false",
    )


@pytest.mark.slow
def test_a_sweep_into_a_folder_written_with_dots_has_each_job_once(tmp_path, monkeypatch, capfd):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    call(train.train, *TINY, "seed=0,1", "hydra.sweep.dir=../sweep", "-m")
    rows = [line.split()[:2] for line in capfd.readouterr().out.splitlines() if " seed=" in line and line[:1].isdigit()]
    assert rows == [["0", "seed=0"], ["1", "seed=1"]]
