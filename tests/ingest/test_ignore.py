"""Ignore files, as Git itself reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.ingest.files import FoundFiles, find_files
from search_engine.ingest.settings import RootSettings

TREE = (
    *("a.txt", "b.txt", "build/a.txt", "build/keep.txt", "src/a.txt", "src/build/b.txt"),
    *("src/deep/a.txt", "src/deep/er/build/a.txt", "notes #1.txt", "ä ö.txt"),
    *("b[c]*/a.txt", "bc/a.txt"),
)
_patterns = st.sampled_from(
    [
        *("a.txt", "/a.txt", "*.txt", "!a.txt", "build", "build/", "/build/", "build/*", "!build/"),
        *("!build/keep.txt", "src/build", "**/build", "src/**/a.txt", "deep/**", "#a.txt", "\\#a"),
        *("[ab].txt", "?.txt", "!*.txt", "src/deep", "!src/deep/a.txt", "", "  ", "notes*", "a.*"),
        *("er/", "*", "!*/", "ä*", "keep.txt ", "!/build/a.txt", "!src/"),
        # Git takes these for patterns that match nothing.
        *("!", "! ", "/", "!/", "//", "\\", "!\\", "a\\", "*\\", "a.txt\\", "[z-a]", "[z-a].txt"),
        *("[a-\\]", "[a-\\].txt", "[", "a[", "[[a]].txt", "[[:alpha:]"),
        # These have a meaning, of which re warns.
        *("[a&&b].txt", "[a||z].txt", "![a~~b].txt"),
    ]
)
_files = st.dictionaries(
    st.sampled_from(["", "src/", "build/", "src/deep/", "b[c]*/"]), st.lists(_patterns, max_size=5)
)


def _places(found: FoundFiles) -> set[str]:
    return {file.relative for file in found.files}


def _make(folder: Path) -> Path:
    for name in TREE:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed, which says what its rules mean")
    folder = _make(tmp_path_factory.mktemp("ignore") / "tree")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


@settings(max_examples=200, deadline=None)
@given(rules=_files)
def test_gitignore_leaves_out_what_git_leaves_out(rules, repository) -> None:
    for path in repository.rglob(".gitignore"):
        path.unlink()
    for place, patterns in rules.items():
        path = repository / place / ".gitignore"
        path.write_text("\n".join(patterns) + "\n", encoding="utf-8")
    command = ["git", "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"]
    listed = subprocess.run(
        command,
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    expected = {name for name in listed.split("\0") if name.endswith(".txt")}
    found = find_files([repository])
    assert _places(found) == expected


def test_searchignore_is_read_after_gitignore(tmp_path) -> None:
    root = _make(tmp_path / "tree")
    (root / ".gitignore").write_text("build/\n*.txt\n", encoding="utf-8")
    (root / ".searchignore").write_text("!a.txt\n!build/\n", encoding="utf-8")
    places = {name for name in TREE if name.endswith("a.txt") and not name.startswith("src/build")}
    assert _places(find_files([root])) == places


def test_a_file_that_is_named_itself_is_read_whatever_a_rule_says(tmp_path) -> None:
    root = _make(tmp_path / "tree")
    (root / ".gitignore").write_text("*\n", encoding="utf-8")
    found = find_files([root])
    # Four files, the rules themselves, and four folders: nobody looked into them.
    assert (_places(found), found.ignored) == (set(), 9)
    assert {file.given for file in find_files([root / "a.txt", root / "build"]).files} == {
        *(str(root / name) for name in ("a.txt", "build/a.txt", "build/keep.txt"))
    }


def test_rules_that_cannot_be_read_leave_nothing_out(tmp_path) -> None:
    root = _make(tmp_path / "tree")
    (root / ".gitignore").mkdir()
    (root / "src" / ".gitignore").write_bytes(b"\xff\xfe\x00\x80\n")
    assert len(find_files([root]).files) == len(TREE)


@pytest.mark.parametrize("broken", ["!", "\\", "a\\", "[z-a]", "[a-\\]", "!\\", "[[a]"])
def test_a_line_that_is_no_pattern_leaves_the_others_as_they_are(tmp_path, broken) -> None:
    root = _make(tmp_path / "tree")
    (root / ".gitignore").write_text(f"a.txt\n{broken}\nsrc/deep/\n", encoding="utf-8")
    (root / "src" / ".gitignore").write_text(f"b*\n{broken}\n", encoding="utf-8")
    expected = {"b.txt", "build/keep.txt", "notes #1.txt", "ä ö.txt"}
    assert _places(find_files([root])) == expected


@pytest.mark.parametrize("everything", ["*", "**", "/*", "/**", "**/*"])
def test_folders_are_taken_back_from_everything(tmp_path, everything) -> None:
    root = _make(tmp_path / "tree")
    (root / ".gitignore").write_text(f"{everything}\n!src/\n!a.txt\n", encoding="utf-8")
    # What is everything in the root only leaves what is below the folder alone.
    below = {name for name in TREE if name.startswith("src/")} if everything == "/*" else set()
    expected = {"a.txt", "src/a.txt"} | below
    assert _places(find_files([root])) == expected


def test_a_byte_order_mark_is_not_of_the_first_line(tmp_path) -> None:
    root = _make(tmp_path / "tree")
    (root / ".gitignore").write_text("/src/\n*b*\n", encoding="utf-8-sig")
    assert _places(find_files([root])) == {"a.txt", "notes #1.txt", "ä ö.txt"}


def test_hidden_files_are_taken_where_that_is_asked_for(tmp_path) -> None:
    root = tmp_path / "tree"
    for name in (".config/a.txt", ".b.txt", ".git/c.txt", "d.txt", ".gitignore"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text", encoding="utf-8")
    assert _places(find_files([root])) == {"d.txt"}
    found = find_files([root], settings_of=lambda _: RootSettings(hidden=True))
    # What Git keeps for itself is nobody's document.
    assert _places(found) == {".config/a.txt", ".b.txt", "d.txt"}


def test_what_lies_in_a_known_root_belongs_to_it(tmp_path) -> None:
    root = _make(tmp_path / "tree").resolve()
    (root / ".gitignore").write_text("a.txt\n", encoding="utf-8")
    given = [root / "src" / "deep", root / "b.txt"]
    found = find_files(given, roots=[root])
    # The rules of the root hold below a folder of it that is named.
    assert {(file.root, file.relative) for file in found.files} == {(root, "b.txt")}
    assert {file.given for file in found.files} == {str(root / "b.txt")}
    # Of several roots the innermost counts, and so do its rules alone.
    found = find_files(given, roots=[root, root / "src"])
    assert {(file.root, file.relative) for file in found.files} == {
        (root, "b.txt"),
        (root / "src", "deep/a.txt"),
        (root / "src", "deep/er/build/a.txt"),
    }
    assert {file.given for file in found.files} == {
        *(str(root / name) for name in ("b.txt", "src/deep/a.txt", "src/deep/er/build/a.txt"))
    }
