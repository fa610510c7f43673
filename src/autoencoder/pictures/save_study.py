"""Writes the report of a study: summary.csv, summary.md and summary.png."""

from pathlib import Path

from autoencoder.pictures.study_chart import chart_of
from autoencoder.runs.folder import write_whole
from autoencoder.runs.left_out import left_out_if_it_fails
from autoencoder.runs.study import Study
from autoencoder.runs.study_report import summary_csv, summary_md

DPI = 200  # of the PNG


def save_study(study: Study, folder: Path, title: str, comparison: bool = True) -> list[str]:
    """Writes the report's files into `folder`, which is created if missing; an earlier report there is replaced.

    A picture that fails is left out with a warning.

    Args: title, of the page; comparison, whether to draw comparison.png, which restores models and needs torch.
    Returns: the names of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "summary.csv", summary_csv(study, folder))
    pictures = {}
    if chart := chart_of(study):
        with left_out_if_it_fails("summary.png"):
            from autoencoder.pictures.study_figure import draw_study

            draw_study(chart, study.metric).savefig(folder / "summary.png", dpi=DPI)
            pictures["summary.png"] = chart.title.partition("\n")[0]
    if comparison and len(study.comparable) > 1:
        with left_out_if_it_fails("comparison.png"):
            from autoencoder.pictures.comparison import draw_comparison

            if figure := draw_comparison(study):
                figure.savefig(folder / "comparison.png", dpi=DPI)
                pictures["comparison.png"] = "The same test images, reconstructed by each job"
    write_whole(folder / "summary.md", summary_md(study, title, pictures))
    return ["summary.csv", "summary.md", *pictures]


def title_of(*folders: Path) -> str:
    """The title of a report over these folders, from their names."""
    names = [folder.name for folder in folders]
    return f"Report on {', '.join(names[:3])}" + f" and {len(names) - 3} more" * (len(names) > 3)
