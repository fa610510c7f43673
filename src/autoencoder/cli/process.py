"""Starts and exits commands faster: no garbage collection during imports, no teardown at exit.

The garbage collector takes a fifth of the seconds of `import lightning`: it walks over all objects again and again and
finds nothing to free. Taking the objects apart at the interpreter's end, one by one, takes a second more.
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
from autoencoder.paths import expand_homes

OPTIONS = (  # Hydra's
    *("--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun", "--info"),
    *("--shell-completion", "--config-path", "--config-name", "--config-dir", "--experimental-rerun"),
)


@contextmanager
def short_process() -> Iterator[None]:
    """Around a command's main function: garbage is kept until `imports_done`, and the process ends without teardown.

    It ends after all exit handlers registered since, with its logs closed; other files are closed by who opened them.
    A bug, or Ctrl-C, ends it in Python's own way.
    """
    code: int | None = None

    def leave() -> None:
        if code is None:
            gc.unfreeze()
            return
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            if stream and not stream.closed:  # None: the command was started with it closed
                stream.flush()
        os._exit(code)

    logging.raiseExceptions = False  # a console that takes no more lines is no reason for a traceback each
    write_in_any_encoding()
    outlive_readers()
    sys.argv[1:] = expand_homes(options_first(sys.argv[1:]))
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
        if EarlyStop.signum is not None:  # half imported: the exit handlers of such modules fail
            leave()
        raise


def ignore_ctrl_c() -> None:
    """Lets the exit handlers work to their end, where a user presses Ctrl-C once more."""
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def options_first(arguments: Sequence[str]) -> list[str]:
    """A command's arguments, with `-m` before all settings: Hydra's parser takes none after it otherwise.

    Raises: SystemExit with one line for a word without `=`, for a setting that is written as an option,
        `--max_epochs=3`, and for `~hydra`, without which Hydra makes a folder elsewhere before anything can refuse it.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        takes_value = before.startswith("-") and before not in ("-m", "--multirun")
        if not takes_value and "=" not in argument and not argument.startswith(("-", "~")):
            raise SystemExit(f"error: {argument!r} is no setting: write KEY=VALUE, such as ckpt_path={argument}")
        if argument == "~hydra":
            raise SystemExit(f"error: {missing_group('hydra')}")
        name = argument.partition("=")[0]
        if name.startswith("--") and not any(option.startswith(name) for option in OPTIONS):
            setting = argument.lstrip("-").replace("-", "_") + "=VALUE" * ("=" not in argument)
            raise SystemExit(f"error: there is no option {name}: settings have no dashes, write {setting}")
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))


def outlive_readers() -> None:
    """Lets a command go on, and end as it would, when what reads its output has gone, as `| head` does."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            setattr(sys, name, Unread.of(stream))


class Unread(io.TextIOWrapper):
    """An output stream that writes into nothing from when its reader is gone, instead of raising BrokenPipeError."""

    @classmethod
    def of(cls, stream: io.TextIOWrapper) -> "Unread":
        """The same stream, with the same encoding and buffering."""
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
    """Letters that the terminal's encoding lacks are written as their code, \\u2013 for a dash, and end no run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def imports_done() -> None:
    """Within `short_process`, collects garbage from now on, but never looks at what was imported; else does nothing."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
        EarlyStop.check()
