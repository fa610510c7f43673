"""Reads the signatures of classes and functions from their source, so that no slow library has to be imported."""

import ast
import builtins
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from autoencoder.cli.annotations import value_of
from autoencoder.packages import is_dotted_name

LIGHT_MODULES = {"annotated_types", "builtins", "collections.abc", "datetime", "pathlib", "pydantic", "typing"}


class Signature(NamedTuple):
    """The parameters of a callable, each with a function that evaluates its annotation (Any if it is not readable)."""

    parameters: Mapping[str, Callable[[], Any]]
    takes_any_keyword: bool
    required: tuple[str, ...] = ()  # those without a default


class Definition(NamedTuple):
    """Where a class, function or other name is defined: its module, its name there, and the statement."""

    module: "_Module"
    name: str
    statement: ast.stmt

    @property
    def full_name(self) -> str:
        """The dotted name, `package.module.Class`."""
        return f"{self.module.name}.{self.name}"

    @property
    def signature(self) -> Signature:
        """Its parameters; those of something that is no class or function are unknown."""
        return self.module.signature(self.statement) or any_signature()


def any_signature() -> Signature:
    """The signature of something whose parameters are unknown: accepts everything."""
    return Signature({}, takes_any_keyword=True)


def signature_of(target: str) -> Signature | None:
    """The signature of a dotted name, `package.module.Class` or `package.module.function`; None if not found."""
    found = find_definition(target)
    return found.module.signature(found.statement) if found else None


def find_definition(target: str) -> Definition | None:
    """Follows imports from a dotted name to the statement that defines it; None if no source that can be read does."""
    wanted, seen = [target], set[str]()
    while wanted:
        following = wanted.pop(0)
        if following in seen or not is_dotted_name(following):
            continue
        seen.add(following)
        module_name, _, name = following.rpartition(".")
        module = _load(module_name)
        if module is None:
            continue
        if name in module.definitions:
            return Definition(module, name, module.definitions[name])
        if name in module.imports:
            wanted.insert(0, ".".join(module.imports[name]))
        else:
            wanted += [f"{source}.{name}" for source in module.starred]
    return None


def names_beside(target: str) -> tuple[list[str], bool]:
    """The names in the module of a dotted name, and whether the list is complete."""
    module = _load(target.rpartition(".")[0]) if is_dotted_name(target) else None
    if module is None:
        return [], False
    return [*module.definitions, *module.imports], not module.is_open


def signature_of_function(function: Callable[..., Any]) -> Signature:
    """The signature of a function object."""
    parameters = inspect.signature(function).parameters.values()
    return Signature(
        {one.name: partial(getattr, one, "annotation") for one in parameters},
        takes_any_keyword=False,
        required=tuple(one.name for one in parameters if one.default is one.empty),
    )


@cache
def _load(name: str) -> "_Module | None":
    """Parses the module of a dotted name, without importing it or its parents; None if it has no Python source.

    Extension modules, namespace packages and files that are not Python have none.
    Args: name, of identifiers: anything else in it could lead to a file outside the package.
    """
    package, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(package) if package else None
    except (ImportError, ValueError):  # `__main__`, or an empty name
        spec = None
    if spec is None:
        return None
    if rest:
        paths = (Path(folder, *rest) for folder in spec.submodule_search_locations or ())
        files = [path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for path in paths]
    else:
        files = [Path(spec.origin)] if spec.origin and spec.has_location else []
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return None
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # not Python
        return None
    return _Module(tree, name, path.name == "__init__.py")


class _Module(dict[str, Any]):
    """A parsed module; as a mapping, it evaluates the names that its annotations use."""

    def __init__(self, tree: ast.Module, name: str, is_package: bool = False) -> None:
        super().__init__()
        self.name = name
        self.package = name if is_package else name.rpartition(".")[0]
        self.definitions: dict[str, ast.stmt] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        self.starred: list[str] = []  # modules in `from … import *`
        for statement in _at_module_level(tree):
            self._note(statement)

    @property
    def is_open(self) -> bool:
        """Whether the module may have names that are not in its source."""
        return bool(self.starred) or "__getattr__" in self.definitions

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if not _is_decorated_with("overload", node):
                self.definitions.setdefault(node.name, node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            self.definitions.setdefault(node.targets[0].id, node)
        elif isinstance(node, ast.ImportFrom):
            parents = self.package.split(".")
            parents = parents[: len(parents) - node.level + 1] if node.level else []
            source = ".".join([*parents, *filter(None, [node.module])])
            if node.names[0].name == "*":
                self.starred.append(source)
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
        if isinstance(built_in := getattr(builtins, name, None), type):
            return built_in
        raise KeyError(name)

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an annotation or a type alias of this module; Any if it cannot be evaluated."""
        try:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):  # an annotation in quotes
                node = ast.parse(node.value, mode="eval").body
            return value_of(node, self)
        except Exception:  # accept any value; the code itself will check it
            return Any

    def _annotation(self, annotation: ast.expr | None) -> Any:
        return self.evaluate(annotation) if annotation else Any

    def signature(self, statement: ast.stmt) -> Signature | None:
        """The signature of a function or class that a statement of this module defines; None for other statements."""
        if isinstance(statement, ast.FunctionDef):
            return self._signature(statement.args)
        if not isinstance(statement, ast.ClassDef):
            return None
        if _is_decorated_with("dataclass", statement):  # its parameters are its fields and those of its bases
            return any_signature()
        for member in statement.body:
            if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                return self._signature(member.args)
        names = [base.id for base in statement.bases if isinstance(base, ast.Name) and base.id != statement.name]
        bases = (signature_of(f"{self.name}.{name}") for name in names)
        return next((base for base in bases if base), any_signature())

    def _signature(self, arguments: ast.arguments) -> Signature:
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        named = {one.arg: partial(self._annotation, one.annotation) for one in parameters if one.arg != "self"}
        positional = [*arguments.posonlyargs, *arguments.args]
        required = positional[: len(positional) - len(arguments.defaults)]
        keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        required += [parameter for parameter, default in keywords if default is None]
        names = tuple(parameter.arg for parameter in required if parameter.arg != "self")
        return Signature(named, arguments.kwarg is not None, names)


def _at_module_level(node: ast.AST) -> Iterator[ast.AST]:
    """The statements of a module, also those in `if` and `try`, but not those inside of classes and functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler):
            yield child
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _at_module_level(child)


def _is_decorated_with(name: str, node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Whether one of a definition's decorators is `name`, `module.name`, or a call of either."""
    decorators = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return any(name in (getattr(one, "id", None), getattr(one, "attr", None)) for one in decorators)
