"""Writes the report of a study: summary.csv and summary.md."""

from pathlib import Path

from autoencoder.runs.folder import write_whole
from autoencoder.runs.study import Study
from autoencoder.runs.study_report import summary_csv, summary_md


def save_study(study: Study, folder: Path, title: str) -> list[str]:
    """Writes the report's files into `folder`, which is created if missing; an earlier report there is replaced.

    Args: title, of the page.
    Returns: the names of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "summary.csv", summary_csv(study, folder))
    write_whole(folder / "summary.md", summary_md(study, title, {}))
    return ["summary.csv", "summary.md"]


def title_of(*folders: Path) -> str:
    """The title of a report over these folders: `train, 2026-01-31_12-00-00`, from their last names."""
    names = [folder.name for folder in folders]
    return f"Report on {', '.join(names[:3])}" + f" and {len(names) - 3} more" * (len(names) > 3)
