"""Times `src/report.py` on thousands of runs: `python benchmarks/reports.py`; prints a row for each kind of report.

One real run is trained, and its files are copied with other seeds, latent dimensions, learning rates and errors.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
LATENT_DIMS = (2, 4, 8, 16, 32, 64, 128, 256)
LEARNING_RATES = [1e-4 * 2**step for step in range(10)]
SEEDS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="how many folders (default: 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each report is written (default: 3)")
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        original, sweep = Path(scratch, "run"), Path(scratch, "sweep")
        call("src/train.py", "experiment=quick", "trainer.max_epochs=1", "logger=[]", f"hydra.run.dir={original}")
        for number in range(arguments.runs):
            copy_run(original, sweep / str(number), number)
        (sweep / "multirun.yaml").touch()
        print(f"{arguments.runs} runs, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print("| report | seconds, least | most |\n| --- | --: | --: |")
        for comparison in ("false", "true"):
            words = ("src/report.py", f"runs={sweep}", f"comparison={comparison}")
            seconds = [call(*words) for _ in range(arguments.rounds)]
            print(f"| comparison={comparison} | {min(seconds):.1f} | {max(seconds):.1f} |", flush=True)


def copy_run(original: Path, copy: Path, number: int) -> None:
    """Copies a run with other settings and errors; its checkpoint is linked."""
    rest, seed = divmod(number, SEEDS)
    latent_dim, lr = LATENT_DIMS[rest % 8], LEARNING_RATES[rest // 8 % 10]
    (copy / ".hydra").mkdir(parents=True)
    (copy / "checkpoints").mkdir()
    config = (original / ".hydra" / "config.yaml").read_text(encoding="utf-8")
    for key, value in (("latent_dim", latent_dim), ("seed", seed), ("lr", lr)):
        config = re.sub(rf"^(\s*{key}:) \S+", rf"\1 {value!r}", config, count=1, flags=re.MULTILINE)
    (copy / ".hydra" / "config.yaml").write_text(config, encoding="utf-8")
    words = [f"- model.latent_dim={latent_dim}", f"- optimizer.lr={lr}", f"- seed={seed}"]
    (copy / ".hydra" / "overrides.yaml").write_text("\n".join(words), encoding="utf-8")
    metrics = json.loads((original / "metrics.json").read_text(encoding="utf-8"))
    error = 0.3 / latent_dim**0.5 * random.Random(number).uniform(0.9, 1.1)
    metrics |= {"seed": seed, "latent_dim": latent_dim, "val/mse": error, "test/mse": error}
    (copy / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    (copy / "train.log").write_bytes((original / "train.log").read_bytes())
    (copy / "checkpoints" / "best.ckpt").hardlink_to(original / "checkpoints" / "best.ckpt")


def call(*words: str) -> float:
    """Runs a command of the project; returns the seconds that it took."""
    start = time.perf_counter()
    environment = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *words], cwd=ROOT, env=os.environ | environment, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
