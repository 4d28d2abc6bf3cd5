"""Finds names in a piece of Python that the package does not have.

Running a piece of code shows what is wrong with the lines that run. This looks at all of them: at
what is imported from the package, at attributes and methods of what came from it (classes, `ctx`,
`self` in a channel or a test, clients), at arguments by name, at what a channel class may say, at
fixtures and at dotted paths. Each place that was looked at is a spot, so a test can spoil them one
by one.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, get_type_hints

PACKAGE = "django_jackfield"


@dataclass(frozen=True)
class Instance:
    """Something whose class is known."""

    of: Any


@dataclass
class Local:
    """A class that the code itself defines."""

    bases: list[Any]
    own: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Spot:
    """A name that was looked up: where it is in the tree."""

    node: ast.AST
    attribute: str

    @property
    def name(self) -> str:
        return str(getattr(self.node, self.attribute))


class Names(ast.NodeVisitor):
    """Walks through one module."""

    def __init__(self, fixtures: set[str]) -> None:
        self.fixtures = fixtures
        self.faults: list[str] = []
        self.spots: list[Spot] = []
        self.known: list[dict[str, Any]] = [{}]

    # What names mean.

    def look(self, name: str) -> Any:
        return next((scope[name] for scope in reversed(self.known) if name in scope), None)

    def meaning(self, node: ast.AST) -> Any:
        """What an expression is, as far as it can be told; None if not."""
        if isinstance(node, ast.Name):
            return self.look(node.id)
        if isinstance(node, ast.Attribute):
            return member(self.meaning(node.value), node.attr)
        if isinstance(node, ast.Call):
            called = self.meaning(node.func)
            if inspect.isclass(called):
                return Instance(called)
            return returned(called)
        if isinstance(node, ast.Await):
            return self.meaning(node.value)
        return None

    # Spots.

    def spot(self, node: ast.AST, attribute: str, right: bool, fault: str) -> None:
        self.spots.append(Spot(node, attribute))
        if not right:
            self.faults.append(f"line {getattr(node, 'lineno', '?')}: {fault}")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        ours = (node.module or "").split(".")[0].startswith(PACKAGE)
        try:
            module = import_module(node.module or "")
        except Exception as error:
            if ours:
                self.spot(node, "module", False, f"{node.module}: {error}")
            return
        if ours:
            self.spot(node, "module", True, "")
        for alias in node.names:
            found = getattr(module, alias.name, None)
            if ours:
                self.spot(alias, "name", found is not None, f"{node.module} has no {alias.name}")
            self.known[-1][alias.asname or alias.name] = found

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = self.meaning(node.value)
        if of_package(owner):
            self.spot(node, "attr", has(owner, node.attr), f"{shown(owner)} has no {node.attr}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self.meaning(node.func)
        taken = arguments(called) if of_package(called) else None
        if taken is not None:
            for keyword in node.keywords:
                if keyword.arg:
                    right = keyword.arg in taken
                    self.spot(
                        keyword, "arg", right, f"{shown(called)} does not take {keyword.arg}="
                    )
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and re.fullmatch(rf"{PACKAGE}(\.\w+)+", node.value):
            self.spot(node, "value", dotted(node.value), f"there is no {node.value}")

    def visit_Assign(self, node: ast.Assign) -> None:
        meaning = self.meaning(node.value)
        for target in node.targets:
            values = [None]
            names = [target]
            if isinstance(target, ast.Tuple):
                names = target.elts
                values = [None] * len(names)
                if isinstance(node.value, ast.Tuple):
                    values = [self.meaning(one) for one in node.value.elts]
            elif isinstance(target, ast.Name):
                values = [meaning]
            for name, value in zip(names, values, strict=False):
                if isinstance(name, ast.Name):
                    self.known[-1][name.id] = value
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            if isinstance(item.optional_vars, ast.Name):
                self.known[-1][item.optional_vars.id] = entered(self.meaning(item.context_expr))
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [self.meaning(base) for base in node.bases]
        local = Local(bases)
        self.known[-1][node.name] = local
        of_channel = any(is_channel(base) for base in bases)
        for child in node.body:
            names = []
            if isinstance(child, ast.Assign):
                names = [(one, "id", one.id) for one in child.targets if isinstance(one, ast.Name)]
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [(child, "name", child.name)]
            for owner, attribute, name in names:
                decorated = bool(getattr(child, "decorator_list", ()))
                if of_channel and not name.startswith("_") and not decorated:
                    right = any(has(base, name) for base in bases)
                    self.spot(owner, attribute, right, f"a channel class does not know {name}")
                local.own.add(name)
        for one in ast.walk(node):
            if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store):
                local.own.add(one.attr)
        self.known.append({"self": Instance(local), "cls": local})
        self.generic_visit(node)
        self.known.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        scope: dict[str, Any] = {}
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            scope[argument.arg] = (
                self.look(argument.arg) if argument.arg in ("self", "cls") else None
            )
            if argument.arg == "ctx":
                scope["ctx"] = Instance(import_module(PACKAGE).Context)
            if argument.arg.startswith("jackfield_") and node.name.startswith("test_"):
                right = argument.arg in self.fixtures
                self.spot(argument, "arg", right, f"there is no fixture {argument.arg}")
                scope[argument.arg] = fixture(argument.arg)
        self.known.append(scope)
        for statement in node.body:
            self.visit(statement)
        self.known.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]


def looked_at(source: str, fixtures: set[str]) -> Names:
    """The names of a module, looked at."""
    return names_of(ast.parse(source), fixtures)


def names_of(tree: ast.AST, fixtures: set[str]) -> Names:
    names = Names(fixtures)
    names.visit(tree)
    return names


def unnoticed(source: str, fixtures: set[str]) -> list[str]:
    """Spots that can be spoilt, one at a time, without a fault: there must be none."""
    silent = []
    count = len(looked_at(source, fixtures).spots)
    for index in range(count):
        tree = ast.parse(source)
        spot = names_of(tree, fixtures).spots[index]
        setattr(spot.node, spot.attribute, f"{spot.name}x")
        if not names_of(tree, fixtures).faults:
            silent.append(spot.name)
    return silent


# What things have.


def is_channel(value: Any) -> bool:
    channel = import_module(PACKAGE).Channel
    if isinstance(value, Local):
        return any(map(is_channel, value.bases))
    return inspect.isclass(value) and issubclass(value, channel)


def of_package(value: Any) -> bool:
    """Whether it comes from the package, or extends what does."""
    if isinstance(value, Instance):
        return of_package(value.of)
    if isinstance(value, Local):
        return any(map(of_package, value.bases))
    if inspect.isclass(value):
        return any(kind.__module__.startswith(PACKAGE) for kind in value.__mro__)
    if inspect.ismodule(value):
        return value.__name__.startswith(PACKAGE)
    return str(getattr(value, "__module__", "")).startswith(PACKAGE)


def has(value: Any, name: str) -> bool:
    if isinstance(value, Instance):
        return has(value.of, name) or name in set_by_init(value.of)
    if isinstance(value, Local):
        return name in value.own or any(has(base, name) for base in value.bases)
    return hasattr(value, name) or name in getattr(value, "__annotations__", {})


def set_by_init(kind: Any) -> set[str]:
    """The attributes that methods of a class give to `self`."""
    if isinstance(kind, Local):
        return set().union(*(set_by_init(base) for base in kind.bases))
    return given_to_self(kind) if inspect.isclass(kind) else set()


@lru_cache
def given_to_self(kind: type) -> set[str]:
    found: set[str] = set()
    for one in kind.__mro__:
        found |= set(getattr(one, "__annotations__", {}))
        found |= set(re.findall(r"\b(?:self|cls)\.(\w+)\b[^=\n(]*=", source_of(one)))
    return found


def source_of(kind: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        return ""


def member(value: Any, name: str) -> Any:
    if isinstance(value, Instance):
        if isinstance(value.of, Local):
            return member(value.of, name)
        return getattr(value.of, name, None)
    if isinstance(value, Local):
        return next((getattr(base, name, None) for base in value.bases if has(base, name)), None)
    return getattr(value, name, None)


def returned(called: Any) -> Any:
    """What a function of the package gives, where its annotation tells."""
    if isinstance(called, Instance) and called.of is not None:
        called = getattr(called.of, "__call__", None)  # noqa: B004
    if not of_package(called):
        return None
    try:
        kind = get_type_hints(called).get("return")
    except Exception:
        return None
    return Instance(kind) if inspect.isclass(kind) and of_package(kind) else None


def entered(value: Any) -> Any:
    """What `with ... as` gives: of ours, only things that give themselves."""
    return value if isinstance(value, Instance) else None


@lru_cache
def arguments(called: Any) -> set[str] | None:
    """The arguments by name that something takes; None where it takes any, or it cannot be told."""
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return {one.name for one in parameters if one.kind is not one.POSITIONAL_ONLY}


def shown(value: Any) -> str:
    if isinstance(value, Instance):
        return shown(value.of)
    if isinstance(value, Local):
        return " and ".join(map(shown, value.bases))
    return str(getattr(value, "__qualname__", value))


def dotted(path: str) -> bool:
    """Whether a dotted path leads to something."""
    try:
        import_module(path)
    except ImportError:
        module, _, name = path.rpartition(".")
        try:
            return hasattr(import_module(module), name)
        except ImportError:
            return False
    return True


def fixture(name: str) -> Any:
    """What a fixture of our pytest plugin gives, where it can be told."""
    from django_jackfield.testing.client import JackfieldClient

    made: dict[str, Callable[[], Any]] = {"jackfield_client": lambda: JackfieldClient}
    if name == "jackfield_live":
        from django_jackfield.testing.live import LiveServer

        return Instance(LiveServer)
    return made.get(name, lambda: None)()
