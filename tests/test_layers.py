"""The house rules of imports: who may import whom, and what an import must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Row by row as in docs/architecture.md; a part imports from rows above its own only.
ROWS = (
    {"types", "errors", "quantization", "scripts"},
    {"config", "registry", "filters", "filter_syntax", "query_syntax", "phrases"}
    | {"near_duplicates"},
    {"encoders", "embeddings", "ingest", "index", "fusion"},
    {"rerank", "explain", "legs", "narrowing", "collapse"},
    {"document_writer", "rebuild", "query_path", "calibration"},
    {"search", "doctor"},
    {"evaluation", "sync"},
    {"training"},
    {"app"},
    {"cli"},
)
ROW = {part: number for number, row in enumerate(ROWS) for part in row}


def _part(module: str) -> str | None:
    names = module.split(".")
    if names[0] == "app":
        return "app"
    return names[1] if names[0] == "search_engine" and len(names) > 1 else None


def _imports(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            modules.add(node.module)
            # `from search_engine import x` imports a part, too.
            if node.module == "search_engine":
                modules |= {f"search_engine.{name.name}" for name in node.names}
    return modules


SOURCES = [
    path
    for folder in ("search_engine", "app")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path != ROOT / "search_engine" / "__init__.py"
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_part_imports_only_from_rows_above(path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    own = _part(module)
    assert own in ROW, f"{own} is not in the table of rows"
    for imported in _imports(path):
        other = _part(imported)
        if other is None or other == own:
            continue
        assert ROW[other] < ROW[own], f"{module} (row {ROW[own]}) imports {imported}"
        assert not imported.startswith("sentence_transformers")


def test_sentence_transformers_is_not_imported_by_the_product() -> None:
    for path in SOURCES:
        assert not any(name.startswith("sentence_transformers") for name in _imports(path)), path


@pytest.mark.parametrize(
    ("module", "unloaded"),
    [
        ("search_engine", ["torch", "transformers", "faiss", "pydantic"]),
        ("search_engine.cli.app", ["torch", "transformers", "faiss", "numpy", "pydantic", "rich"]),
        (
            "search_engine.search",
            ["torch", "transformers", "openvino", "onnxruntime", "nncf", "pandas", "markdown_it"],
        ),
    ],
)
def test_an_import_stays_light(module, unloaded) -> None:
    program = f"import sys, {module}; print([m for m in {unloaded!r} if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
