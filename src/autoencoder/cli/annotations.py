"""Reads the value of a type annotation from its syntax tree, without running any text of a source file."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

CALLED = ("annotated_types", "pydantic.fields")  # the modules of Ge and Field, which annotations call
OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.BitOr: operator.or_,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
}


def value_of(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of an annotation or a type alias: names, `|`, subscripts, numbers, and limits such as `Ge(0)`.

    Args: names, the values of the names in it.
    Raises: an Exception of any kind for anything else, which no annotation needs.
    """
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return names[name]
        case ast.Subscript(value, index):
            return value_of(value, names)[value_of(index, names)]
        case ast.Tuple(elements):
            return tuple(value_of(element, names) for element in elements)
        case ast.List(elements):
            return [value_of(element, names) for element in elements]
        case ast.BinOp(left, sign, right):
            return OPERATORS[type(sign)](value_of(left, names), value_of(right, names))
        case ast.UnaryOp(ast.USub(), operand):
            return -value_of(operand, names)
        case ast.Call(function, arguments, keywords):
            limit = value_of(function, names)
            if limit.__module__ not in CALLED:
                raise ValueError(f"{limit} is called")
            named = {keyword.arg or "": value_of(keyword.value, names) for keyword in keywords}
            return limit(*(value_of(argument, names) for argument in arguments), **named)
    raise ValueError(f"{type(node).__name__} in an annotation")
