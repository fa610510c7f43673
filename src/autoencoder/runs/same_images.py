"""Restores the models of several jobs on the same images, for pictures that compare their reconstructions."""

import logging
from collections.abc import Collection, Iterator, Sequence

from autoencoder.data.images import ImageSet
from autoencoder.errors import InputError
from autoencoder.evaluation.outputs import Outputs
from autoencoder.runs.checkpoints import read_checkpoint, restore, trained_data
from autoencoder.runs.job_values import checkpoint_of
from autoencoder.runs.jobs import Job
from autoencoder.runs.model_of_checkpoint import build_model

log = logging.getLogger(__name__)

MOST_JOBS = 24  # rows of a picture
IDENTITY = ("dataset", "test_images", "fingerprint")  # of a checkpoint's images


def spread_by_rank(jobs: Sequence[Job], count: int = MOST_JOBS) -> list[Job]:
    """At most `count` of the jobs, evenly spaced, with the first and the last."""
    if len(jobs) <= count:
        return list(jobs)
    return [jobs[round(place * (len(jobs) - 1) / (count - 1))] for place in range(count)]


def on_same_images(jobs: Sequence[Job], allow_packages: Collection[str] = ()) -> Iterator[tuple[Job, Outputs]]:
    """The jobs with their models' outputs on the test images of the first that can be restored.

    A job of other images, or whose checkpoint cannot be restored, is left out with a warning.
    """
    images: ImageSet | None = None
    identity: dict[str, object] = {}
    for job in jobs:
        path = checkpoint_of(job) or ""
        try:
            checkpoint = read_checkpoint(path)
            own = {key: trained_data(checkpoint).get(key) for key in IDENTITY}
            if images is None:
                module, datamodule = restore(path, allow_packages=allow_packages)
                images, identity = datamodule.images, own
            elif own != identity:
                raise InputError(f"its images are other ones, of {own['dataset']}")
            else:
                module = build_model(path, checkpoint, allow_packages)
        except InputError as error:
            log.warning("comparison.png is without job %s: %s", job.name, error)
            continue
        yield job, Outputs(module, images)
