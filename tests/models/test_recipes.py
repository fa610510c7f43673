"""Each recipe in configs/model leaves a whole run, with all its figures and its page."""

import json
import re

import pytest
from conftest import QUICK, ROOT, read_metrics, run_evaluate, run_train

from autoencoder import load

RECIPES = sorted(path.stem for path in (ROOT / "configs" / "model").glob("*.yaml"))
WITHOUT_SLIDERS = {"vq"}  # whose codebooks the page does not have
NOT_TRACED = {"vq"}  # whose package has branches, so TensorBoard has no graph of it
TINY = (*QUICK, "+trainer.limit_train_batches=20")


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_leaves_a_whole_run(name, tmp_path):
    run_train(tmp_path / "run", *TINY, f"model={name}", "figures=true", "explorer=true")
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    left_out = [line for line in log.splitlines() if "left out" in line]
    assert len(left_out) == (name in NOT_TRACED), left_out
    page = (tmp_path / "run" / "explorer.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert (data["network"] is None) is (name in WITHOUT_SLIDERS)
    assert {path.suffix for path in (tmp_path / "run" / "figures").iterdir()} == {".png", ".pdf"}
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    trained = read_metrics(tmp_path / "run")
    measured = run_evaluate(tmp_path / "again", f"ckpt_path={best}", "figures=false", "metrics=[mse,codes]")
    shared = {key: value for key, value in trained.items() if key in measured and key.startswith(("test/", "val/"))}
    assert {key: measured[key] for key in shared} == pytest.approx(shared, rel=1e-5) and "test/mse" in shared
    assert load(best).latent_dim == trained["latent_dim"]


def test_a_sweep_over_parts_is_one_command(tmp_path):
    from conftest import call

    import train

    parts = "model/bottleneck=identity,variational,fsq"
    call(train.train, "-m", *TINY, "callbacks=light", "views=none", "logger=[]", parts, f"hydra.sweep.dir={tmp_path}")
    table = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert all(name in table for name in ("identity", "variational", "fsq", "model/bottleneck"))
