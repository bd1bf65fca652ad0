"""A question from a cold process loads nothing that it does not need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = "from search_engine.cli import main; main()"
HEAVY = {"torch", "transformers", "sentence_transformers", "pandas", "onnxruntime", "nncf"}


def test_a_cold_query_imports_neither_torch_nor_transformers(tmp_path: Path) -> None:
    (tmp_path / "cells.md").write_text("# Cells\n\nA membrane keeps the cell together.\n")
    cli = [sys.executable, "-X", "importtime", "-c", PROGRAM]
    subprocess.run(
        [*cli, "index", "cells.md", "--index", "i"], cwd=tmp_path, check=True, capture_output=True
    )
    asked = subprocess.run(
        [*cli, "query", "what keeps a cell together?", "--index", "i", "--json"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    (result,) = json.loads(asked.stdout)["results"]
    assert result["ranks"]["dense"] == 1
    imported = {line.rpartition("|")[2].strip() for line in asked.stderr.splitlines()}
    assert "search_engine.encoders.bi_encoder" in imported
    assert imported & HEAVY == set()
