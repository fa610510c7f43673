"""A run of hundreds of epochs uses no more memory, files or log than a short one; a signal ends it within seconds."""

import json
import os
import signal
import sys
import time

import pytest
from conftest import ROOT, command, read_metrics
from test_kills import start

SETTLED = 5  # epochs after which nothing grows any more
MEGABYTE = 2**20


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_300_epochs_use_no_more_than_5(tmp_path):
    path = os.pathsep.join(str(ROOT / name) for name in ("tests", "src"))
    notes = tmp_path / "notes.jsonl"
    ended = command(
        *("src/train.py", "experiment=quick", "data.batch_size=200", "trainer.max_epochs=300"),
        *(f"+callbacks.footprint={{_target_: footprint.Footprint, path: {notes}}}", f"hydra.run.dir={tmp_path}/run"),
        PYTHONPATH=path,
        OMP_NUM_THREADS="1",
    )
    assert ended.returncode == 0, ended.stderr
    rows = [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 300
    settled, last = rows[SETTLED], rows[-1]
    assert last["bytes"] - settled["bytes"] < 20 * MEGABYTE
    assert last["files"] == settled["files"]
    assert (tmp_path / "run" / "train.log").stat().st_size < 300 * 100


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 138)])
def test_a_signal_ends_the_default_model_within_five_seconds(name, code, tmp_path):
    run = tmp_path / "run"
    process = start(run, "data=mnist_5k", "trainer.max_epochs=1000")
    while not (run / "checkpoints" / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.05)
    told = time.monotonic()
    process.send_signal(signal.Signals[name])
    assert process.wait(timeout=60) == code, (tmp_path / "run.txt").read_text(encoding="utf-8")
    assert time.monotonic() - told < 5
    assert read_metrics(run)["status"] == "interrupted"
