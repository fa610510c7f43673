"""Reports on runs and sweeps, finished or not: `python src/report.py runs=SWEEP`, or `runs=[DIR,…]`."""

import logging

from autoencoder.cli.command import command
from autoencoder.cli.process import imports_done
from autoencoder.cli.report_folder import expand_report
from autoencoder.limits import Text

log = logging.getLogger(__name__)


@command(expand=expand_report)
def report(
    runs: Text | list[Text], metric: Text, comparison: bool, allow_packages: list[Text], paths: dict[str, str]
) -> None:
    """Reads the runs' files, prints the table of their settings, and writes the report's files."""
    from pathlib import Path

    from autoencoder.paths import absolute, shown
    from autoencoder.pictures.save_study import save_study, title_of
    from autoencoder.runs.job_values import count_statuses
    from autoencoder.runs.jobs import find_runs
    from autoencoder.runs.study import study_of
    from autoencoder.runs.study_report import best_lines, format_table, taken_over

    imports_done()
    folders = [runs] if isinstance(runs, str) else runs
    study = study_of(find_runs(folders), metric)
    log.info(
        "%s", "\n".join([format_table(study), count_statuses(study.jobs), *taken_over(study.jobs), *best_lines(study)])
    )
    output = Path(paths["output_dir"])
    files = save_study(study, output, title_of(*map(absolute, folders)), comparison, allow_packages)
    log.info("files in %s:\n  %s", shown(output), ", ".join(files))


if __name__ == "__main__":
    report.main()
