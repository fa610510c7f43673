"""How many threads the mathematics uses where more than one would only wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, or in a function that it decorates, torch computes in one thread; after it, in as many as before.

    For thousands of small operations in a row: where another program runs as well, threads that meet after each
    of them can take ten times as long as one alone; on two idle cores they would save some tenths of a second.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
