"""Lists the `raise` statements that no test ran, from the data that `make test ARGS="--cov=src"` leaves."""

import ast
from pathlib import Path

from coverage import CoverageData

ROOT = Path(__file__).parents[1]


def raises(source: str) -> list[int]:
    """The lines of the `raise` statements of a source text that name an exception; others only pass one on."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise) and node.exc]


def main() -> None:
    """Prints how many the tests ran, and where the others are."""
    data = CoverageData(str(ROOT / ".coverage"))
    data.read()
    total, missed = 0, []
    for path in sorted((ROOT / "src").rglob("*.py")):
        lines, run = raises(path.read_text(encoding="utf-8")), set(data.lines(str(path)) or ())
        total += len(lines)
        missed += [f"{path.relative_to(ROOT)}:{line}" for line in lines if line not in run]
    print(f"{total - len(missed)} of {total} raise statements were run; not run:", *missed, sep="\n  ")


if __name__ == "__main__":
    main()
