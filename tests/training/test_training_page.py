"""docs/training.md says what there is: names, commands, code."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from search_engine.cli.app import app
from search_engine.cli.training_losses import make_loss
from search_engine.training.losses import bi_encoder, cross_encoder, sparse_encoder
from search_engine.training.losses.inputs import VectorBatch

PAGE = (Path(__file__).resolve().parents[2] / "docs/training.md").read_text(encoding="utf-8")
# Fenced blocks: the language, and what stands in it.
BLOCKS = [block.partition("\n")[::2] for block in PAGE.split("```")[1::2]]
CODE = [content for language, content in BLOCKS if language == "python"]
COMMANDS = [
    line
    for language, content in BLOCKS
    if not language
    for line in content.replace("\\\n", " ").splitlines()
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_can_be_given(line: str) -> None:
    program, name, *arguments = shlex.split(line)
    assert program == "search-cli"
    command: Any = typer.main.get_command(app)
    context = command.commands[name].make_context(name, arguments, resilient_parsing=False)
    assert context.params


def test_names_of_the_page_are_there() -> None:
    dotted = set(re.findall(r"(search_engine(?:\.\w+)+)", PAGE))
    assert len(dotted) > 3
    for name in dotted:
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name
    from search_engine.evaluation.mteb_adapter import MtebEncoder

    assert f"{MtebEncoder.__name__}(encoder)" in PAGE


def test_every_loss_is_on_the_page() -> None:
    for room in (bi_encoder, sparse_encoder, cross_encoder):
        for name in room.LOSSES.names():
            if not name.startswith("Cached"):
                assert name.removesuffix("Loss") in PAGE, name


def test_the_loss_of_the_page_is_loaded_and_computed(tmp_path: Path) -> None:
    (source,) = [code for code in CODE if "class TripletByDot" in code]
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")
    loss = make_loss(f"{path}:TripletByDot", [], kind="bi")
    anchors, positives, negatives = torch.eye(3)[:, :, None].expand(3, 3, 2)
    value = loss(VectorBatch((anchors, positives, negatives)))
    expected = ((anchors * negatives).sum(1) - (anchors * positives).sum(1) + 1).clamp(min=0)
    assert value.item() == expected.mean().item()
