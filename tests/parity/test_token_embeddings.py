"""The vectors of tokens equal those of Sentence Transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from search_engine.encoders.bi_encoder import BiEncoder
from tests.encoders.checkpoints import MAX_TOKENS, TEXTS, write_sentence_transformer

PROMPTS = {"query": "query of the ", "document": "a document ", "other": "made "}


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_each_token_of_each_text(
    bert: Path, tmp_path: Path, backend: str, include_prompt: bool
) -> None:
    folder = write_sentence_transformer(
        tmp_path / "st",
        bert,
        pooling=("mean", "cls"),
        include_prompt=include_prompt,
        dense=True,
        normalize=True,
        prompts=PROMPTS,
        default_prompt_name="other",
    )
    ours = BiEncoder(str(folder), backend=backend, dtype="float32", truncate_dim=2)
    theirs = SentenceTransformer(str(folder), device="cpu", truncate_dim=2)
    for given in ({}, {"kind": "query"}, {"prompt": ""}, {"prompt_name": "document"}):
        asked = dict(given)
        encode = theirs.encode_query if asked.pop("kind", None) else theirs.encode
        expected = encode(list(TEXTS), output_value="token_embeddings", **asked)
        found = ours.encode_tokens(TEXTS, **given)
        assert [len(each) for each in found] == [len(each) for each in expected]
        for mine, other in zip(found, expected, strict=True):
            assert (mine.dtype, mine.shape[1]) == (np.float32, 16)
            np.testing.assert_allclose(mine, other.numpy(), atol=1e-5)
    # "[CLS] x [SEP]", and one that was cut.
    assert {len(each) for each in ours.encode_tokens(["x", "x " * 99], prompt="")} == {
        3,
        MAX_TOKENS,
    }
    assert ours.encode_tokens([]) == []
