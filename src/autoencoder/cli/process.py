"""Starts and exits commands faster: no garbage collection during imports, no teardown at exit.

The garbage collector takes a fifth of the time of `import lightning`: it visits all objects again and again and finds
nothing to free. Destroying the objects one by one when the interpreter exits takes another second.
"""

import atexit
import gc
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from autoencoder.cli.errors import EarlyStop, missing_group

OPTIONS = (  # Hydra's, but for --experimental-rerun, which unpickles a file
    *("--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun", "--info"),
    *("--shell-completion", "--config-path", "--config-name", "--config-dir"),
)


@contextmanager
def short_process() -> Iterator[None]:
    """Wraps a command's main function: no garbage collection until `imports_done`, and no teardown at exit.

    The process exits after running the exit handlers registered inside and closing its logs; other files must be closed
    by their owners. After a bug or Ctrl-C, Python exits as usual.
    """
    code: int | None = None

    def leave() -> None:
        if code is None:
            gc.unfreeze()
            return
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            if stream and not stream.closed:  # None if it was closed when the command started
                stream.flush()
        os._exit(code)

    logging.raiseExceptions = False  # no traceback for each line that a closed console refuses
    write_in_any_encoding()
    outlive_readers()
    EarlyStop.watch()
    gc.disable()
    atexit.register(leave)
    try:
        yield
        ignore_ctrl_c()
        code = 0
    except SystemExit as stop:
        ignore_ctrl_c()
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if EarlyStop.signum is not None:  # exit handlers of half-imported modules fail
            leave()
        raise


def ignore_ctrl_c() -> None:
    """Ignores Ctrl-C from now on, so that exit handlers can finish."""
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def options_first(arguments: Sequence[str]) -> list[str]:
    """A command's arguments with `-m` moved to the front, since Hydra's parser rejects settings on both sides of it.

    Raises: SystemExit with a one-line message for a word without `=`, for a setting written as an option,
        `--max_epochs=3`, and for `~hydra`, with which Hydra would create a folder elsewhere before any check.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        takes_value = before.startswith("-") and before not in ("-m", "--multirun")
        if not takes_value and "=" not in argument and not argument.startswith(("-", "~")):
            key = "runs" if Path(sys.argv[0]).name == "report.py" else "ckpt_path"
            raise SystemExit(f"error: {argument!r} is not a setting: write KEY=VALUE, such as {key}={argument}")
        if argument == "~hydra":
            raise SystemExit(f"error: {missing_group('hydra')}")
        name = argument.partition("=")[0]
        if name.startswith("--") and not any(option.startswith(name) for option in OPTIONS):
            setting = argument.lstrip("-").replace("-", "_") + "=VALUE" * ("=" not in argument)
            raise SystemExit(f"error: there is no option {name}: settings have no dashes, write {setting}")
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))


def outlive_readers() -> None:
    """Lets a command continue when the reader of its output has exited, as in `| head`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            setattr(sys, name, Unread.of(stream))


class Unread(io.TextIOWrapper):
    """An output stream that discards its output once its reader has exited, instead of raising BrokenPipeError."""

    @classmethod
    def of(cls, stream: io.TextIOWrapper) -> "Unread":
        """Wraps a stream, with the same encoding and buffering."""
        return cls(
            stream.buffer,
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            self._turn_away()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self._turn_away()
            super().flush()

    def _turn_away(self) -> None:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), self.fileno())


def write_in_any_encoding() -> None:
    """Writes characters that the terminal's encoding lacks as escapes, \\u2013 for a dash, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def imports_done() -> None:
    """Restarts garbage collection after `short_process` stopped it, excluding all objects that exist now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
        EarlyStop.check()
