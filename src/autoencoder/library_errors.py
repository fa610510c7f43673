"""Which errors Lightning raises on purpose: sentences for its user, not signs of a bug."""

import linecache
import traceback

LIBRARIES = ("lightning", "lightning_utilities", "pytorch_lightning")
KINDS = (ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError, ImportError)


def said_by_lightning(error: BaseException) -> str | None:
    """What Lightning says in an error of its own, with the group of the config that it speaks of; None for others.

    Its own are raised by a `raise` statement in its code; what merely goes wrong there may well be a bug of ours.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    if not isinstance(error, KINDS) or not frames:
        return None
    frame, line = frames[-1]
    module = str(frame.f_globals.get("__name__", ""))
    statement = linecache.getline(frame.f_code.co_filename, line).strip()
    if module.partition(".")[0] not in LIBRARIES or not statement.startswith("raise "):
        return None
    return f"{'callbacks' if '.callbacks.' in module else 'trainer'}: {error}"
