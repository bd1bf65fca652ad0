"""The projection is that of a principal component analysis, and what it keeps is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.distillation.projection import write_projected
from tests.encoders.checkpoints import edit_json, write_sentence_transformer


def components_of(vectors: np.ndarray, dimension: int) -> tuple[np.ndarray, float]:
    """Right singular vectors of the centred matrix, each with its largest number positive."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    chosen = rows[:dimension]
    signs = [np.sign(row[np.argmax(np.abs(row))]) for row in chosen]
    return chosen * np.array(signs)[:, None], float(
        (values**2)[:dimension].sum() / (values**2).sum()
    )


def test_the_projection_is_the_singular_value_decomposition(
    bert: Path, texts: list[str], tmp_path: Path
) -> None:
    texts = list(dict.fromkeys(texts))
    made = write_projected(str(bert), iter(texts), tmp_path / "small", dimension=5)
    encoder = BiEncoder(str(bert), backend="torch", dtype="float32")
    vectors = encoder.encode(texts)
    fitted = np.stack([vector for n, vector in enumerate(vectors) if n % 10 != 9])
    held_out = vectors[9::10]
    components, variance = components_of(fitted, 5)
    small = BiEncoder(str(tmp_path / "small"), backend="torch", dtype="float32")
    assert small.dimension == 5
    np.testing.assert_allclose(small.encode(texts), vectors @ components.T, atol=1e-3)
    assert made.variance == pytest.approx(variance, abs=1e-4)
    assert (made.dimension, made.texts, made.held_out) == (5, len(fitted), len(held_out))
    assert np.linalg.norm(components @ components.T - np.eye(5)) < 1e-6

    def cosines(rows: np.ndarray) -> np.ndarray:
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit @ unit.T

    before, after = cosines(held_out), cosines(held_out @ components.T)
    pairs = [(i, j) for i in range(len(held_out)) for j in range(i)]
    expected = pearsonr([before[pair] for pair in pairs], [after[pair] for pair in pairs])[0]
    assert made.correlation == pytest.approx(expected, abs=1e-3)
    kept = []
    for number in range(len(held_out)):
        others = [n for n in range(len(held_out)) if n != number]
        near = [set(sorted(others, key=lambda n: -c[number, n])[:10]) for c in (before, after)]
        kept.append(len(near[0] & near[1]) / 10)
    assert made.nearest_kept == pytest.approx(np.mean(kept), abs=0.02)
    assert 0.3 < made.nearest_kept < 1


def test_a_normalized_and_truncated_teacher(
    teacher: Path, texts: list[str], tmp_path: Path
) -> None:
    import shutil

    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "teacher"
    shutil.copytree(teacher, folder)
    edit_json(folder / "config_sentence_transformers.json", {"truncate_dim": 9})
    write_projected(str(folder), texts, tmp_path / "small", dimension=12)
    vectors = BiEncoder(str(teacher), backend="torch", dtype="float32").encode(texts)
    components, _ = components_of(
        np.stack([vector for n, vector in enumerate(vectors) if n % 10 != 9]), 12
    )
    expected = vectors @ components.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    small = BiEncoder(str(tmp_path / "small"), backend="torch", dtype="float32")
    assert (small.dimension, small.prompts["query"]) == (12, "query ")
    np.testing.assert_allclose(small.encode(texts), expected, atol=1e-3)
    theirs = SentenceTransformer(str(tmp_path / "small"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(
        small.encode_query(texts[:40]), theirs.encode(texts[:40], prompt_name="query"), atol=1e-5
    )


def test_all_but_one_dimension_keep_nearly_all(
    bert: Path, texts: list[str], tmp_path: Path
) -> None:
    made = write_projected(str(bert), texts, tmp_path / "small", dimension=15)
    assert made.variance > 0.99
    assert made.correlation > 0.9


def test_the_covariance_does_not_depend_on_blocks(
    bert: Path, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_engine.training.distillation import projection

    counts: list[int] = []
    whole = write_projected(str(bert), texts, tmp_path / "whole", dimension=4)
    monkeypatch.setattr(projection, "_BLOCK_TEXTS", 7)
    monkeypatch.setattr(projection, "_HELD_OUT", 5)
    parts = write_projected(
        str(bert), texts, tmp_path / "parts", dimension=4, on_texts=counts.append
    )
    assert sum(counts) == len(texts)
    assert (parts.held_out, parts.texts) == (5, len(texts) - 5)
    assert (whole.held_out, whole.texts) == (24, len(texts) - 24)
    assert parts.variance == pytest.approx(whole.variance, abs=0.02)


def test_wrong_dimensions_and_too_few_texts(bert: Path, texts: list[str], tmp_path: Path) -> None:
    for dimension in (0, 16):
        with pytest.raises(ConfigError, match=r"the vectors of .* have 16, give fewer"):
            write_projected(str(bert), texts, tmp_path / "small", dimension=dimension)
    for few in ([], texts[:8], texts[:19]):
        with pytest.raises(TrainingDataError, match=rf"{len(few)} texts are too few"):
            write_projected(str(bert), few, tmp_path / "small", dimension=8)
    assert not (tmp_path / "small").exists()


def test_two_texts_have_no_correlation(bert: Path, texts: list[str], tmp_path: Path) -> None:
    few = list(dict.fromkeys(texts))
    made = write_projected(str(bert), few[:29], tmp_path / "two", dimension=3)
    assert (made.held_out, made.correlation) == (2, None)
    made = write_projected(str(bert), few[:30], tmp_path / "three", dimension=3)
    assert made.held_out == 3
    assert made.correlation is not None
    alike = write_projected(str(bert), ["the cell"] * 40, tmp_path / "alike", dimension=3)
    assert alike.correlation is None


def test_a_dense_layer_may_be_there_already(bert: Path, texts: list[str], tmp_path: Path) -> None:
    folder = write_sentence_transformer(tmp_path / "model", bert, dense=True)
    write_projected(str(folder), texts, tmp_path / "small", dimension=3)
    before = BiEncoder(str(folder), backend="torch", dtype="float32").encode(texts)
    after = BiEncoder(str(tmp_path / "small"), backend="torch", dtype="float32").encode(texts)
    assert before.shape[1] == 6
    # A projection of all vectors by one matrix of orthogonal rows.
    matrix = np.linalg.lstsq(before, after, rcond=None)[0]
    np.testing.assert_allclose(before @ matrix, after, atol=1e-4)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-3)
