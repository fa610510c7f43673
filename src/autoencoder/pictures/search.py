"""Charts of a search: the error of each trial, and how much each setting matters."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from textwrap import fill

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoencoder.pictures.style import BLUE, ORANGE, empty_figure, make_logarithmic, tidy

TITLE_LETTERS = 85  # in a line of a title


def draw_search_history(trials: Sequence[tuple[int, float | None, str]], facts: str) -> Figure:
    """The error of each trial, and the lowest one so far; pruned trials have a mark of their own.

    The error axis is logarithmic.

    Args:
        trials: number, val/mse and state, COMPLETE or PRUNED, of each; without an error it is left out.
        facts: what the trials share, the second line of the title.
    """
    figure = empty_figure(3.4, _title("error by trial", facts))
    axes = figure.subplots()
    known = [(number, value, state) for number, value, state in trials if value is not None]
    for state, label, color, marker in (("COMPLETE", "finished", BLUE, "o"), ("PRUNED", "pruned", ORANGE, "x")):
        points = [(number, value) for number, value, of in known if of == state]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=color, label=label, markersize=4)
    finished = [(number, value) for number, value, state in known if state == "COMPLETE"]
    lowest = list(accumulate((value for _, value in finished), min))
    if finished:  # up to the last trial
        numbers = [*(number for number, _ in finished), known[-1][0]]
        line = [*lowest, lowest[-1]]
        axes.step(numbers, line, where="post", color="black", linewidth=0.8, label="lowest so far")
    make_logarithmic(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial", fontsize=8)
    axes.set_ylabel("val/mse", fontsize=8)
    tidy(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_importance(importances: Mapping[str, float], facts: str) -> Figure:
    """A bar for each setting: its share of what decides whether a trial is among the best, by PED-ANOVA.

    Args: importances, by setting, of sum 1; facts, the second line of the title.
    """
    figure = empty_figure(1.2 + 0.3 * len(importances), _title("importance of settings (PED-ANOVA)", facts))
    axes = figure.subplots()
    names, shares = list(importances)[::-1], list(importances.values())[::-1]
    bars = axes.barh(names, shares, color=BLUE, height=0.6)
    axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=3, fontsize=8)
    axes.set_xlim(0, 1.08 * max([*shares, 0.01]))
    axes.set_xlabel("share", fontsize=8)
    tidy(axes)
    return figure


def _title(subject: str, facts: str) -> str:
    return f"Search: {subject}\n{fill(facts, TITLE_LETTERS)}".rstrip()
