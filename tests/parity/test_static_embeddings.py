"""Static embeddings, as Sentence Transformers and as model2vec writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.modules.static_embedding import StaticEmbedding as OurStaticEmbedding
from search_engine.encoders.tokenizers.static_tokenizer import open_static_tokenizer
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import TEXTS, write_bert_tokenizer, write_json


def tokenizer(folder: Path, *, limit: int | None = None) -> Tokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    write_bert_tokenizer(folder)
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.no_truncation()
    if limit is not None:
        made.enable_truncation(limit, direction="left")
    made.no_padding()
    made.save(str(folder / "tokenizer.json"))
    return made


def random_vectors(rows: int, width: int = 6) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(0))


def encode_by_hand(made: Tokenizer, vectors: np.ndarray) -> np.ndarray:
    """The mean of the vectors of each text's tokens."""
    rows = [vectors[made.encode(text, add_special_tokens=False).ids] for text in TEXTS]
    return np.stack([row.mean(axis=0) if len(row) else np.zeros(vectors.shape[1]) for row in rows])


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("limit", [None, 5])
def test_as_sentence_transformers_writes_it(
    tmp_path: Path, backend: str, limit: int | None
) -> None:
    made = tokenizer(tmp_path / "tokenizer", limit=limit)
    vectors = random_vectors(made.get_vocab_size())
    torch.manual_seed(0)
    modules = [StaticEmbedding(made, embedding_weights=vectors), Dense(6, 4), Normalize()]
    theirs = SentenceTransformer(modules=modules, device="cpu", prompts={"query": "the cell "})
    theirs.save(str(tmp_path / "st"), create_model_card=False)
    ours = BiEncoder(str(tmp_path / "st"), backend=backend, dtype="float32")
    for method in ("encode", "encode_query"):
        np.testing.assert_allclose(
            getattr(ours, method)(TEXTS), getattr(theirs, method)(list(TEXTS)), atol=1e-5
        )
    lengths = [len(made.encode(text, add_special_tokens=False).ids) for text in TEXTS]
    assert ours.max_tokens == (5 if limit else 1_000_000)
    assert (ours.truncated_texts > 0) == (limit is not None)
    assert max(lengths) == (5 if limit else 200)
    ours.save(tmp_path / "saved")
    reloaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(reloaded.encode(list(TEXTS)), theirs.encode(list(TEXTS)), atol=1e-6)


def test_a_text_without_tokens_is_zeros(tmp_path: Path) -> None:
    made = tokenizer(tmp_path / "st")
    vectors = random_vectors(made.get_vocab_size())
    save_file({"embedding.weight": vectors}, tmp_path / "st" / "model.safetensors")
    type_ = "sentence_transformers.models.StaticEmbedding"
    write_json(
        tmp_path / "st" / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": type_}]
    )
    ours = BiEncoder(str(tmp_path / "st"), backend="torch", dtype="float32")
    # Together with a longer text, and alone.
    assert not ours.encode(["", "cell membrane"])[0].any()
    assert not ours.encode([" "]).any()
    np.testing.assert_allclose(ours.encode(TEXTS), encode_by_hand(made, vectors.numpy()), atol=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("keys", [(), ("mapping",), ("weights",), ("mapping", "weights")])
def test_as_model2vec_writes_it(tmp_path: Path, keys: tuple[str, ...], normalize: bool) -> None:
    made = tokenizer(tmp_path)
    count = made.get_vocab_size()
    generator = torch.Generator().manual_seed(1)
    shared = random_vectors(20 if "mapping" in keys else count)
    folded = shared
    state = {"embeddings": shared}
    if "mapping" in keys:
        state["mapping"] = torch.randint(20, (count,), generator=generator)
        folded = shared[state["mapping"]]
    if "weights" in keys:
        state["weights"] = torch.rand(count, generator=generator, dtype=torch.float64)
        folded = folded * state["weights"].float()[:, None]
    save_file(state, tmp_path / "model.safetensors")
    write_json(tmp_path / "config.json", {"model_type": "model2vec", "normalize": normalize})
    expected = encode_by_hand(made, folded.numpy())
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True).clip(1e-12)
    ours = BiEncoder(str(tmp_path), backend="torch", dtype="float32")
    np.testing.assert_allclose(ours.encode(TEXTS), expected, atol=1e-5)
    # The same files, as the reference reads them.
    theirs = StaticEmbedding.load(str(tmp_path))
    np.testing.assert_allclose(
        SentenceTransformer(modules=[theirs, Normalize()], device="cpu").encode(list(TEXTS)),
        ours.encode(TEXTS) / np.linalg.norm(ours.encode(TEXTS), axis=1, keepdims=True).clip(1e-12),
        atol=1e-5,
    )


def test_half_precision_and_whole_numbers(tmp_path: Path) -> None:
    made = tokenizer(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "model2vec"})
    for dtype in (torch.float16, torch.int8):
        vectors = (random_vectors(made.get_vocab_size()) * 30).to(dtype)
        save_file({"embeddings": vectors}, tmp_path / "model.safetensors")
        ours = BiEncoder(str(tmp_path), backend="torch", dtype="float32")
        expected = encode_by_hand(made, vectors.float().numpy())
        np.testing.assert_allclose(ours.encode(TEXTS), expected, atol=1e-4)


def test_a_long_text_takes_no_vector_for_each_token(tmp_path: Path) -> None:
    made = tokenizer(tmp_path)
    width, tokens = 512, 20_000
    module = OurStaticEmbedding(random_vectors(made.get_vocab_size(), width), tokenizer=made)
    features = {
        "input_ids": torch.arange(tokens).unsqueeze(0) % 20,
        "attention_mask": torch.ones((1, tokens), dtype=torch.int64),
    }
    with torch.inference_mode(), torch.profiler.profile(profile_memory=True) as profile:
        vector = module(features)["sentence_embedding"]
    expected = module.embedding.weight[:20].mean(dim=0)
    torch.testing.assert_close(vector[0], expected, atol=1e-4, rtol=1e-4)
    largest = max(event.cpu_memory_usage for event in profile.events())
    # Ids, mask and counts, not 512 numbers for each token.
    assert 0 < largest < tokens * 16


def test_words_that_the_vocabulary_lacks(tmp_path: Path) -> None:
    tokenizer(tmp_path, limit=3)
    opened = open_static_tokenizer(tmp_path)
    known, foreign, smile, broken = opened.tokenize(
        ["the cell", "日本語 cell", "the cell 🙂", "cell \ud83d"]
    )
    assert [text.unknown for text in (known, foreign, smile, broken)] == [False, True, False, False]
    assert (opened.unknown, opened.truncated, opened.truncated_tokens) == (1, 1, 1)
    # Cut on the left, as its file says.
    assert foreign.ids == opened.whole.encode("日本語 cell", add_special_tokens=False).ids[-3:]
    assert opened.count_prompt("the cell") == 0


def test_files_that_are_missing_or_do_not_fit(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "model2vec"})
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        BiEncoder(str(tmp_path))
    made = tokenizer(tmp_path)
    for rows, message in ((made.get_vocab_size() - 1, "there are vectors for"), (None, "two dim")):
        vectors = torch.zeros(3) if rows is None else torch.zeros(rows, 2)
        save_file({"embeddings": vectors}, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match=message):
            BiEncoder(str(tmp_path), backend="torch", dtype="float32")
