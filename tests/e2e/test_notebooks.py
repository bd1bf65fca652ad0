"""The notebooks: what is kept in each file, and that it comes out again when all cells are run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from unittest.mock import patch

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
# A path from the root, or of a drive, that no file of the repository should name.
_ABSOLUTE = re.compile(r"(?<![\w.:/~-])/(?:home|root|tmp|work|Users|usr|var|opt)/|\b[A-Z]:\\\\")


def _outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def _printed(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(output.text for output in _outputs(notebook) if output.name == "stdout")


def _find(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, f"{pattern} is not in what was printed:\n{text}"
    return found.groups()


def test_there_are_the_notebooks_that_the_documentation_names() -> None:
    assert {path.stem for path in PATHS} == {"compare_retrievers", "search_your_folder"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_as_it_ran(path: Path) -> None:
    written = path.read_text("utf-8")
    notebook = nbformat.reads(written, as_version=4)
    nbformat.validate(notebook)
    assert json.loads(written)["nbformat"] == 4
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run all cells from the first to the last"
    # No error, no warning on standard error; drawn is one figure.
    kinds = [(output.output_type, output.get("name")) for output in _outputs(notebook)]
    drawn = kinds.count(("display_data", None))
    assert drawn == (path.stem == "compare_retrievers")
    assert kinds.count(("stream", "stdout")) == len(kinds) - drawn > 0
    assert not _ABSOLUTE.findall(written)
    assert not re.search(r"\b[\d.]+ (?:ms|s|seconds)\b|\x1b|\\u001b|\\r", written)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, nbformat.NotebookNode]:
    """Every notebook, run by this interpreter: name -> with its new outputs."""
    from nbclient import NotebookClient

    jupyter = tmp_path_factory.mktemp("jupyter")
    kernel = jupyter / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": "Python 3", "language": "python"}
    kernel.write_text(json.dumps(specification), "utf-8")
    done = {}
    with patch.dict("os.environ", {"JUPYTER_PATH": str(jupyter), "HF_HUB_OFFLINE": "1"}):
        for path in PATHS:
            notebook = nbformat.read(path, as_version=4)
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
            NotebookClient(
                notebook,
                kernel_name="python3",
                timeout=300,
                coalesce_streams=True,
                resources={"metadata": {"path": str(NOTEBOOKS)}},
            ).execute()
            done[path.stem] = notebook
    return done


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, executed: dict[str, nbformat.NotebookNode]) -> None:
    outputs = _outputs(executed[path.stem])
    assert outputs
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


@pytest.mark.slow
def test_search_your_folder_says_what_it_did(executed: dict[str, nbformat.NotebookNode]) -> None:
    printed = _printed(executed["search_your_folder"])

    indexed, unread = _find(r"^(\d+) files indexed, (\d+) not readable$", printed)
    documents, _ = _find(r"^(\d+) documents, (\d+) chunks$", printed)
    table = re.findall(r"^\.\w+ +(\d+) files +(\d+) documents$", printed, re.MULTILINE)
    assert sum(int(files) for files, _ in table) == int(indexed) == 28
    assert sum(int(count) for _, count in table) == int(documents) == 53
    named = re.findall(r"^not read: ([^:]+): ", printed, re.MULTILINE)
    assert named == ["handbook/archive/annual-report-2019.pdf", "handbook/archive/empty.txt"]
    assert int(unread) == len(named)

    (results, together) = _find(r'^"Mill Pond" +(\d+) results, (\d+) of them', printed)
    assert results == together
    _find(r"^  also in (handbook/visit/opening-hours-2025.md)$", printed)

    # One page is replaced, two are new (one of them under another name), two are gone.
    _find(r"^(documents: 2 added, 1 replaced, 50 unchanged, 2 deleted)$", printed)
    _find(r"^(chunks: 2 encoded, 1 reused)$", printed)
    _find(r"^(not deleted below handbook: 20 documents: they are gone)", printed)
    _find(r"^(documents: 0 added, 0 replaced, 33 unchanged, 20 deleted)$", printed)
    _find(r"^(33 documents)$", printed)


@pytest.mark.slow
def test_search_your_folder_finds_what_its_text_says(
    executed: dict[str, nbformat.NotebookNode],
) -> None:
    printed = _printed(executed["search_your_folder"])
    (hit_at_1, mrr) = _find(r"^fused +hit@1 ([\d.]+)  MRR@10 ([\d.]+)$", printed)
    # "for more than four of five questions"
    assert float(hit_at_1) > 0.8
    assert float(hit_at_1) <= float(mrr) <= 1
    missed = re.findall(r"^([a-z]{2}-\d\d)  ", printed, re.MULTILINE)
    assert {"de-03", "fr-03", "es-03"} <= set(missed)
    assert len(missed) == round(40 * (1 - float(hit_at_1)))


@pytest.mark.slow
def test_what_is_kept_is_what_comes_out(executed: dict[str, nbformat.NotebookNode]) -> None:
    """Counts, names and problems; scores and ranks may differ between machines."""
    kept = nbformat.read(NOTEBOOKS / "search_your_folder.ipynb", as_version=4)
    for before, now in zip(kept.cells, executed["search_your_folder"].cells, strict=True):
        if before.cell_type == "code" and "sync(engine" in before.source:
            assert [e.text for e in now.outputs] == [e.text for e in before.outputs]


@pytest.mark.slow
def test_compare_retrievers_shows_what_its_text_says(
    executed: dict[str, nbformat.NotebookNode],
) -> None:
    printed = _printed(executed["compare_retrievers"])

    def ndcg(name: str) -> float:
        return float(_find(rf"^{name} +ndcg@10 ([\d.]+)", printed)[0])

    def cosine(name: str) -> float:
        return float(_find(rf"^{name} +mean cosine of two documents ([\d.]+)", printed)[0])

    assert ndcg("trained, CLS") < ndcg("trained, mean")
    assert max(ndcg("raw, mean"), ndcg("raw, CLS")) < ndcg("trained, CLS")
    # The raw space is a narrow cone; a contrastive loss opens it.
    assert cosine("raw, mean") > 0.9 > cosine("raw, fine-tuned") > cosine("trained, mean")
