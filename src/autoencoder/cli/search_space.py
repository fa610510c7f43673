"""Reads what a search may choose, in the syntax of Hydra's own Optuna sweeper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from autoencoder.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Space:
    """What a search may choose.

    Attributes:
        fixed: the overrides that all trials share.
        ranges: the values to choose from, by key as in an override. Those of a choice are texts, as in an override.
    """

    fixed: list[str]
    ranges: Mapping[str, "BaseDistribution"]

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The overrides of a trial with these values of the keys; numbers are rounded to six digits."""
        texts = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in values.items()}
        return [*self.fixed, *(f"{key}={text}" for key, text in texts.items())]

    def examples(self) -> list[list[str]]:
        """The overrides of a few trials in which every choice and both ends of every interval occur."""
        ends = {key: _ends(values) for key, values in self.ranges.items()}
        count = max(map(len, ends.values()))
        return [self.overrides({key: one[n % len(one)] for key, one in ends.items()}) for n in range(count)]


def read_space(loader: ConfigLoader, params: Mapping[str, str], arguments: Sequence[str]) -> Space:
    """What a search with these `params` and arguments of the command line, which take precedence, may choose.

    Raises: InputError for values that cannot be searched, or if there is nothing to choose.
    """
    parser = OverridesParser.create(config_loader=loader)
    given = parser.parse_overrides([one for one in arguments if not one.startswith("resume=")])  # it named the folder
    keys = {override.key_or_group for override in given}
    own = parser.parse_overrides([f"{key}={values}" for key, values in params.items()])
    overrides = [override for override in own if override.key_or_group not in keys] + given
    fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
    ranges = {one.get_key_element(): _range_of(one) for one in overrides if one.is_sweep_override()}
    if not ranges:
        raise InputError(
            "there is nothing to search: give values to choose from, such as 'optimizer.lr=interval(0.001,0.1)'"
        )
    return Space(fixed, ranges)


def _range_of(override: Override) -> "BaseDistribution":
    """The values of an override that sweeps.

    Raises: InputError if it has none, or if Optuna cannot sample them.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values: Any = override.value()
    line = override.input_line
    tags: set[str] = getattr(values, "tags", set())
    is_list = override.is_choice_sweep() or getattr(values, "shuffle", False)
    if tags - {"log"} or (tags and is_list):
        raise InputError(f"{line}: the only tag is log, of an interval or a range")
    if is_list:
        return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))
    low, high, step = _ends_of_range(values, line) if override.is_range_sweep() else (values.start, values.end, None)
    if low > high:
        raise InputError(f"{line} is reversed: write interval({high:g},{low:g})")
    try:
        if isinstance(low, int):
            return IntDistribution(low, high, log=bool(tags), step=int(step or 1))
        return FloatDistribution(low, high, log=bool(tags), step=step)
    except ValueError as error:
        raise InputError(f"{line} cannot be searched: {error}") from None


def _ends_of_range(values: Any, line: str | None) -> tuple[Any, Any, Any]:
    """The lowest and the highest value of a range, which ends before its `stop`, and the step between values.

    Raises: InputError if it has no value.
    """
    start, stop, step = (Decimal(str(number)) for number in (values.start, values.stop, values.step))
    count = ceil((stop - start) / step) if step else 0
    if count < 1:
        raise InputError(f"{line} has no value: range(START,STOP,STEP) ends before STOP")
    kind = int if isinstance(values.start, int) and isinstance(values.step, int) else float
    low, high = sorted((start, start + (count - 1) * step))
    return kind(low), kind(high), abs(kind(step))


def _ends(values: Any) -> list[Any]:
    """All values of a choice, or the lowest and the highest one of an interval or a range."""
    return list(values.choices) if hasattr(values, "choices") else [values.low, values.high]
