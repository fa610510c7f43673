"""Lets optional outputs fail without ending a run: a view, a figure, a page."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def left_out_if_it_fails(name: str) -> Iterator[None]:
    """Catches any error inside and logs a one-line warning that says what is missing, and why.

    The traceback is logged at the level DEBUG, which `hydra.verbose=true` writes into the run's log.

    Args: name, of the output, for instance `reconstructions.png`.
    """
    try:
        yield
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        log.warning("%s is left out: %s", name, cause)
        log.debug("the traceback of %s", name, exc_info=True)
