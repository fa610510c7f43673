"""Who may import whom: each room imports from those above it in the list, and from nothing below."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "src" / "autoencoder"
ROOMS = (  # each may import those before it
    *("metrics", "optim", "data", "models", "evaluation"),
    *("runs", "pictures", "explorer", "callbacks", "cli"),
)
SHARED = {"errors", "limits", "packages", "paths"}  # files beside the rooms, which all may import
APART = {("models", "data"), ("data", "metrics"), ("data", "optim"), ("pictures", "data")}
SCRIPTS = {path.stem for path in (ROOT / "src").glob("*.py")}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
    return names


def own_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def room_of(name: str) -> str:
    """The room of a module of the package, or the name of a file beside the rooms."""
    return name.split(".")[1] if "." in name else ""


def test_every_file_is_in_a_room():
    beside = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert beside == SHARED
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_from_those_before_it(path):
    own = room_of(own_name(path))
    names = imported(path)
    assert not names & SCRIPTS, "nothing imports a script"
    if own != "cli":
        assert not {name.partition(".")[0] for name in names} & {"hydra", "omegaconf"}, "only cli knows Hydra"
    if own not in ROOMS:
        return
    for other in {room_of(name) for name in names if name.startswith("autoencoder.")} - SHARED - {own}:
        assert ROOMS.index(other) < ROOMS.index(own), f"{own} imports {other}, which is below it"
        assert (own, other) not in APART and (other, own) not in APART, f"{own} and {other} do not know each other"


def test_no_module_imports_itself_by_way_of_others():
    names = {own_name(path): imported(path) for path in MODULES}
    TopologicalSorter({name: others & names.keys() for name, others in names.items()}).prepare()


def test_the_command_line_is_read_without_torch():
    names = {own_name(path) for path in MODULES if room_of(own_name(path)) == "cli"}
    code = f"import {', '.join(sorted(names))}, sys; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=ROOT / "src")
    assert ended.stdout == "False\n", ended.stderr
