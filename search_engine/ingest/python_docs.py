"""The documentation that comes with every Python: the docstrings of its standard library."""

from __future__ import annotations

import ast
import inspect
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from search_engine.errors import ReadError
from search_engine.ingest.files import SourceFile
from search_engine.ingest.reading import Record
from search_engine.types import Document

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_Documented: TypeAlias = ast.Module | ast.ClassDef | _Function

# Installed packages, tests, and programs: not what one asks the standard library's manual about.
_LEFT_OUT = frozenset(
    {
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idle_test",
        "idlelib",
        "lib2to3",
        "turtledemo",
        "__pycache__",
    }
)


def read_python_docs(library: Path | None = None) -> Iterator[Record]:
    """One record for each public module, class and function that has a docstring.

    Public is what has no name on its path that begins with an underscore. The sources are parsed,
    never imported; one that does not parse is a problem. `doc_id` is "python/" and the dotted
    name, the title is the signature, the metadata are `module` and `kind` ("module", "class",
    "function", "method"). Of several definitions of one name (one for each platform, a property
    and its setter) the first with a docstring counts.

    Args:
        library: the folder of the standard library; that of the running interpreter by default.
    """
    root = library or Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        below = path.relative_to(root)
        module = _name_module(below)
        if module is not None:
            resolved = path.resolve()
            status = resolved.stat()
            file = SourceFile(
                resolved,
                str(path),
                root.resolve(),
                below.as_posix(),
                status.st_size,
                status.st_mtime_ns,
            )
            yield from _read_module(file, module)


def _name_module(below: Path) -> str | None:
    """The dotted name of a public module, None for a file that is none."""
    parts = list(below.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    if not parts or any(part.startswith("_") or part in _LEFT_OUT for part in parts):
        return None
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


def _read_module(file: SourceFile, module: str) -> Iterator[Record]:
    try:
        with tokenize.open(file.path) as source, warnings.catch_warnings():
            # Old modules have escapes that today's compiler warns of.
            warnings.simplefilter("ignore")
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        problem = ReadError(file.given, f"is not Python that can be parsed: {error}", line=line)
        yield Record(file, None, problem, file.size)
        return
    seen: set[str] = set()
    for name, kind, node in _walk(tree, module, "module"):
        if name not in seen:
            document = _make_document(name, kind, node, module, file)
            if document is not None:
                seen.add(name)
                yield Record(file, document, None, file.size)


def _walk(node: _Documented, name: str, kind: str) -> Iterator[tuple[str, str, _Documented]]:
    """What can have a docstring: the node, and the public definitions in it, with dotted names."""
    yield name, kind, node
    if not isinstance(node, _Function):
        for child in _find_definitions(node.body):
            if not child.name.startswith("_"):
                inner = "class"
                if isinstance(child, _Function):
                    inner = "function" if isinstance(node, ast.Module) else "method"
                yield from _walk(child, f"{name}.{child.name}", inner)


def _find_definitions(body: list[ast.stmt]) -> Iterator[ast.ClassDef | _Function]:
    """Definitions that stand in a body, or in one of its `if`, `try` and `with` statements."""
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _find_definitions(statement.body)
            yield from _find_definitions(getattr(statement, "orelse", []))
            for handler in getattr(statement, "handlers", []):
                yield from _find_definitions(handler.body)


def _make_document(
    name: str, kind: str, node: _Documented, module: str, file: SourceFile
) -> Document | None:
    raw = ast.get_docstring(node, clean=False)
    text = inspect.cleandoc(raw) if raw else ""
    if raw is None or not text.strip():
        return None
    literal = node.body[0]
    # Cleaning drops blank lines at the beginning. A literal with "\n" or a continuation in it has
    # other lines than its text, so all of it is said to stand where it begins.
    first_line = literal.lineno
    lines_match = literal.end_lineno == literal.lineno + raw.count("\n")
    if lines_match:
        leading = raw[: len(raw) - len(raw.lstrip())]
        first_line += leading.count("\n")
    return Document(
        doc_id=f"python/{name}",
        text=text,
        title=_make_title(name, node),
        source=file.given,
        first_line=first_line,
        single_line=not lines_match,
        metadata=MappingProxyType({"module": module, "kind": kind}),
    )


def _make_title(name: str, node: _Documented) -> str:
    """`json.dumps(obj, *, skipkeys=False)` for what can be called so, else the dotted name."""
    if isinstance(node, _Function):
        return f"{name}({ast.unparse(node.args)})"
    return name
