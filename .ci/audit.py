"""Looks up the locked packages among published security advisories; says so where no advisories can be had.

`make audit` runs it. pip-audit gets an environment of its own, so that nobody installs it to train.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIP_AUDIT = "pip-audit@2.10.1"
NOTHING_KNOWN = "no advisory data can be had, so nothing is known about the locked packages"


def verdict(output: str, complaints: str) -> tuple[int, list[str]]:
    """What pip-audit found, as an exit code and lines to print: 0 for nothing, 1 for advisories, 2 for no data.

    Args: output, its JSON; complaints, what it wrote to stderr.
    """
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        reason = [line for line in complaints.splitlines() if line.strip()][-1:] or ["pip-audit says nothing"]
        return 2, [f"{NOTHING_KNOWN}: {reason[0].strip()}"]
    known = [package for package in packages if "skip_reason" not in package]
    if not known:  # pip-audit itself calls this "no known vulnerabilities"
        return 2, [f"{NOTHING_KNOWN}: the database has none of these {len(packages)} versions"]
    found = [
        f"{package['name']} {package['version']}: {advisory['id']}, "
        f"mended in {', '.join(advisory['fix_versions']) or 'no version yet'}"
        for package in known
        for advisory in package["vulns"]
    ]
    lines = found or [f"no advisory about {len(known)} locked packages"]
    if skipped := [package["name"] for package in packages if package not in known]:
        lines.append(f"not in the database: {', '.join(skipped)}")
    return int(bool(found)), lines


def main() -> None:
    """Runs pip-audit over requirements.lock, prints what it found, and exits with the code of `verdict`."""
    uv = Path(sys.executable).with_name("uv")
    lock = ("--requirement", ROOT / "requirements.lock", "--require-hashes", "--disable-pip")
    command = [uv, "tool", "run", "--quiet", PIP_AUDIT, *lock, "--progress-spinner=off", "--format=json"]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    code, lines = verdict(ended.stdout, ended.stderr)
    print("\n".join(lines))
    sys.exit(code)


if __name__ == "__main__":
    main()
