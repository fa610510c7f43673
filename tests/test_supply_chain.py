"""What is installed is what was chosen: the lock agrees with pyproject.toml, with hashes, and workflows are pinned."""

import json
import re
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ENTRY = re.compile(r"^(\S+)==(\S+)(?: ;[^\\]*)? \\\n((?: {4}--hash=\S+(?: \\)?\n)+)((?: {4}#.*\n)*)", re.MULTILINE)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def locked() -> dict[str, list[tuple[Version, str, str]]]:
    """The lock's versions of each package, with their hashes and comments; several if they differ by platform."""
    entries: dict[str, list[tuple[Version, str, str]]] = {}
    for name, version, hashes, comments in ENTRY.findall(LOCK):
        entries.setdefault(canonicalize_name(name), []).append((Version(version), hashes, comments))
    return entries


def drift(requirements: list[str], lock: dict[str, list[tuple[Version, str, str]]]) -> list[str]:
    """The requirements that the lock lacks, or has another version of."""
    wanted = map(Requirement, requirements)
    return [
        str(one)
        for one in wanted
        if not (versions := lock.get(canonicalize_name(one.name)))
        or not all(one.specifier.contains(version, prereleases=True) for version, *_ in versions)
    ]


def test_the_lock_has_every_direct_dependency_at_a_version_that_satisfies_it():
    direct = [*PROJECT["dependencies"], *EXTRAS["dev"]]
    assert drift(direct, locked()) == [], "run make lock"
    others = [requirement for extra in EXTRAS.values() for requirement in extra]
    in_lock = [one for one in others if canonicalize_name(Requirement(one).name) in locked()]
    assert drift(in_lock, locked()) == [], "an extra needs another version than the lock has"


def test_drift_is_noticed():
    lock = {"torch": [(Version("2.6"), "", "")], "some-thing": [(Version("1.0"), "", ""), (Version("2.0"), "", "")]}
    assert drift(["torch>=2.6", "some_thing>=1"], lock) == []
    assert drift(["torch>=2.7", "some_thing>=1.5", "new"], lock) == ["torch>=2.7", "some_thing>=1.5", "new"]


def test_the_lock_has_nothing_that_nothing_asks_for():
    direct = {canonicalize_name(Requirement(one).name) for one in (*PROJECT["dependencies"], *EXTRAS["dev"])}
    asked = {name for name, entries in locked().items() if f"{PROJECT['name']} (pyproject.toml)" in entries[0][2]}
    assert asked == direct, "run make lock"


def test_every_locked_package_has_hashes_and_setting_up_requires_them():
    names = re.findall(r"^([a-zA-Z0-9][^\s=]*)==", LOCK, re.MULTILINE)
    assert len(names) == len(ENTRY.findall(LOCK)) > 80
    hashes = [one for entries in locked().values() for _, text, _ in entries for one in text.split() if one != "\\"]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in installs)
    assert len(installs) == 2 and "--extra dev --output-file requirements.lock" in makefile


def test_unsafe_versions_of_lightning_are_excluded():
    for name in ("lightning", "pytorch-lightning"):  # 2.6.2, 2.6.3: malicious; up to 2.6.5: CVE-2026-58659
        [requirement] = [one for one in map(Requirement, PROJECT["dependencies"]) if one.name == name]
        assert not any(requirement.specifier.contains(f"2.6.{patch}") for patch in range(6))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_their_actions_and_may_only_read(path):
    text = path.read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"} and job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "a name with commands in it would be run"
            assert "checkout@" not in step.get("uses", "") or step["with"]["persist-credentials"] is False
    used = re.findall(r"uses: (.*)", text)
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used)


def test_a_scheduled_workflow_tries_the_newest_versions():
    text = (ROOT / ".github" / "workflows" / "newest.yaml").read_text(encoding="utf-8")
    assert "schedule:" in text and "make lock ARGS=--upgrade" in text and ".ci/run" in text and "make audit" in text


@pytest.fixture(scope="module")
def verdict():
    spec = spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.verdict


def test_an_audit_without_data_says_so_and_is_no_success(verdict):
    skipped = {"dependencies": [{"name": "torch", "skip_reason": "not found"}], "fixes": []}
    known = {"name": "rich", "version": "1.0", "vulns": []}
    bad = known | {"vulns": [{"id": "CVE-1", "fix_versions": ["1.1", "2.0"]}]}
    some = {"dependencies": [bad, *skipped["dependencies"]]}
    for output, complaints, expected in (
        ("", "trace\nConnectionError: no network\n", (2, ["no advisory data", "ConnectionError: no network"])),
        (json.dumps(skipped), "No known vulnerabilities found", (2, ["no advisory data", "none of these 1 versions"])),
        (json.dumps({"dependencies": [known]}), "", (0, ["no advisory about 1 locked packages"])),
        (
            json.dumps(some),
            "",
            (1, ["CVE-1, mended in 1.1, 2.0", "torch"]),
        ),
    ):
        code, lines = verdict(output, complaints)
        assert code == expected[0] and all(part in "\n".join(lines) for part in expected[1]), lines
