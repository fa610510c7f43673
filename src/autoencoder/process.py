"""How a command starts and ends fast: no search for garbage while it imports, no teardown of what it imported.

Of the seconds that `import lightning` takes, the garbage collector has a fifth: it walks over all objects again and
again, of which none is garbage. Taking them apart at the interpreter's end, one by one, takes a second more.
"""

import atexit
import gc
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BUFFERED = (io.TextIOWrapper, io.BufferedWriter)  # what a file open for writing is made of


@contextmanager
def short_process() -> Iterator[None]:
    """Around a command's main function: garbage is kept until `imports_done`, and the process ends without teardown.

    It ends after all exit handlers registered since, with its logs closed and all files flushed that were opened after
    `imports_done`; a bug, or Ctrl-C, ends it in Python's own way.
    """
    code: int | None = None

    def leave() -> None:
        if code is None:
            gc.unfreeze()
            return
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr, *(thing for thing in gc.get_objects() if type(thing) in BUFFERED)):
            if not stream.closed:
                stream.flush()
        os._exit(code)

    gc.disable()
    atexit.register(leave)
    try:
        yield
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        raise


def imports_done() -> None:
    """Within `short_process`, collects garbage from now on, but never looks at what was imported; else does nothing."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
