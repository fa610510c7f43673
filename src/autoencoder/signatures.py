"""Reads the signature of what a config builds from its source, so that nothing is imported that takes seconds."""

import ast
import importlib.util
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

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


def signature_of(target: str) -> Signature | None:
    """The signature of a dotted name, `package.module.Class` or `package.module.function`; None if not found."""
    module_name, _, name = target.rpartition(".")
    module = _load(module_name)
    return None if module is None else module.signature(name)


def signature_in(path: Path, function: str) -> Signature | None:
    """The signature of a function in a file; None if it has none of that name."""
    return _Module(ast.parse(path.read_text(encoding="utf-8")), path.stem).signature(function)


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
    return (
        _Module(ast.parse(path.read_text(encoding="utf-8")), name, path.name == "__init__.py")
        if path.is_file()
        else None
    )


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
