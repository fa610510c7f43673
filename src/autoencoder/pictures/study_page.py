"""Writes summary.html: a study's chart, tables and reconstructions in one file that makes no request."""

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any, NamedTuple

from autoencoder.metrics import format_value
from autoencoder.pictures.html_page import fill_page
from autoencoder.pictures.study_chart import Chart, Point
from autoencoder.runs.job_values import count_statuses, seed_of, text_of, value_of
from autoencoder.runs.plain_json import to_json
from autoencoder.runs.study import Statistic, Study
from autoencoder.runs.study_report import best_lines, columns_of, data_note, setting_rows

SCRIPTS = ("study_table.js", "study_chart.js")


class Cell(NamedTuple):
    """A cell of a table: its text; if it is a number, that number, for sorting; whether its text may wrap."""

    text: str
    number: float | None = None
    wraps: bool = False


def build_study_page(study: Study, title: str, chart: Chart | None, comparison: bytes | None) -> str:
    """The page's HTML; all values are escaped.

    Args: chart, None if there is nothing to draw; comparison, the content of comparison.png, None without.
    """
    folder = files(__package__)
    facts = [f"{len(study.jobs):,} jobs: {count_statuses(study.jobs)}.", *data_note(study), *best_lines(study)]
    sections = [_chart_section(chart)] if chart else []
    sections.append(_section(f"Settings, best {study.metric} first", _settings(study)))
    if study.comparisons:
        sections.append(
            _section("Compared with the best", _list(one.sentence(study.metric) for one in study.comparisons))
        )
    if comparison:
        words = "The same test images, reconstructed by each job"
        source = f"data:image/png;base64,{base64.b64encode(comparison).decode('ascii')}"
        sections.append(_section(words, f'<img src="{source}" alt="{words}, worst to best">'))
    sections.append(_section("Jobs", _jobs(study)))
    parts = {
        "title": html.escape(title),
        "facts": "\n".join(f"<p>{html.escape(fact)}</p>" for fact in facts),
        "sections": "\n".join(sections),
        "data": _data(chart, study.metric),
        "script": "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS),
    }
    return fill_page((folder / "study_page.html").read_text(encoding="utf-8"), parts)


def _data(chart: Chart | None, metric: str) -> str:
    """The chart as JSON in which no tag can end the script; each point has the text that is shown beside it."""
    content: dict[str, Any] = asdict(chart) if chart else {}
    if chart:
        lines = zip(chart.series, content["series"], strict=True)
        pairs = [pair for line, plain in lines for pair in zip(line.points, plain["points"], strict=True)]
        pairs += zip(chart.baseline, content["baseline"], strict=True)
        pairs += zip(chart.failed, content["failed"], strict=True)
        for point, plain in pairs:
            plain["hover"] = _hover(point, metric)
    return to_json(content, indent=None).replace("<", "\\u003c")


def _hover(point: Point, metric: str) -> str:
    if not point.n:
        return f"{point.label}\nfailed"
    value = Statistic(point.mean, point.sd, point.n).text(metric)
    return f"{point.label}\n{metric} {value}" + (f", {point.n} seeds" if point.n > 1 else "")


def _chart_section(chart: Chart) -> str:
    heading, facts = chart.title.split("\n")
    series = [(f"s{number % 8}", "●", one.name) for number, one in enumerate(chart.series)]
    entries = [entry for entry in series if entry[2]]
    if chart.baseline:
        entries = (entries or [("s0", "●", "autoencoder")]) + [("faint", "- -", "PCA")]
    if chart.kind in ("grid", "points"):
        entries.append(("best", "□", "best"))
    if chart.failed and chart.kind != "names":
        entries.append(("ink", "✕", f"{len(chart.failed)} failed"))
    if chart.left_out:
        facts += f"; the best {len(chart.series[0].points)} settings"
    items = [f'<li><b class="{colour}">{sign}</b>{html.escape(name)}</li>' for colour, sign, name in entries]
    return _section(
        heading,
        f'<p class="hint">{html.escape(facts)}</p>\n'
        f'<svg id="chart" role="group" aria-label="{html.escape(heading)}"></svg>\n'
        f'<ul id="legend">{"".join(items)}</ul>\n'
        "<noscript>The chart needs JavaScript; summary.png shows the same.</noscript>",
    )


def _settings(study: Study) -> str:
    columns = columns_of(study)
    rows = []
    for row in setting_rows(study):
        statistics = [row.setting.statistic(key) for key in columns]
        numbers = [one.mean if one else None for one in statistics]
        metrics = [Cell(*pair) for pair in zip(row.cells, numbers, strict=True)]
        settings = map(_value, row.setting.values.values())
        rows.append([Cell(row.jobs), *settings, _value(row.seeds), Cell(row.note, wraps=len(row.note) > 40), *metrics])
    best = [setting in study.best for setting in study.settings]
    return _table(["job", *study.keys, "seeds", "notes", *columns], rows, best)


def _jobs(study: Study) -> str:
    columns = [key for key in (*study.metrics, "epochs", "fit_seconds") if "_class_" not in key]
    rows = []
    for setting, job in [(alike, job) for alike in study.settings for job in alike.jobs]:
        numbers = [value_of(job, key) for key in columns]
        metrics = [
            Cell("" if number is None else format_value(key, number), number)
            for key, number in zip(columns, numbers, strict=True)
        ]
        seed = seed_of(job)
        settings = [*setting.values.values(), "" if seed is None else seed]
        status = [Cell(job.status), Cell(job.error, wraps=len(job.error) > 40)]
        rows.append([_value(job.name), *map(_value, settings), *status, *metrics])
    return _table(["job", *study.keys, "seed", "status", "error", *columns], rows, [False] * len(rows))


def _value(value: Any) -> Cell:
    text = text_of(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(text, value if is_number else float(text) if text.isdecimal() else None)


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell]], best: Sequence[bool]) -> str:
    """A table; `best` marks rows. A column without any text is left out."""
    filled = [column for column in range(len(header)) if any(row[column].text for row in rows)]
    header, rows = [header[column] for column in filled], [[row[column] for column in filled] for row in rows]
    heading = "".join(f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' for name in header)
    body = "\n".join(
        f'<tr class="{"best" if is_best else "other"}">{"".join(map(_cell, row))}</tr>'
        for row, is_best in zip(rows, best, strict=True)
    )
    head = f"<thead><tr>{heading}</tr></thead>"
    return f'<div class="scroll" tabindex="0"><table>{head}<tbody>\n{body}\n</tbody></table></div>'


def _cell(cell: Cell) -> str:
    shape = ' class="wide"' if cell.wraps else ""
    if cell.number is not None:
        shape = f' class="number" data-value="{cell.number!r}"'
    return f"<td{shape}>{html.escape(cell.text)}</td>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "\n".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _section(heading: str, content: str) -> str:
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{content}\n</section>"
