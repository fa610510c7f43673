"""Reports of a study as text: the table for the console, summary.csv with a row per job, and summary.md."""

import csv
import os
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import groupby
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

from autoencoder.metrics import GENERATED, METRICS
from autoencoder.paths import assignment, shown
from autoencoder.runs.folder import SWEEP_CONFIG
from autoencoder.runs.job_values import (
    BEST_BY,
    DATASET,
    best_jobs,
    checkpoint_of,
    count_statuses,
    seed_of,
    text_of,
    value_of,
)
from autoencoder.runs.jobs import Job
from autoencoder.runs.report_card import escaped, table
from autoencoder.runs.study import Setting, Study

# Columns of the tables; those that no job has a value for are left out.
COLUMNS = (
    *(BEST_BY, "test/mse", "pca/test_mse", *(f"test/{name}" for name in METRICS if name != "mse")),
    *(*(f"generated/{name}" for name in GENERATED), "fit_seconds"),
)
MOST_ROWS = 20  # in the console
MOST_IN_PAGE = 50  # settings, comparisons or failures in summary.md
BEST_MARK = f"* best by {BEST_BY}"


class Row(NamedTuple):
    """A row of the table of settings: the jobs' names, the setting's values, the number of seeds, a cell per metric.

    `note` marks the best, and says how many jobs have not finished and why.
    """

    jobs: str
    setting: Setting
    seeds: str
    cells: list[str]
    note: str


def columns_of(study: Study) -> list[str]:
    """The metrics that tables show: those of `COLUMNS` that a job has, and the one that the study is about."""
    wanted = dict.fromkeys((BEST_BY, study.metric, *COLUMNS))
    return [key for key in wanted if any(value_of(job, key) is not None for job in study.jobs)]


def setting_rows(study: Study) -> list[Row]:
    """The rows of the table of settings, in the study's order."""
    columns = columns_of(study)
    rows = []
    for setting in study.settings:
        values = {key: setting.statistic(key) for key in columns}
        seeds = max((value.n for value in values.values() if value), default=0)
        cells = [value.text(key) if value else "" for key, value in values.items()]
        mark = BEST_MARK if setting in study.best else ""
        note = "; ".join(filter(None, (mark, _unfinished(setting.jobs))))
        rows.append(Row(_names(setting.jobs), setting, str(seeds or ""), cells, note))
    return rows


def format_table(study: Study) -> str:
    """The table for the console: one line per setting, best first, and what else a reader must know.

    A study of a single setting has a line per job, and one with mean and spread over the seeds.
    """
    columns = columns_of(study)
    rows = [[row.jobs, row.setting.label, row.seeds, *row.cells, row.note] for row in setting_rows(study)[:MOST_ROWS]]
    for column, key in enumerate(columns, start=3):
        for row in rows if key not in (BEST_BY, study.metric) else ():  # others without spread: the line gets too long
            row[column] = row[column].partition(" ± ")[0]
    if len(study.settings) == 1 and len(study.jobs) > 1:
        several, best = rows, best_jobs(study.jobs)
        rows = [_job_row(job, columns, job in best) for job in study.jobs[:MOST_ROWS]]
        rows += [["all", "mean ± sd", *cells[:-1], ""] for _, _, *cells in several if any(cells[1:-1])]
    left_out = max(len(study.settings), len(study.jobs) if len(study.settings) == 1 else 0) - MOST_ROWS
    rows = [["job", "setting", "seeds", *columns, ""], *rows]
    if all(row[2] in ("", "1") for row in rows[1:]):
        rows = [row[:2] + row[3:] for row in rows]
    lines = _aligned(rows)
    if left_out > 0:
        lines.append(f"and {left_out} more, in summary.csv")
    return "\n".join([*data_note(study), *lines])


def data_note(study: Study) -> list[str]:
    """A sentence if the jobs have several data sets, whose errors do not compare; or an empty list."""
    if len(study.datasets) < 2:
        return []
    names = ", ".join(study.datasets)
    return [f"These runs have {len(study.datasets)} data sets ({names}): each is ranked and compared by itself."]


def best_lines(study: Study) -> list[str]:
    """A line on the job with the lowest `val/mse` of each data set, with its checkpoint."""
    lines = []
    for job in best_jobs(study.jobs):
        dataset = f" on {job.metrics[DATASET]}" if len(study.datasets) > 1 else ""
        if checkpoint := checkpoint_of(job):
            lines.append(f"best by {BEST_BY}{dataset}: job {job.name}, {shown(Path(checkpoint))}")
    return lines


def taken_over(jobs: Sequence[Job]) -> list[str]:
    """A line that names the jobs that had finished before their sweep was started again; an empty list if none had."""
    earlier = []
    for job in jobs:
        command = next((path for path in job.folder.parents if (path / SWEEP_CONFIG).is_file()), None)
        if job.status == "finished" and command:
            started = (command / SWEEP_CONFIG).stat().st_mtime_ns  # written anew at each start
            earlier += [job] if (job.folder / "metrics.json").stat().st_mtime_ns < started else []
    return [f"taken over from an earlier start: job{'s' * (len(earlier) > 1)} {_names(earlier)}"] if earlier else []


