"""Recognises errors that Lightning raises on purpose, as messages to its user."""

import linecache
import traceback
from types import FrameType

LIBRARIES = ("lightning", "lightning_utilities", "pytorch_lightning")
KINDS = (ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError, ImportError)


def said_by_lightning(error: BaseException) -> str | None:
    """The message of an error that Lightning raised on purpose, after the config group it is about; None for others.

    On purpose means by a `raise` statement in its code; any other error there may be a bug of ours.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    if any(_is_restoring(frame) for frame, _ in frames):
        return f"the checkpoint's state does not fit this run ({type(error).__name__}: {error}): start a new run"
    if not isinstance(error, KINDS) or not frames:
        return None
    if lacking := _lacked_by_the_module(error, frames):
        return lacking
    frame, line = frames[-1]
    module = str(frame.f_globals.get("__name__", ""))
    statement = linecache.getline(frame.f_code.co_filename, line).strip()
    if module.partition(".")[0] not in LIBRARIES or not statement.startswith("raise "):
        return None
    return f"{'callbacks' if '.callbacks.' in module else 'trainer'}: {error}"


def _is_restoring(frame: FrameType) -> bool:
    """Whether Lightning restores the state of a checkpoint in this frame."""
    connector = str(frame.f_globals.get("__name__", "")).endswith("trainer.connectors.checkpoint_connector")
    return connector and frame.f_code.co_name.startswith(("resume_start", "restore", "_restore"))


def _lacked_by_the_module(error: BaseException, frames: list[tuple[FrameType, int]]) -> str | None:
    """The message if a Lightning callback needs an attribute that our module lacks, such as a backbone; else None."""
    if not isinstance(error, AttributeError) or "Module' object has no attribute" not in str(error):
        return None
    for frame, _ in reversed(frames):
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("lightning.pytorch.callbacks."):
            return f"callbacks: {type(frame.f_locals.get('self')).__name__} is for other models: {error}"
        if not name.startswith("torch."):
            return None
    return None
