"""Holds a composed config against the signatures of what it builds, before any of it is imported.

A setting's name, type and limits have one home: the typed signature of the class or function that
takes it. Importing those takes seconds (torch, lightning), so this file reads them from their source.
"""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from autoencoder.errors import InputError, unknown_key
from autoencoder.limits import STRICT

HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
LIGHT_MODULES = {"builtins", "collections.abc", "datetime", "pathlib", "pydantic", "typing"}


class Signature(NamedTuple):
    """The parameters of a callable, by name, as they stand in the module that defines it."""

    module: "_Module"
    parameters: dict[str, ast.arg]
    takes_any_keyword: bool

    def annotation(self, name: str) -> Any:
        """A parameter's annotation; Any where there is none that can be read. Only now is it evaluated."""
        annotation = self.parameters[name].annotation
        return self.module.evaluate(annotation) if annotation else Any


def check_config(config: Mapping[str, Any], entry_point: Path, function: str) -> None:
    """Checks a resolved config: its top-level keys, and every part with a `_target_` in it.

    Args:
        config: plain dicts, lists and values, interpolations resolved.
        entry_point: the file whose `function` takes the top-level keys as its arguments.
    Raises:
        InputError: for the first unknown key, wrong type or value out of its limits.
    """
    module = _Module(ast.parse(entry_point.read_text()), entry_point.stem)
    own_keys = module.signature(function)
    if own_keys is None:
        raise ValueError(f"`entry_point` {entry_point} has no function {function}")
    _check_arguments("", config, own_keys)
    for path, part in _parts(config, ""):
        signature = signature_of(part["_target_"])
        if signature is None:
            raise InputError(f"{path}._target_: there is no {part['_target_']!r} to be found; check its spelling")
        _check_arguments(path, part, signature)


def signature_of(target: str) -> Signature | None:
    """The signature of a dotted name, `package.module.Class` or `package.module.function`; None if not found."""
    module_name, _, name = target.rpartition(".")
    module = _load(module_name)
    return None if module is None else module.signature(name)


def _parts(node: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_`, with its path in the config."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _parts(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _parts(value, f"{path}.{index}")


def _check_arguments(path: str, arguments: Mapping[str, Any], signature: Signature) -> None:
    for key, value in arguments.items():
        full_key = f"{path}.{key}" if path else str(key)
        if key in HYDRA_KEYS or (isinstance(value, Mapping) and "_target_" in value):
            continue
        if key not in signature.parameters:
            if signature.takes_any_keyword:
                continue
            raise InputError(unknown_key(full_key, list(signature.parameters)))
        try:
            TypeAdapter(signature.annotation(key), config=STRICT).validate_python(value)
        except PydanticUserError:  # an annotation that only its own library can read
            continue
        except ValidationError as error:
            limits = dict.fromkeys(one["msg"] for one in error.errors())
            allowed = " or ".join(limit.replace("Input should be", "must be") for limit in limits)
            raise InputError(f"{full_key} {allowed}, got {value!r}") from None


@cache
def _load(name: str) -> "_Module | None":
    """The module of that dotted name, parsed; parent packages are not imported either."""
    package, *rest = name.split(".")
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    if rest:
        path = path.parent.joinpath(*rest)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return _Module(ast.parse(path.read_text()), name, path.name == "__init__.py") if path.is_file() else None


class _Module(dict[str, Any]):
    """A parsed module; as a mapping, the names that its annotations use, evaluated when asked for."""

    def __init__(self, tree: ast.Module, name: str, is_package: bool = False) -> None:
        super().__init__()
        self.name = name
        self.package = name if is_package else name.rpartition(".")[0]
        self.definitions: dict[str, ast.stmt] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        for statement in ast.walk(tree):
            self._note(statement)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            self.definitions.setdefault(node.name, node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            self.definitions.setdefault(node.targets[0].id, node)
        elif isinstance(node, ast.ImportFrom):
            parents = self.package.split(".")
            parents = parents[: len(parents) - node.level + 1] if node.level else []
            source = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                self.imports.setdefault(alias.asname or alias.name, (source, alias.name))

    def __missing__(self, name: str) -> Any:
        if name in self.imports:
            source, original = self.imports[name]
            if source in LIGHT_MODULES:
                return getattr(import_module(source), original)
            module = _load(source)
            return type(name, (), {}) if module is None else module[original]
        found = self.definitions.get(name)
        if isinstance(found, ast.Assign):  # a type alias
            return self.evaluate(found.value)
        if found is not None:  # a class that no plain config value can be an instance of
            return type(name, (), {})
        raise KeyError(name)

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an annotation or a type alias of this module; Any if it is beyond this reader."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):  # an annotation in quotes
            node = ast.parse(node.value, mode="eval").body
        try:
            return eval(compile(ast.Expression(node), self.name, "eval"), {}, self)
        except Exception:  # beyond what this reader knows: then any value will do, and the code itself will tell
            return Any

    def signature(self, name: str) -> Signature | None:
        """The signature of a function or class defined in, or imported into, this module."""
        found = self.definitions.get(name)
        if isinstance(found, ast.FunctionDef):
            return self._signature(found.args)
        if isinstance(found, ast.ClassDef):
            for member in found.body:
                if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                    return self._signature(member.args)
            bases = (self.signature(base.id) for base in found.bases if isinstance(base, ast.Name))
            return next((base for base in bases if base), Signature(self, {}, takes_any_keyword=True))
        if name in self.imports:
            source, original = self.imports[name]
            return signature_of(f"{source}.{original}")
        return None

    def _signature(self, arguments: ast.arguments) -> Signature:
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        named = {parameter.arg: parameter for parameter in parameters if parameter.arg != "self"}
        return Signature(self, named, takes_any_keyword=arguments.kwarg is not None)