def summary_csv(study: Study, folder: Path) -> str:
    """One row per job: differing settings, seed, status, all metrics, epochs, seconds, the error, and its folder.

    Args: folder, of the file; folders of jobs inside it are written relative to it.
    """
    metrics = [*study.metrics, "epochs", "fit_seconds"]
    lines = StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["job", *study.keys, "seed", "status", *metrics, "error", "folder"])
    for setting, job in [(alike, job) for alike in study.settings for job in alike.jobs]:
        seed, numbers = seed_of(job), [value_of(job, key) for key in metrics]
        inside = job.folder.is_relative_to(folder)
        writer.writerow(
            [
                *(job.name, *(text_of(value) for value in setting.values.values())),
                *("" if seed is None else seed, job.status),
                *("" if number is None else number for number in numbers),
                *(job.error, os.path.relpath(job.folder, folder) if inside else job.folder),
            ]
        )
    return lines.getvalue()


def summary_md(study: Study, title: str, pictures: Mapping[str, str]) -> str:
    """The report as a Markdown page.

    Args: title, for the first line; pictures, names of files beside the page, and what each shows.
    """
    rows, columns = setting_rows(study), columns_of(study)
    cells = [
        [row.jobs, *map(text_of, row.setting.values.values()), row.seeds, *row.cells, row.note]
        for row in rows[:MOST_IN_PAGE]
    ]
    header = ["job", *study.keys, "seeds", *columns, ""]
    jobs = f"{len(study.jobs)} job{'s' * (len(study.jobs) > 1)}: {count_statuses(study.jobs)}."
    sections = [
        f"# {escaped(title)}",
        " ".join([jobs, *map(escaped, data_note(study))]),
        *(f"{escaped(line)}." for line in (*best_lines(study), *taken_over(study.jobs))),
        f"Means over the seeds ± their standard deviation, best {study.metric} first. {_more(rows)}".strip(),
        table([escaped(cell) for cell in header], [[escaped(cell) for cell in row] for row in cells]),
    ]
    if study.comparisons:
        sentences = [f"- {one.sentence(study.metric)}." for one in study.comparisons[:MOST_IN_PAGE]]
        sections += ["## Compared with the best", "\n".join(map(escaped, sentences))]
    if failures := [f"- {_failure(job)}" for job in study.jobs if job.status in ("failed", "interrupted")]:
        sections += [f"## Not finished\n\n{_more(failures)}".strip(), "\n".join(failures[:MOST_IN_PAGE])]
    sections += [f"![{words}]({name})" for name, words in pictures.items()]
    return "\n\n".join(sections) + "\n"


def logs_of(jobs: Sequence[Job]) -> list[str]:
    """The log files of these jobs, as paths relative to the working directory."""
    return [os.path.relpath(log) for job in jobs for log in sorted(job.folder.glob("*.log"))]


def _job_row(job: Job, columns: Sequence[str], is_best: bool) -> list[str]:
    cells = (Setting({}, "", [job]).statistic(key) for key in columns)
    texts = [cell.text(key) if cell else "" for key, cell in zip(columns, cells, strict=True)]
    seed = seed_of(job)
    label = "" if seed is None else f"seed={seed}"
    return [job.name, label, "", *texts, BEST_MARK if is_best else _unfinished([job])]


def _unfinished(jobs: Sequence[Job]) -> str:
    """`2 of 3 failed: model.latent_dim must be …`; empty if all have finished."""
    others = sorted((job for job in jobs if job.status != "finished"), key=lambda job: job.status)
    parts = []
    for status, several in groupby(others, key=lambda job: job.status):
        group = list(several)
        share = f"{len(group)} of {len(jobs)} " if len(jobs) > 1 else ""
        reason = shorten(group[0].error, 200, placeholder=" …")
        parts.append(f"{share}{status}" + (f": {reason}" if reason else ""))
    return ", ".join(parts)


def _failure(job: Job) -> str:
    """A failed or interrupted job: its error, and how to resume it."""
    name = job.label.replace("`", "'")
    words = f"`{name}` {job.status}" + (f": {escaped(job.error)}" if job.error else "")
    if "trainer.max_epochs" not in job.settings:  # not a run of train.py, or without a record
        return words
    return f"{words}\n  `python src/train.py {assignment('resume', shown(job.folder))}`"


def _names(jobs: Sequence[Job]) -> str:
    """The names of jobs, consecutive numbers as a range: `0-2, 7`."""
    names = [job.name for job in jobs]
    if len(names) == 1 or not all(name.isdecimal() for name in names):
        return names[0] if len(names) == 1 else f"{names[0]}, {names[1]}" + ", …" * (len(names) > 2)
    parts = []
    for _, several in groupby(enumerate(sorted(map(int, names))), key=lambda pair: pair[1] - pair[0]):
        group = [number for _, number in several]
        parts.append(f"{group[0]}-{group[-1]}" if len(group) > 2 else ", ".join(map(str, group)))
    return shorten(", ".join(parts), 24, placeholder=" …")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines: names and notes to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    to_left = (0, 1, len(rows[0]) - 1)
    lines = (
        [
            f"{cell:<{width}}" if column in to_left else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    )
    return ["  ".join(line).rstrip() for line in lines]


def _more(items: Sequence[object]) -> str:
    return f"The first {MOST_IN_PAGE} of {len(items):,}; all are in summary.csv." if len(items) > MOST_IN_PAGE else ""
