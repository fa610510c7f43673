"""What the tests share: real digits, IDX files, and runs of the entry points."""

import gzip
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import bare_environment  # noqa: F401  before lightning
import numpy as np
import pytest
import torch

import evaluate
import train
from autoencoder import ImageDataModule
from autoencoder.cli.errors import one_line_errors

# One thread: the networks are small, and two threads wait for each other where something else runs as well.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# Whose warnings fail a test. What other packages say of each other, where more is installed than is needed, is shown.
CHECKED = (
    *("__main__", "_pytest", "autoencoder", "conftest", r"test_\w*"),
    *("train", "evaluate", "explore", "export", "generate", "predict", "report"),
    *("hydra", "lightning", "matplotlib", "numpy", "omegaconf", "pydantic", "sklearn", "tensorboard", r"torch\w*"),
)

ROOT = Path(__file__).parents[1]
os.environ["PROJECT_ROOT"] = str(ROOT)
QUICK = ("experiment=quick", "trainer.max_epochs=1")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
)


OWN_MODULES = {path.stem for path in Path(__file__).parent.rglob("*.py")}


def pytest_configure(config: pytest.Config) -> None:
    for category in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning", "UserWarning"):
        config.addinivalue_line("filterwarnings", rf"default::{category}:(?!({'|'.join(CHECKED)})\b)")


@pytest.fixture(scope="session")
def digits() -> ImageDataModule:
    """The 5,000 digits that need no download."""
    datamodule = ImageDataModule(dataset="mnist_5k", val_size=500, batch_size=64)
    datamodule.setup()
    return datamodule


def write_idx(path: Path, array: np.ndarray) -> None:
    """Writes uint8 values as an IDX file, gzipped if the name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_dataset(raw: Path, suffix: str = "", train: int = 60, test: int = 20) -> None:
    """Writes a small data set in MNIST's format: noise, with labels 0 to 9."""
    random = np.random.default_rng(0)
    for name, count in (("train", train), ("t10k", test)):
        write_idx(raw / f"{name}-images-idx3-ubyte{suffix}", random.integers(0, 256, (count, 28, 28)))
        write_idx(raw / f"{name}-labels-idx1-ubyte{suffix}", np.arange(count) % 10)


def allowing(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, with `allow_targets` before the first that names a class of the tests' own."""
    modules = [OWN_MODULES & set(re.findall(r"_target_[=:] ?(\w+)\.", word)) for word in arguments]
    named = sorted(set().union(*modules))
    first = next((place for place, own in enumerate(modules) if own), 0)
    return [*arguments[:first], *([f"allow_targets=[{','.join(named)}]"] if named else []), *arguments[first:]]


def call(main: Callable[[], object], *arguments: str) -> None:
    """Calls an entry point as its command would, in this process."""
    before = sys.argv
    sys.argv = [main.__module__ + ".py", *allowing(arguments)]
    try:
        with one_line_errors():
            main()
    finally:
        sys.argv = before


def run_train(folder: Path, *overrides: str) -> dict[str, object]:
    """One run into `folder`; returns its metrics."""
    call(train.train, f"hydra.run.dir={folder}", *overrides)
    return read_metrics(folder)


def run_evaluate(folder: Path, *overrides: str) -> dict[str, object]:
    """One evaluation into `folder`; returns its metrics."""
    call(evaluate.evaluate, f"hydra.run.dir={folder}", *overrides)
    return read_metrics(folder)


def read_metrics(folder: Path) -> dict[str, object]:
    """A run's metrics.json."""
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `python ARGUMENTS` in the checkout as a user would."""
    return subprocess.run(
        [sys.executable, *allowing(arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def refuse(script: str, *overrides: str, **environment: str) -> str:
    """Runs the command; returns the one line with which it refused."""
    result = command(script, *overrides, **environment)
    assert result.returncode not in (0, 124), result.stdout
    lines = (result.stdout + result.stderr).strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def refuse_here(main: Callable[[], object], capfd: pytest.CaptureFixture[str], *overrides: str) -> str:
    """The same in this process, which takes a tenth of the time."""
    own, logging.root.handlers = logging.root.handlers, []  # pytest's: a command has none until Hydra sets them up
    try:
        with pytest.raises(SystemExit) as stopped:
            call(main, *overrides)
    finally:
        for handler in logging.root.handlers:
            handler.close()
        for handler in [one for one in own if isinstance(one, logging.FileHandler)]:
            own.remove(handler)  # of a former command; closed, it would be opened again for the next line
            handler.close()
        logging.root.handlers = own
    assert stopped.value.code == 1
    out, err = capfd.readouterr()
    lines = (out + err).strip().splitlines()
    assert len(lines) == 1 and "error: " in lines[0], lines
    return lines[0]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished quick run of three epochs, to look at but not to change."""
    folder = tmp_path_factory.mktemp("runs") / "quick"
    run_train(folder, "experiment=quick", "trainer.max_epochs=3", "model.latent_dim=8")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Chromium, with every host unknown to it."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="a page in a browser needs selenium: make setup")
    driver = shutil.which("chromedriver")
    if not CHROMIUM or not driver:
        pytest.skip("a page needs a browser and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()
