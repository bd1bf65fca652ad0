"""The cross-encoder: labels, activations, prompts, cut pairs and bad input."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.errors import CheckpointError, ConfigError
from tests.encoders.checkpoints import MAX_TOKENS, TEXTS, edit_json, write_trunk

PAIRS = [("the cell", text) for text in TEXTS]


@pytest.fixture(scope="module")
def cross(classifier: Path) -> CrossEncoder:
    return CrossEncoder(str(classifier), backend="torch", dtype="float32")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three") / "model"
    write_trunk(folder, head="SequenceClassification", labels=3)
    edit_json(folder / "config.json", {"id2label": {"0": "no", "1": "maybe", "2": "yes"}})
    return folder


def test_one_label_is_a_score_and_a_column(cross: CrossEncoder) -> None:
    assert (cross.num_labels, cross.labels) == (1, ("LABEL_0",))
    scores = cross.predict(PAIRS)
    columns = cross.predict_labels(PAIRS)
    assert (scores.shape, columns.shape) == ((12,), (12, 1))
    assert scores.dtype == columns.dtype == np.float32
    assert (columns[:, 0] == scores).all()
    assert (cross.predict_labels(PAIRS, apply_softmax=True) == columns).all()
    assert cross.predict_labels([]).shape == (0, 1)


def test_several_labels_have_no_ranking(three: Path) -> None:
    several = CrossEncoder(str(three), backend="torch", dtype="float32")
    assert (several.num_labels, several.labels) == (3, ("no", "maybe", "yes"))
    for ask in (
        lambda: several.predict(PAIRS),
        lambda: several.rank("a", list(TEXTS)),
        several.check_single_label,
    ):
        with pytest.raises(
            CheckpointError, match=r"has 3 labels \(no, maybe, yes\).*predict_labels"
        ):
            ask()
    finished: list[int] = []
    scores = several.predict_labels(PAIRS, on_batch=finished.append)
    assert (scores.shape, scores.dtype, sum(finished)) == ((12, 3), np.float32, 12)
    alone = np.concatenate([several.predict_labels([pair]) for pair in PAIRS])
    np.testing.assert_allclose(scores, alone, atol=1e-5)
    softmax = several.predict_labels(PAIRS, apply_softmax=True)
    np.testing.assert_allclose(softmax, torch.from_numpy(scores).softmax(dim=1).numpy(), atol=1e-6)
    assert softmax.dtype == np.float32
    assert several.predict_labels([], apply_softmax=True).shape == (0, 3)


def test_logits_are_made_float32_before_the_activation(classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(classifier, tmp_path / "model"))
    edit_json(folder / "config.json", {"sbert_ce_default_activation_function": "torch.nn.Identity"})
    logits = CrossEncoder(str(folder), backend="torch", dtype="bfloat16").predict(PAIRS)
    assert (torch.from_numpy(logits).bfloat16().float().numpy() == logits).all()
    scores = CrossEncoder(str(classifier), backend="torch", dtype="bfloat16").predict(PAIRS)
    assert (scores == torch.from_numpy(logits).sigmoid().numpy()).all()


def test_what_is_cut_is_counted(classifier: Path) -> None:
    cross = CrossEncoder(str(classifier), backend="torch", dtype="float32")
    query, text = "the cell", "the membrane of the cell " * 40
    cross.predict([(query, "of"), (query, text)])
    # Two tokens of the query, 200 of the text, three special ones.
    assert (cross.truncated_texts, cross.truncated_tokens) == (1, 205 - MAX_TOKENS)
    kept = " ".join(text.split()[: MAX_TOKENS - 5])
    np.testing.assert_allclose(cross.predict([(query, text)]), cross.predict([(query, kept)]))


def test_prompts_by_name_given_and_by_default(classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(classifier, tmp_path / "model"))
    settings = {"prompts": {"query": "of ", "other": "the "}, "default_prompt_name": "other"}
    edit_json(folder / "config_sentence_transformers.json", settings)
    cross = CrossEncoder(str(folder), backend="torch", dtype="float32")
    assert dict(cross.prompts) == {"query": "of ", "document": "", "other": "the "}
    assert cross.default_prompt_name == "other"
    for chosen, prompt in (
        ({}, "the "),
        ({"prompt_name": "query"}, "of "),
        ({"prompt": ""}, ""),
        ({"prompt": "a ", "prompt_name": "query"}, "a "),
    ):
        by_hand = cross.predict([(prompt + "cell", text) for text in TEXTS], prompt="")
        pairs = [("cell", text) for text in TEXTS]
        assert (cross.predict(pairs, **chosen) == by_hand).all()
        assert (cross.predict_labels(pairs, **chosen)[:, 0] == by_hand).all()
        ranked = cross.rank("cell", TEXTS, **chosen)
        assert [score for _, score in ranked] == sorted(by_hand.tolist(), reverse=True)
    with pytest.raises(ConfigError, match="no prompt named 'none'"):
        cross.predict(PAIRS, prompt_name="none")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("query", "text"), "pair 0 is not two texts"),
        (["ab", "cd"], "pair 0 is not two texts"),
        ("query", "must be in a list"),
        (None, "must be in a list"),
        ([("q", None)], "the second text of pair 0 is None"),
        ([("q", b"t")], "is bytes"),
        ([("q", "t"), ("q", "t", "u")], "pair 1 is not two texts"),
        ([("q", 3)], "is int 3"),
    ],
)
def test_what_is_no_pair_of_texts(cross: CrossEncoder, pairs: object, message: str) -> None:
    for predict in (cross.predict, cross.predict_labels):
        with pytest.raises(ConfigError, match=message):
            predict(pairs)  # type: ignore[arg-type]


def test_rank_takes_a_list_of_texts(cross: CrossEncoder) -> None:
    for texts in ("text", None, 3, [None], ["a", 3]):
        with pytest.raises(ConfigError, match=r"list|None|int"):
            cross.rank("query", texts)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="first text of pair 0 is None"):
        cross.rank(None, ["text"])  # type: ignore[arg-type]


def test_odd_texts_have_finite_scores(cross: CrossEncoder) -> None:
    odd = ["", "\x00", "\ud800", "a" * 100_000, "日" * 5_000, "\u200b", "[SEP]"]
    scores = cross.predict([(first, second) for first in odd for second in odd])
    assert np.isfinite(scores).all()
    listed = [["the", "cell"], ["a", "cell"]]
    pairs = [("the", "cell"), ("a", "cell")]
    assert (cross.predict(listed) == cross.predict(pairs)).all()  # type: ignore[arg-type]
