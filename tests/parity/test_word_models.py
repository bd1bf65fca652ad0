"""Word embeddings, bags of words, and what runs over them, against Sentence Transformers."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    CNN,
    LSTM,
    BoW,
    Pooling,
    WordEmbeddings,
    WordWeights,
)
from sentence_transformers.sentence_transformer.modules.tokenizer import (
    TransformersTokenizerWrapper,
    WhitespaceTokenizer,
)

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.modules.bag_of_words import BagOfWords
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import TEXTS, edit_json, write_bert_tokenizer

WORDS = ["PADDING_TOKEN", "cell", "Cell", "membrane", "lipids", "fox", "dog", "quick", "brown",
         "made", "query", "numbers", "marks", "b", "c", "x"]  # fmt: skip
# In no order of length, so that every batch has padding; some have no word that is known.
MIXED = (*TEXTS, "Cell fox", "the of", "membrane! (lipids) CELL", "fox dog cell x b c made fox")
WIDTH = 6


def save(folder: Path, modules: list[torch.nn.Module], **settings: Any) -> Path:
    model = SentenceTransformer(modules=modules, device="cpu", **settings)
    model.save(str(folder), create_model_card=False)
    return folder


def assert_same(
    folder: Path, reference: Path | None = None, *, backend: str = "torch", alone: bool = False
) -> BiEncoder:
    """Compare vectors; `alone` has the reference encode each text in a batch of its own."""
    theirs = SentenceTransformer(str(reference or folder), device="cpu")
    ours = BiEncoder(str(folder), backend=backend, dtype="float32")
    for method in ("encode", "encode_query"):
        expected = getattr(theirs, method)(list(MIXED), batch_size=1 if alone else 32)
        assert expected.std(axis=0).max() > 0.05
        np.testing.assert_allclose(getattr(ours, method)(MIXED), expected, atol=1e-5, rtol=1e-5)
    assert ours.dimension == expected.shape[1]
    return ours


def words(*, longest: int = 1_000_000, lowercase: bool = False) -> WordEmbeddings:
    tokenizer = WhitespaceTokenizer(
        WORDS, stop_words=["the", "of", "made"], do_lower_case=lowercase
    )
    # The padding's vector is not zero, so that it would be seen where it leaks.
    weight = torch.randn(len(WORDS), WIDTH, generator=torch.Generator().manual_seed(0)) + 0.5
    return WordEmbeddings(tokenizer, weight, update_embeddings=True, max_seq_length=longest)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_weighted_means_of_words(tmp_path: Path, backend: str) -> None:
    embeddings = words(longest=4)
    weights = WordWeights(WORDS, {"cell": 2.5, "membrane": 0.2, "dog": 0.0}, 1.5)
    pooling = Pooling(WIDTH, ("mean", "weightedmean", "lasttoken"), include_prompt=False)
    folder = save(tmp_path / "st", [embeddings, weights, pooling], prompts={"query": "quick fox "})
    ours = assert_same(folder, backend=backend)
    assert ours.max_tokens == 4
    with_prompt = ["quick fox " + text for text in MIXED]
    lengths = [len(embeddings.tokenizer.tokenize(text)) for text in (*MIXED, *with_prompt)]
    assert ours.truncated_texts == sum(length > 4 for length in lengths) > 0


def test_words_are_saved_with_their_tokenizer(tmp_path: Path) -> None:
    folder = save(tmp_path / "st", [words(lowercase=True), Pooling(WIDTH, "mean")])
    ours = assert_same(folder)
    ours.save(tmp_path / "saved")
    assert_same(tmp_path / "saved", folder)
    assert_same(folder, tmp_path / "saved")


def test_the_tokenizer_of_a_transformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    # Version 6.2 hands its own tokenizer an argument that it does not take.
    monkeypatch.setattr(
        TransformersTokenizerWrapper,
        "tokenize",
        lambda self, sentence, task=None: self.tokenizer(sentence)["input_ids"],
    )
    (tmp_path / "tokenizer").mkdir()
    write_bert_tokenizer(tmp_path / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    weight = torch.randn(len(tokenizer), WIDTH, generator=torch.Generator().manual_seed(0))
    embeddings = WordEmbeddings(tokenizer, weight, max_seq_length=9)
    folder = save(tmp_path / "st", [embeddings, Pooling(WIDTH, ("mean", "lasttoken"))])
    ours = assert_same(folder)
    assert ours.max_tokens == 9
    ours.save(tmp_path / "saved")
    assert_same(tmp_path / "saved", folder)


@pytest.mark.parametrize("cumulative", [True, False])
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_bags_of_words(tmp_path: Path, backend: str, cumulative: bool) -> None:
    weights = {"cell": 2.5, "dog": 0.5, "quick": -1.0}
    bag = BoW([*WORDS, "cell"], weights, 0.25, cumulative)
    folder = save(tmp_path / "st", [bag], prompts={"query": "quick fox "})
    ours = assert_same(folder, backend=backend)
    np.testing.assert_array_equal(
        ours.encode(["fox Cell (cell) fox unheard"])[0, 1:6],
        [2.5, 2.5, 0, 0, 0.5 if cumulative else 0.25],
    )
    ours.save(tmp_path / "saved")
    assert_same(tmp_path / "saved", folder)


@pytest.mark.parametrize(
    ("kernels", "strides", "backend"),
    [
        ([1, 3, 5], None, "torch"),
        ([1, 3, 5], None, "openvino"),
        ([3, 5], [2, 2], "torch"),
        ([3, 5], [2, 2], "openvino"),
    ],
)
def test_convolutions_see_no_padding(
    tmp_path: Path, kernels: list[int], strides: list[int] | None, backend: str
) -> None:
    torch.manual_seed(0)
    convolution = CNN(WIDTH, 4, kernels, strides)
    modes = ("mean", "weightedmean", "lasttoken")
    pooling = Pooling(4 * len(kernels), modes)
    folder = save(tmp_path / "st", [words(), convolution, pooling])
    known = [text for text in MIXED if words().tokenizer.tokenize(text)]
    theirs = SentenceTransformer(str(folder), device="cpu")
    ours = BiEncoder(str(folder), backend=backend, dtype="float32")
    expected = theirs.encode(known, batch_size=1)
    np.testing.assert_allclose(ours.encode(known), expected, atol=1e-5, rtol=1e-5)
    assert np.isfinite(ours.encode(MIXED)).all()
    ours.save(tmp_path / "saved")
    reloaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(reloaded.encode(known, batch_size=1), expected, atol=1e-6)


def test_windows_of_even_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pooling = Pooling(8, ("mean", "lasttoken"))
    folder = save(tmp_path / "st", [words(), CNN(WIDTH, 4, [2, 4], [2, 2]), pooling])
    tokenizer = words().tokenizer
    # A window of two does not fit into one word, which the reference does not take.
    known = [text for text in MIXED if len(tokenizer.tokenize(text)) > 1]
    expected = SentenceTransformer(str(folder), device="cpu").encode(known, batch_size=1)
    ours = BiEncoder(str(folder), backend="torch", dtype="float32")
    np.testing.assert_allclose(ours.encode([*known, "cell"])[:-1], expected, atol=1e-5)
    assert not ours.encode(["cell"]).any()


@pytest.mark.parametrize("bidirectional", [True, False])
def test_recurrent_networks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    lstm = LSTM(WIDTH, 5, num_layers=2, dropout=0.1, bidirectional=bidirectional)
    width = 10 if bidirectional else 5
    folder = save(tmp_path / "st", [words(), lstm, Pooling(width, ("mean", "lasttoken"))])
    ours = assert_same(folder)
    ours.save(tmp_path / "saved")
    assert_same(tmp_path / "saved", folder)
    assert_same(folder, tmp_path / "saved")
    if bidirectional:
        # OpenVINO would read the padding first, from the right; that is seen, and it is not used.
        with pytest.raises(CheckpointError, match="OpenVINO cannot convert"):
            BiEncoder(str(folder), backend="openvino", dtype="float32")
        with caplog.at_level(logging.WARNING):
            assert assert_same(folder, backend="auto").backend != "openvino"
        assert "Going on with" in caplog.text


def test_older_spellings(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = save(tmp_path / "st", [words(), CNN(WIDTH, 4), LSTM(12, 5), Pooling(10, "mean")])
    expected = BiEncoder(str(folder), backend="torch", dtype="float32").encode(MIXED)
    changes = {
        "1_CNN/cnn_config.json": ("in_embedding_dimension", "in_word_embedding_dimension"),
        "2_LSTM/lstm_config.json": ("embedding_dimension", "word_embedding_dimension"),
    }
    for name, (new, old) in changes.items():
        path = folder / name
        edit_json(path, {old: json.loads(path.read_text())[new]})
    path = folder / "wordembedding_config.json"
    old_class = "sentence_transformers.models.tokenizer.WhitespaceTokenizer.WhitespaceTokenizer"
    edit_json(path, {"tokenizer_class": old_class})
    ours = BiEncoder(str(folder), backend="torch", dtype="float32").encode(MIXED)
    np.testing.assert_array_equal(ours, expected)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    folder = save(tmp_path / "st", [words(), Pooling(WIDTH, "mean")])
    edit_json(folder / "whitespacetokenizer_config.json", {"vocab": [*WORDS, "one more"]})
    with pytest.raises(CheckpointError, match="vectors for 16 words, and the tokenizer has 17"):
        BiEncoder(str(folder), backend="torch", dtype="float32")
    edit_json(folder / "wordembedding_config.json", {"tokenizer_class": "evil.Tokenizer"})
    with pytest.raises(CheckpointError, match=r"'evil\.Tokenizer' is not supported"):
        BiEncoder(str(folder), backend="torch", dtype="float32")


def test_the_config_of_a_bag_is_all_there_is(tmp_path: Path) -> None:
    reference = BoW(WORDS, {"cell": 2.5}, 0.25, False)
    ours = BagOfWords.load(tmp_path, reference.get_config_dict(), width=0)
    assert ours.config() == reference.get_config_dict()
    assert not ours.state_dict()
