"""Everything that a caller may ask of the bi-encoder, against Sentence Transformers."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from search_engine.encoders import inference
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.errors import CheckpointError, ConfigError
from search_engine.quantization import calibrate, quantize_embeddings
from tests.encoders.checkpoints import TEXTS, edit_json, write_sentence_transformer

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category}:{origin}.*")
    for category in ("FutureWarning", "DeprecationWarning")
    for origin in ("sentence_transformers", "transformers", "torch")
]
PROMPTS = {"query": "query of the ", "passage": "a document "}


@pytest.fixture(scope="module")
def checkpoint(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "st"
    return write_sentence_transformer(folder, bert, normalize=True, prompts=PROMPTS)


@pytest.fixture(scope="module")
def ours(checkpoint: Path) -> BiEncoder:
    return BiEncoder(str(checkpoint), backend="torch", dtype="float32")


@pytest.fixture(scope="module")
def theirs(checkpoint: Path) -> SentenceTransformer:
    return SentenceTransformer(str(checkpoint), device="cpu")


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dimension", [None, 5, 16, 99])
def test_normalizing_and_truncating(
    ours: BiEncoder, theirs: SentenceTransformer, dimension: int | None, normalize: bool
) -> None:
    for method in ("encode", "encode_query", "encode_document"):
        expected = getattr(theirs, method)(
            list(TEXTS), normalize_embeddings=normalize, truncate_dim=dimension
        )
        found = getattr(ours, method)(TEXTS, normalize=normalize, truncate_dim=dimension)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)
    # The checkpoint's own scaling comes before the cut, and the one that was asked for after it.
    lengths = np.linalg.norm(found, axis=1)
    assert np.allclose(lengths, 1, atol=1e-5) == (normalize or dimension != 5)


def test_a_call_overrules_how_the_encoder_was_opened(checkpoint: Path) -> None:
    opened = BiEncoder(str(checkpoint), backend="torch", dtype="float32", truncate_dim=4)
    theirs = SentenceTransformer(str(checkpoint), device="cpu", truncate_dim=4)
    assert opened.dimension == theirs.get_embedding_dimension() == 4
    assert opened.encode(TEXTS).shape == (len(TEXTS), 4)
    np.testing.assert_allclose(
        opened.encode(TEXTS, truncate_dim=9), theirs.encode(list(TEXTS), truncate_dim=9), atol=1e-5
    )


@pytest.mark.parametrize("dimension", [0, -1])
def test_a_vector_of_nothing(ours: BiEncoder, dimension: int) -> None:
    with pytest.raises(ConfigError, match=f"truncate_dim is {dimension}, and must be at least 1"):
        ours.encode(TEXTS, truncate_dim=dimension)
    with pytest.raises(ConfigError, match="must be at least 1"):
        BiEncoder(ours.name, truncate_dim=dimension)


def test_prompts_given_on_opening(checkpoint: Path, tmp_path: Path) -> None:
    given = {"query": "the cell ", "other": "made of "}
    opened = BiEncoder(
        str(checkpoint),
        backend="torch",
        dtype="float32",
        prompts=given,
        default_prompt_name="other",
    )
    theirs = SentenceTransformer(
        str(checkpoint), device="cpu", prompts=given, default_prompt_name="other"
    )
    assert opened.prompts == {**theirs.prompts, "document": ""}
    assert opened.default_prompt_name == "other"
    for method in ("encode", "encode_query", "encode_document"):
        expected = getattr(theirs, method)(list(TEXTS))
        np.testing.assert_allclose(getattr(opened, method)(TEXTS), expected, atol=1e-5)
    plain = BiEncoder(str(checkpoint), backend="torch", dtype="float32")
    assert dict(plain.prompts) == {**PROMPTS, "document": ""}
    # It is another model to an index, and stays one when it is saved.
    assert plain.fingerprint != opened.fingerprint
    opened.save(tmp_path / "saved")
    again = BiEncoder(str(tmp_path / "saved"), backend="torch", dtype="float32")
    assert again.prompts == opened.prompts
    np.testing.assert_allclose(again.encode(TEXTS), opened.encode(TEXTS), atol=1e-6)


def test_a_default_prompt_that_does_not_exist(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no prompt named 'lost'; it has document, passage"):
        BiEncoder(str(checkpoint), backend="torch", default_prompt_name="lost")
    folder = shutil.copytree(checkpoint, tmp_path / "copy")
    edit_json(folder / "config_sentence_transformers.json", {"default_prompt_name": "lost"})
    with pytest.raises(ConfigError, match="no prompt named 'lost'"):
        BiEncoder(str(folder), backend="torch")


def test_the_prompt_of_a_kind_and_one_instead_of_it(ours: BiEncoder) -> None:
    query = ours.encode_query(TEXTS)
    np.testing.assert_array_equal(ours.encode(TEXTS, kind="query"), query)
    np.testing.assert_array_equal(ours.encode(TEXTS, prompt_name="query"), query)
    plain = ours.encode(TEXTS, prompt="")
    assert np.abs(query - plain).max() > 1e-3
    np.testing.assert_array_equal(ours.encode(TEXTS, kind="query", prompt=""), plain)
    passage = ours.encode(TEXTS, kind="document", prompt_name="passage")
    np.testing.assert_array_equal(passage, ours.encode(TEXTS, prompt=PROMPTS["passage"]))


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_codes_are_made_batch_by_batch(
    ours: BiEncoder, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "WINDOW", 5)
    vectors = ours.encode_query(TEXTS, truncate_dim=9, normalize=True)
    # Other bounds than these texts have.
    ranges = calibrate(vectors) * np.float32(0.7)
    expected = quantize_embeddings(vectors, precision, ranges=ranges)
    done: list[int] = []
    found = ours.encode_quantized(
        TEXTS,
        precision=precision,
        ranges=ranges,
        kind="query",
        truncate_dim=9,
        normalize=True,
        on_batch=done.append,
    )
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert sum(done) == len(TEXTS)
    assert ours.encode_quantized([], precision=precision).shape == (
        0,
        2 if precision.endswith("binary") else 16,
    )


def test_codes_that_cannot_be_made_before_anything_is_encoded(ours: BiEncoder) -> None:
    done: list[int] = []
    with pytest.raises(ConfigError, match="taken from 12 embeddings"):
        ours.encode_quantized(TEXTS, precision="int8", on_batch=done.append)
    with pytest.raises(ConfigError, match=r"are \[2, 16\]"):
        ours.encode_quantized(
            TEXTS, precision="int8", ranges=np.ones((2, 3), np.float32), on_batch=done.append
        )
    assert done == []


def test_tokens_of_a_model_without_any(tmp_path: Path, bert: Path) -> None:
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    model.save(str(tmp_path / "static"), create_model_card=False)
    encoder = BiEncoder(str(tmp_path / "static"))
    with pytest.raises(CheckpointError, match="begins with StaticEmbedding"):
        encoder.encode_tokens(["x"])


def test_several_at_once_leave_the_event_loop_free(
    checkpoint: Path, ours: BiEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("query", "document", None)
    expected = [ours.encode(TEXTS, kind=kind, normalize=True) for kind in kinds]
    begun, go_on = threading.Barrier(len(kinds) + 1), threading.Event()
    run = inference.Inference.run

    def wait_and_run(*args, **settings):
        begun.wait(60)
        go_on.wait(60)
        return run(*args, **settings)

    monkeypatch.setattr(inference.Inference, "run", wait_and_run)

    async def ask() -> list[np.ndarray]:
        asked = [
            asyncio.create_task(ours.aencode(TEXTS, kind=kind, normalize=True)) for kind in kinds
        ]
        # All are at it while the loop is here, which would hang if one of them held it.
        await asyncio.to_thread(begun.wait, 60)
        assert not any(task.done() for task in asked)
        go_on.set()
        return await asyncio.gather(*asked)

    for found, wanted in zip(asyncio.run(ask()), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
