"""What may fail without ending a run: a view, a picture, a page."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def left_out_if_it_fails(name: str) -> Iterator[None]:
    """Goes on where what is inside fails: a warning of one line says what is missing, and why.

    The traceback is logged at the level DEBUG, which `hydra.verbose=true` writes into the run's log.

    Args: name, of what is then missing, `reconstructions.png`.
    """
    try:
        yield
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        log.warning("%s is left out: %s", name, cause)
        log.debug("the traceback of %s", name, exc_info=True)
