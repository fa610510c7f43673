"""Times a sweep of four jobs, one after the other and side by side: `python benchmarks/sweeps.py`; prints a row each.

Each job trains for about a minute. The rows share a round, so that they see the same machine.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
JOBS = ("experiment=quick", "callbacks=light", "views=none", "logger=[]", "model.latent_dim=4,8,16,32")
WAYS = {  # what it is: the number of threads, further overrides
    "one after the other, 1 thread": (1, ()),
    "side by side, 1 thread each": (1, ("hydra/launcher=parallel",)),
    "one after the other, 2 threads": (2, ()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=120, help="of each job (default: 120)")
    parser.add_argument("--rounds", type=int, default=1, help="how often each way is timed (default: 1)")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {arguments.epochs} epochs a job")
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way, (threads, more) in WAYS.items():
            seconds[way].append(sweep(threads, (*JOBS, f"trainer.max_epochs={arguments.epochs}", *more)))
    least = {way: min(times) for way, times in seconds.items()}
    first, _, third = least
    print("| four jobs | seconds, least | most | of 1 thread | of 2 threads |\n| --- | --: | --: | --: | --: |")
    for way, times in seconds.items():
        ratios = " | ".join(f"{least[way] / least[base]:.2f}" for base in (first, third))
        print(f"| {way} | {min(times):.0f} | {max(times):.0f} | {ratios} |")


def sweep(threads: int, overrides: tuple[str, ...]) -> float:
    """Seconds that a sweep takes, from the command to its report."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with TemporaryDirectory() as folder:
        words = [sys.executable, "src/train.py", "-m", *overrides, f"hydra.sweep.dir={folder}/sweep"]
        begun = time.perf_counter()
        subprocess.run(words, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun


if __name__ == "__main__":
    main()
