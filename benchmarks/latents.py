"""Measures latents and samples of a sweep's best checkpoints: `python benchmarks/latents.py SWEEP > latents.csv`.

A row per finished run: its error and bits, the accuracy of nearest neighbours and of a linear probe on its latents, and
the Fréchet distance of 10,000 generated images from the test images, in PCA features.
"""

import argparse
import csv
import os
import sys
from multiprocessing import get_context
from typing import Any

from autoencoder.runs.jobs import Job, find_jobs

SETTINGS = ("model/bottleneck", "model.latent_dim", "seed")
METRICS = ("knn_accuracy", "probe_accuracy")
SAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweep", help="its folder; MNIST must be found as in the sweep")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at once (default: one per core)")
    arguments = parser.parse_args()
    jobs = [job for job in find_jobs(arguments.sweep) if job.status == "finished"]
    table: csv.DictWriter[str] | None = None
    with get_context("spawn").Pool(arguments.jobs) as pool:
        for row in pool.imap(measure, jobs):
            if table is None:
                table = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
                table.writeheader()
            table.writerow(row)
            sys.stdout.flush()


def measure(job: Job) -> dict[str, Any]:
    """The settings and metrics of one run; takes half a minute on one thread."""
    import torch

    from autoencoder.evaluation import generation
    from autoencoder.evaluation.outputs import Outputs
    from autoencoder.metrics import METRICS as TABLE
    from autoencoder.runs.checkpoints import restore

    torch.set_num_threads(1)
    module, datamodule = restore(job.folder / "checkpoints" / "best.ckpt")
    outputs = Outputs(module, datamodule.images)
    row: dict[str, Any] = {name: job.value(name) for name in SETTINGS}
    row |= {name: job.metrics.get(name, "") for name in ("test/mse", "test/bits_per_image")}
    splits = [outputs.on("train").labelled_latents, outputs.on("val").labelled_latents, outputs.labelled_latents]
    row |= {f"test/{name}": TABLE[name].function(*splits) for name in METRICS}
    latents, row["source"] = generation.sample_latents(outputs, SAMPLES)
    return row | generation.measure_generated(outputs, latents, ["pca_frechet"])


if __name__ == "__main__":
    main()
