"""Whatever bytes or values of a checkpoint are changed, it is refused in one line, or holds the same weights."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_checkpoints import GOOD, MISSING, changed, read_good, saved

from autoencoder import load
from autoencoder.callbacks.saved_state import check_optimizer, try_random_states, try_scheduler
from autoencoder.cli.errors import explain
from autoencoder.errors import InputError
from autoencoder.runs.checkpoints import read_checkpoint

hypothesis = pytest.importorskip("hypothesis", reason="fuzzing needs hypothesis: make setup")
some = pytest.importorskip("hypothesis.strategies", reason="fuzzing needs hypothesis: make setup")

BYTES = GOOD.read_bytes()
SIZE = len(BYTES)
ENDS = ((0, 12_000), (12_000, 24_000), (SIZE - 4_000, SIZE - 1), (0, SIZE - 1))  # pickle, weights, directory, all
PLACES = some.one_of(*(some.integers(*ends) for ends in ENDS))
FLIPS = some.tuples(PLACES, some.just(1), some.binary(min_size=1, max_size=1))
CUTS = some.tuples(PLACES, some.integers(0, 40), some.binary(max_size=40))  # place, length, and what is there instead
EDITS = some.lists(FLIPS, min_size=1, max_size=2) | some.lists(CUTS, min_size=1, max_size=3)


def paths(content: Any, path: str = "") -> Iterator[str]:
    """Where the values in a checkpoint are, keys joined by |."""
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield f"{path}{key}"
            yield from paths(value, f"{path}{key}|")


TENSORS = [torch.zeros(2), torch.full((784, 2), torch.nan), torch.zeros(3, dtype=torch.int64), torch.zeros(())]
KEYS = some.none() | some.integers() | some.text(max_size=5)
VALUES = some.recursive(
    KEYS | some.booleans() | some.floats(allow_subnormal=False) | some.sampled_from(TENSORS),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


def use(path: Path) -> None:
    """Loads the model, and tries all that a run would go on from."""
    content = read_checkpoint(path)
    module = load(path)
    assert all(torch.equal(one, module.state_dict()[name]) for name, one in read_good()["state_dict"].items())
    optimizer = module.make_optimizer(module)
    for state in content.get("optimizer_states", []):
        check_optimizer(path, state["state"], module)
    for state in content.get("lr_schedulers", []):
        try_scheduler(path, state, module.make_scheduler(optimizer, 1))
    if kept := content.get("callbacks", {}).get("BestAndLast"):
        try_random_states(path, kept["random_states"])


def check(path: Path) -> None:
    try:
        use(path)
    except InputError as error:
        line = explain(error) or ""
        assert str(path) in line and line.isprintable() and len(line) < 1000, line


def fuzz(examples: int, use: Callable[..., None], **strategies: Any) -> None:
    """Calls `use` with so many examples: the same in each run, so that only a change of the code can fail a test."""
    settings = hypothesis.settings(max_examples=examples, derandomize=True, database=None, deadline=None)
    settings(hypothesis.given(**strategies)(use))()


EXAMPLES = pytest.mark.parametrize("examples", [40, pytest.param(300, marks=pytest.mark.slow)])


@EXAMPLES
def test_changed_bytes(examples, tmp_path):
    def change(edits: list[tuple[int, int, bytes]]) -> None:
        content = bytearray(BYTES)
        for at, length, replacement in edits:
            content[at : at + length] = replacement
        (tmp_path / "fuzzed.ckpt").write_bytes(content)
        check(tmp_path / "fuzzed.ckpt")

    fuzz(examples, change, edits=EDITS)


@EXAMPLES
def test_changed_values(examples, tmp_path):
    def change(path: str, value: Any) -> None:
        (tmp_path / "fuzzed.ckpt").write_bytes(saved(changed(read_good(), path, value)))
        check(tmp_path / "fuzzed.ckpt")

    places = [path for path in paths(read_good()) if not path.startswith("state_dict|")]
    fuzz(examples, change, path=some.sampled_from(places), value=some.just(MISSING) | VALUES)
