"""Writes the report of a study: summary.csv, summary.md, summary.html, summary.png and comparison.png."""

from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoder.pictures.study_chart import chart_of
from autoencoder.pictures.study_page import build_study_page
from autoencoder.runs.folder import write_whole
from autoencoder.runs.left_out import left_out_if_it_fails
from autoencoder.runs.study import Study
from autoencoder.runs.study_report import summary_csv, summary_md

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200  # of the PNG


def save_study(
    study: Study, folder: Path, title: str, comparison: bool = True, allow_packages: Collection[str] = ()
) -> list[str]:
    """Writes the report's files into `folder`, which is created if missing; an earlier report there is replaced.

    A picture that fails is left out with a warning.

    Args:
        title: of the page.
        comparison: whether to draw comparison.png, which restores models and needs torch.
        allow_packages: names of packages beside this one that the models' classes may be from.
    Returns: the names of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "summary.csv", summary_csv(study, folder))
    pictures = {}
    chart = chart_of(study)
    if chart:
        with left_out_if_it_fails("summary.png"):
            from autoencoder.pictures.study_figure import draw_study

            write_whole(folder / "summary.png", _png(draw_study(chart, study.metric)))
            pictures["summary.png"] = chart.title.partition("\n")[0]
    compared = None
    if comparison and len(study.comparable) > 1:
        with left_out_if_it_fails("comparison.png"):
            from autoencoder.pictures.comparison import draw_comparison

            if figure := draw_comparison(study, allow_packages):
                compared = _png(figure)
                write_whole(folder / "comparison.png", compared)
                pictures["comparison.png"] = "The same test images, reconstructed by each job"
    write_whole(folder / "summary.md", summary_md(study, title, pictures))
    write_whole(folder / "summary.html", build_study_page(study, title, chart, compared))
    return ["summary.csv", "summary.md", "summary.html", *pictures]


def _png(figure: "Figure") -> bytes:
    content = BytesIO()
    figure.savefig(content, dpi=DPI, format="png")
    return content.getvalue()


def title_of(*folders: Path) -> str:
    """The title of a report over these folders, from their names."""
    names = [folder.name for folder in folders]
    return f"Report on {', '.join(names[:3])}" + f" and {len(names) - 3} more" * (len(names) > 3)
