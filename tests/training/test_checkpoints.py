"""Checkpoints on disk: what is read is what was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from search_engine.encoders.checkpoints.layout import Task, read_layout
from search_engine.training.checkpoints import (
    checkpoint_of,
    find_last_checkpoint,
    layout_with_max_tokens,
    read_checkpoint,
    remove_incomplete,
    write_checkpoint,
)
from search_engine.training.training_model import TrainingModel
from tests.encoders.checkpoints import write_sentence_transformer, write_trunk
from tests.training.runs import LearnedScale


def _model(folder: Path, task: Task) -> TrainingModel:
    return TrainingModel(read_layout(folder, task=task), {"data": LearnedScale()})


def _routed(folder: Path, trunk: Path) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Router, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    dense = Dense(16, 16)
    router = Router.for_query_document(
        query_modules=[Transformer(str(trunk)), Pooling(16, "mean"), dense],
        document_modules=[Transformer(str(trunk)), Pooling(16, "mean"), dense],
    )
    SentenceTransformer(modules=[router], device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.mark.parametrize(
    "kind", ["dense", "sparse", "cross", "routed", "albert", "t5", "modernbert", "gpt2"]
)
def test_every_weight_comes_back(
    kind: str, dense_encoder: Path, bert: Path, masked_lm: Path, classifier: Path, tmp_path: Path
) -> None:
    task: Task = {"sparse": "sparse", "cross": "score"}.get(kind, "embedding")  # type: ignore[assignment]
    base = {"dense": dense_encoder, "sparse": masked_lm, "cross": classifier}.get(kind)
    if kind == "routed":
        base = _routed(tmp_path / "routed", bert)
    if base is None:
        trunk = write_trunk(tmp_path / "trunk", architecture=kind)
        base = write_sentence_transformer(tmp_path / "base", trunk, dense=True)
    model = _model(base, task)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    write_checkpoint(model, tmp_path / "checkpoint")
    again = _model(base, task)
    read_checkpoint(again, tmp_path / "checkpoint")
    written, read = model.state_dict(), again.state_dict()
    assert written.keys() == read.keys()
    assert len(written) > 15
    for name, weight in written.items():
        assert torch.equal(weight, read[name]), name


def test_the_last_checkpoint_is_the_whole_one_of_most_steps(tmp_path: Path) -> None:
    assert find_last_checkpoint(tmp_path / "none") is None
    for step, state in ((9, "{}"), (100, "{}"), (200, '{"ep'), (300, None)):
        checkpoint_of(tmp_path, step).mkdir()
        if state is not None:
            (checkpoint_of(tmp_path, step) / "trainer_state.json").write_text(state)
    assert find_last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"
    remove_incomplete(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-100", "checkpoint-9"]


def test_routes_that_share_a_module_share_it_when_texts_are_cut(bert: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    shared = [Transformer(str(bert)), Pooling(16, "mean")]
    router = Router.for_query_document(query_modules=shared, document_modules=shared)
    SentenceTransformer(modules=[router], device="cpu").save(
        str(tmp_path / "routed"), create_model_card=False
    )
    layout = read_layout(tmp_path / "routed", task="embedding")
    whole, cut = (TrainingModel(each, {}) for each in (layout, layout_with_max_tokens(layout, 8)))
    assert len(cut.transformers()) == len(whole.transformers())
    assert layout_with_max_tokens(layout, None) is layout
