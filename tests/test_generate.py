"""Generation needs the checkpoint alone, and writes images, latents, a picture and metrics, the same for one seed."""

import numpy as np
import pytest
import torch
from conftest import QUICK, call, read_metrics, refuse_here, run_train

import generate
from autoencoder.evaluation import generation
from autoencoder.metrics import GENERATED
from autoencoder.pictures.panel_figures import draw_grid
from autoencoder.runs.checkpoints import load

FILES = {"samples.png", "samples.npy", "latents.npy", "report.md", "metrics.json"}
FEW = ("mixture_components=2", "metric_images=50")


@pytest.fixture(scope="module")
def vae(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("vae") / "run"
    run_train(folder, *QUICK, "model=vae", "model.latent_dim=4", "+trainer.limit_train_batches=20")
    return f"ckpt_path={folder}/checkpoints/best.ckpt"


@pytest.fixture
def best(run) -> str:
    return f"ckpt_path={run}/checkpoints/best.ckpt"


def run_generate(folder, *overrides) -> dict[str, object]:
    call(generate.generate, f"hydra.run.dir={folder}", *overrides)
    return read_metrics(folder)


def test_a_mixture_where_there_is_no_prior(best, tmp_path, capfd):
    metrics = run_generate(tmp_path, best, "n=10", *FEW)
    assert metrics["source"] == "mixture" and metrics["mixture_components"] == 2 and metrics["n"] == 10
    assert metrics["metric_images"] == 50 and metrics["pca_features"] == 64 and metrics["dataset"] == "mnist_5k"
    measured = {f"{prefix}{name}" for prefix in ("generated/", "train/") for name in GENERATED}
    assert {name for name in metrics if "/" in name} == measured
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"generate.log", ".hydra"}
    samples, latents = np.load(tmp_path / "samples.npy"), np.load(tmp_path / "latents.npy")
    assert samples.shape == (10, 1, 28, 28) and samples.dtype == np.uint8
    assert latents.shape == (10, 8) and latents.dtype == np.float32
    with torch.no_grad():
        images = load(best.removeprefix("ckpt_path=")).decode(torch.from_numpy(latents))
    assert (torch.from_numpy(samples) / 127.5 - 1 - images).abs().max() < 0.5 / 127.5 + 1e-5
    out, report = capfd.readouterr().out, (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "10 images from a mixture of 2 Gaussians fitted to training images" in out and "not FID" in report
    for name, row in GENERATED.items():
        value = format(metrics[f"generated/{name}"], row.digits)
        assert row.heading in out and value in out
        assert any(row.label in line and value in line for line in report.splitlines())


def test_the_prior_where_there_is_one(vae, tmp_path, capfd):
    metrics = run_generate(tmp_path, vae, "n=3", *FEW)
    assert metrics["source"] == "prior" and metrics["mixture_components"] is None
    assert "3 images from the prior" in capfd.readouterr().out
    assert run_generate(tmp_path / "mixture", vae, "n=3", "source=mixture", *FEW)["source"] == "mixture"


@pytest.mark.parametrize("source", ["prior", "mixture"])
def test_a_seed_gives_the_same_files(vae, tmp_path, source):
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        run_generate(tmp_path / name, vae, "n=5", f"source={source}", f"seed={seed}", *FEW)
    for name in FILES:
        one, two, other = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two", "other"))
        assert one == two != other or name == "report.md"


def test_without_metrics_there_are_images_alone(best, tmp_path, capfd):
    metrics = run_generate(tmp_path, best, "n=1", "mixture_components=1", "metric_images=0")
    assert not any("/" in name for name in metrics) and metrics["metric_images"] == 0
    assert "1 image from a Gaussian fitted to training images" in capfd.readouterr().out
    assert np.load(tmp_path / "samples.npy").shape == (1, 1, 28, 28)


def test_no_more_is_measured_than_the_record_says(vae, tmp_path, monkeypatch):
    measure, counts = generation.measure_generated, []

    def counted(outputs, latents):
        counts.append(len(latents))
        return measure(outputs, latents)

    monkeypatch.setattr(generation, "measure_generated", counted)
    for n in (5, 60):
        assert run_generate(tmp_path / str(n), vae, f"n={n}", *FEW)["metric_images"] == 50
    assert counts == [50, 50] and len(np.load(tmp_path / "60" / "latents.npy")) == 60


@pytest.mark.parametrize(("count", "lines"), [(7, 1), (30, 2)])
def test_the_picture_shows_the_images_row_by_row(count, lines, monkeypatch):
    monkeypatch.setattr("autoencoder.pictures.panel_figures.MOST_IN_GRID", 9)
    pixels = torch.zeros(count, 3, 5, 5, dtype=torch.uint8)
    pixels[:, 0] = torch.arange(count).mul(20).clamp(max=200)[:, None, None]
    figure = draw_grid(pixels, "title")
    shown = figure.axes[0].images[0].get_array()[2::5, 2::5]  # [3, 3, RGB], the centre of each image
    few = min(count, 9)
    assert shown.reshape(9, 3)[:few, 0].tolist() == pixels[:few, 0, 0, 0].tolist()
    assert (shown.reshape(9, 3)[few:] == 255).all()
    assert len(figure.get_suptitle().splitlines()) == lines


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("n=0", "n must be greater than 0, got 0"),
        ("n=2.5", "n must be a valid integer, got 2.5"),
        ("n=1000000000000", "n=1000000000000: so many images need"),
        ("seed=-1", "seed must be greater than or equal to 0, got -1"),
        ("source=noise", "source must be 'auto', 'prior' or 'mixture', got 'noise'"),
        ("source=prior", "the bottleneck Identity has no prior to sample from: set source=mixture"),
        ("mixture_components=0", "mixture_components must be greater than 0, got 0"),
        ("mixture_components=5000", "mixture_components must be at most 4000, the number of training images, got 5000"),
        ("metric_images=-1", "metric_images must be greater than or equal to 0, got -1"),
        ("model=vae", "model is a setting of train.py; here it comes from the checkpoint"),
        ("ckpt_path=/no/such.ckpt", "ckpt_path=/no/such.ckpt: there is no such file"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(best, override, message, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("sys.argv", ["generate.py"])
    line = refuse_here(generate.generate, capfd, best, override, f"hydra.run.dir={tmp_path}/out")
    assert message in line and not (tmp_path / "out").exists()


def test_parts_of_other_packages_need_to_be_allowed(best, tmp_path, capfd):
    saved = torch.load(best.removeprefix("ckpt_path="), weights_only=True)
    saved["hyper_parameters"]["bottleneck"] = {"_target_": "their_package.Bottleneck"}
    torch.save(saved, tmp_path / "foreign.ckpt")
    out = f"hydra.run.dir={tmp_path}/out"
    line = refuse_here(generate.generate, capfd, f"ckpt_path={tmp_path}/foreign.ckpt", out)
    assert "allow it with allow_packages=[their_package]" in line and not (tmp_path / "out").exists()
