"""Reports a search: the best settings as a command to paste, and pictures of its history."""

import shlex
from collections.abc import Sequence

from autoencoder.cli.search import ERROR, Search
from autoencoder.errors import InputError
from autoencoder.paths import shown
from autoencoder.runs.left_out import left_out_if_it_fails

WORDS = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
OF_SEARCH = ("search=", "sweep=")  # overrides that belong to the search alone
FEWEST_TRIALS = 4  # that have finished before the importance of settings says anything
HISTORY, IMPORTANCE = "search_history.png", "search_importance.png"
DPI = 200


def report_search(search: Search) -> None:
    """Prints the best trial and its settings, and draws the search.

    Raises: InputError if no trial has finished.
    """
    counts = {word: len(search.in_state(state)) for state, word in WORDS.items()}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    best = min(search.in_state("COMPLETE"), key=lambda trial: trial.value or 0.0, default=None)
    if best is None:
        errors = [trial.user_attrs[ERROR] for trial in search.in_state("FAIL") if ERROR in trial.user_attrs]
        last = f", the last error: {errors[-1]}" if errors else ""
        raise InputError(f"no trial of the search in {shown(search.folder)} has finished ({said}){last}")
    if search.begun or not (search.folder / HISTORY).is_file():
        with search.lock:  # other processes draw, too
            draw_search(search)
    print(f"{sum(counts.values())} trials: {said}; lowest val/mse {best.value:.4f} in job {best.number}")
    overrides = _to_train_with(search.space.overrides(best.params))
    print(f"train with its settings: python src/train.py {shlex.join(overrides)}", flush=True)


def _to_train_with(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if not override.startswith(OF_SEARCH)]


def draw_search(search: Search) -> None:
    """Draws the trials, and how much each setting matters, into the search's folder; prints what is left out."""
    from optuna.importance import get_param_importances

    from autoencoder.pictures.search import draw_importance, draw_search_history
    from autoencoder.pictures.style import save_figure

    shared = " ".join(_to_train_with(search.space.fixed))
    with left_out_if_it_fails(HISTORY):
        trials = [(trial.number, trial.value, trial.state.name) for trial in search.in_state("COMPLETE", "PRUNED")]
        save_figure(draw_search_history(trials, shared), search.folder / HISTORY, dpi=DPI)
    varied = [key for key, values in search.space.ranges.items() if not values.single()]
    if len(varied) < 2 or len(search.in_state("COMPLETE")) < FEWEST_TRIALS:
        print(f"{IMPORTANCE} is left out: it needs two settings to search and {FEWEST_TRIALS} finished trials")
        return
    with left_out_if_it_fails(IMPORTANCE):
        importances = get_param_importances(search.study.optuna, params=varied)
        save_figure(draw_importance(importances, shared), search.folder / IMPORTANCE, dpi=DPI)
