"""Logs and records hold no environment variable that no config names: it may be a password."""

from pathlib import Path
from zipfile import ZipFile, is_zipfile

import pytest
from conftest import QUICK, call, refuse_here, run_train

import train

SECRET = "secret-8c1d4f"


@pytest.mark.parametrize("reader", ["${oc.env:MY_TOKEN}", "${oc.env:MY_TOKEN,none}", "'${oc.${logger.x}:MY_TOKEN}'"])
def test_a_variable_that_no_config_names_is_not_read(tmp_path, capfd, monkeypatch, reader):
    monkeypatch.setenv("MY_TOKEN", SECRET)
    settings = ("+logger.x=env", f"logger.tensorboard.name={reader}", f"paths.log_dir={tmp_path}")
    line = refuse_here(train.train, capfd, *settings)
    assert line.startswith("error: oc.env:MY_TOKEN would write the environment variable MY_TOKEN into logs and records")
    assert "(DATA_DIR, MLFLOW_TRACKING_URI, PROJECT_ROOT)" in line and SECRET not in line


def contents(folder: Path) -> bytes:
    """Everything in the files of a folder, those in archives included."""
    texts = []
    for path in folder.rglob("*"):
        if path.is_file():
            texts.append(path.read_bytes())
            if is_zipfile(path):
                with ZipFile(path) as archive:
                    texts += [archive.read(name) for name in archive.namelist()]
    return b"\n".join(texts)


@pytest.mark.parametrize("much", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_leaves_no_variable_in_its_files(tmp_path, monkeypatch, capfd, much):
    """Nor do the explorer and a sweep, one of whose jobs is refused."""
    monkeypatch.setenv("MY_TOKEN", SECRET)
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "a_named_one"))
    small = (*QUICK, "+trainer.limit_train_batches=2", "logger=[tensorboard,csv]", "views=none")
    lighter = [f"callbacks.description.{part}=false" for part in ("graph", "projector")]
    more = ["explorer=true"] if much else lighter
    run_train(tmp_path / "run", *small, *more)
    if much:
        with pytest.raises(SystemExit):
            call(train.train, "-m", *small, "seed=0,-1", f"hydra.sweep.dir={tmp_path}/sweep")
    said = "".join(capfd.readouterr()).encode()
    for text in (contents(tmp_path), said):
        assert SECRET.encode() not in text and b"MY_TOKEN" not in text
    assert b"a_named_one" in contents(tmp_path / "run")  # so a variable would be found
