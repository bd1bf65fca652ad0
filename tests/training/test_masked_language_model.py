"""Pre-training of a masked-language-model head: masks, loss, what is learned, what is written."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from transformers import AutoModelForMaskedLM

from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.errors import CheckpointError, ConfigError, TrainingDataError
from search_engine.training.language_model_head import (
    read_layout_of_any_kind,
    to_sparse_layout,
    write_with_new_head,
)
from search_engine.training.masked_language_model import (
    LanguageTrainingModel,
    pretrain_masked_language_model,
)
from search_engine.training.masking import (
    ALL_EPOCHS,
    UNMASKED,
    Masking,
    MaskingCollator,
    ShuffledTexts,
    TokenizedTexts,
)
from search_engine.training.settings import TrainingSettings
from tests.encoders.checkpoints import (
    TEXTS,
    edit_json,
    write_json,
    write_sentence_transformer,
    write_trunk,
)

LINES = tuple(text for text in TEXTS if text.strip()) * 3
SETTINGS = TrainingSettings(learning_rate=3e-3, batch_size=4, epochs=2, log_every=2, seed=5)


def masking_of(folder: Path, *, share: float = 0.15, seed: int = 0) -> Masking:
    tokenizer = open_tokenizer(to_sparse_layout(read_layout_of_any_kind(folder))).whole
    mask_id = tokenizer.token_to_id("[MASK]") or tokenizer.token_to_id("<mask>")
    return Masking(tokenizer, mask_id=mask_id, share=share, seed=seed)


def within(count: int, total: int, share: float) -> bool:
    """Whether so many of a total would be seen once in 10,000 tries at the least."""
    low, high = binom.interval(0.9999, total, share)
    return bool(low <= count <= high)


def test_how_many_tokens_are_masked(masked_lm: Path) -> None:
    layout = read_layout(masked_lm, task="sparse")
    tokenizer = open_tokenizer(layout)
    masking = masking_of(masked_lm, share=0.15)
    special = {tokenizer.whole.token_to_id(f"[{name}]") for name in ("PAD", "UNK", "CLS", "SEP")}
    mask_id = tokenizer.whole.token_to_id("[MASK]")
    words = sorted(set(range(tokenizer.whole.get_vocab_size())) - special - {mask_id})
    ids = [2, *np.random.default_rng(0).choice(words, 60).tolist(), 1, 4, 0, 3]
    originals, inputs, wanted = [], [], []
    for row in range(500):
        masked, labels = masking.mask(ids, epoch=row % 7, row=row)
        originals.append(ids)
        inputs.append(masked)
        wanted.append(labels)
    original, masked, labels = np.array(originals), np.stack(inputs), np.stack(wanted)
    chosen = labels != UNMASKED
    assert not np.isin(original[chosen], [*special, mask_id]).any()
    assert (labels[chosen] == original[chosen]).all()
    assert (masked[~chosen] == original[~chosen]).all()
    total, count = 500 * 60, int(chosen.sum())
    assert within(count, total, 0.15)
    # Of the words put in by chance, one in so many is the word that was there.
    alike = 0.1 / len(words)
    assert within(int((masked[chosen] == mask_id).sum()), count, 0.8)
    assert within(int((masked[chosen] == original[chosen]).sum()), count, 0.1 + alike)
    others = chosen & (masked != mask_id) & (masked != original)
    assert within(int(others.sum()), count, 0.1 - alike)
    # Each place, and each of the words that are put in, as often as any other.
    per_place = chosen.sum(axis=0)[1:61]
    assert all(within(int(each), 500, 0.15) for each in per_place)
    assert not np.isin(masked[others], [*special, mask_id]).any()
    assert len(np.unique(masked[others])) > 0.8 * len(words)


def test_masks_are_of_seed_epoch_and_text(masked_lm: Path) -> None:
    ids = list(range(5, 45))
    masking = masking_of(masked_lm)
    again = masking_of(masked_lm)
    other = masking_of(masked_lm, seed=1)
    first = masking.mask(ids, epoch=3, row=7)
    for found, same in zip(first, again.mask(ids, epoch=3, row=7), strict=True):
        np.testing.assert_array_equal(found, same)
    for masked in (
        masking.mask(ids, epoch=4, row=7),
        masking.mask(ids, epoch=3, row=8),
        masking.mask(ids, epoch=ALL_EPOCHS, row=7),
        other.mask(ids, epoch=3, row=7),
    ):
        assert (masked[1] != first[1]).any()


def test_every_text_once_in_an_epoch() -> None:
    rows = np.array([3, 5, 8, 9, 11, 20, 21])
    plan = ShuffledTexts(rows, batch_size=3, seed=1)
    epochs = []
    for epoch in (0, 1):
        plan.set_epoch(epoch)
        batches = list(plan)
        assert [len(batch) for batch in batches] == [3, 3, 1]
        assert len(plan) == 3
        assert {number for batch in batches for number, _ in batch} == {epoch}
        epochs.append([row for batch in batches for _, row in batch])
        assert sorted(epochs[-1]) == rows.tolist()
    assert epochs[0] != epochs[1]
    shares = [list(ShuffledTexts(rows, batch_size=3, seed=1, rank=rank, processes=2))
              for rank in (0, 1)]  # fmt: skip
    assert [[row for batch in share for _, row in batch] for share in shares] == [
        epochs[0][:3],
        epochs[0][3:6],
    ]


def test_texts_are_kept_as_the_encoder_reads_them(masked_lm: Path) -> None:
    tokenizer = open_tokenizer(read_layout(masked_lm, task="sparse"))
    texts = TokenizedTexts(iter(TEXTS), tokenizer)
    kept = [text for text in TEXTS if text.strip()]
    assert texts.blank == len(TEXTS) - len(kept)
    assert len(texts) == len(kept)
    found = texts.__getitems__([(0, row) for row in range(len(kept))])
    for (_, _, ids), expected in zip(found, tokenizer.tokenize(kept), strict=True):
        assert ids.tolist() == expected.ids


@pytest.mark.parametrize(
    "architecture", ["bert", "roberta", "distilbert", "mpnet", "albert", "modernbert"]
)
def test_the_loss_is_that_of_transformers(tmp_path: Path, architecture: str) -> None:
    """Computed for masked tokens alone, in value and in every gradient."""
    folder = write_trunk(tmp_path / "trunk", architecture=architecture, head="MaskedLM")
    layout = read_layout(folder, task="sparse")
    tokenizer = open_tokenizer(layout)
    texts = TokenizedTexts(LINES, tokenizer)
    collator = MaskingCollator(
        masking_of(folder, share=0.3),
        name="texts",
        input_names=layout.input_names,
        pad_id=tokenizer.pad_id,
    )
    batch = collator(texts.__getitems__([(2, row) for row in range(8)]))["batch"]
    assert batch.labels.shape == batch.inputs["input_ids"].shape
    assert (batch.labels != UNMASKED).any(dim=1).sum() > 3
    ours = LanguageTrainingModel(layout)
    theirs: Any = AutoModelForMaskedLM.from_pretrained(folder).eval()
    value = ours(batch)
    outputs = theirs(**batch.inputs, labels=batch.labels)
    assert value.item() == pytest.approx(outputs.loss.item(), rel=1e-5)
    value.backward()
    outputs.loss.backward()
    mine = {
        name.removeprefix("graphs.any.trunk.model."): each for name, each in ours.named_parameters()
    }
    reference = dict(theirs.named_parameters())
    assert mine.keys() == reference.keys()
    for name, expected in reference.items():
        assert expected.grad is not None
        torch.testing.assert_close(mine[name].grad, expected.grad, atol=1e-5, rtol=1e-4)
    # What the report says, by counting.
    guessed = outputs.logits.argmax(dim=-1)[batch.labels != UNMASKED]
    wanted = batch.labels[batch.labels != UNMASKED]
    found = ours.measure_all([batch])
    assert found["loss"] == pytest.approx(outputs.loss.item(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((guessed == wanted).float().mean().item())


def test_a_batch_without_masks_changes_nothing(masked_lm: Path) -> None:
    layout = read_layout(masked_lm, task="sparse")
    model = LanguageTrainingModel(layout)
    collator = MaskingCollator(
        masking_of(masked_lm, share=1e-12), name="", input_names=layout.input_names, pad_id=0
    )
    value = model(collator([(0, 0, np.array([2, 9, 3], np.int32))])["batch"])
    value.backward()
    assert value.item() == 0
    assert all(float(each.grad.abs().max()) == 0 for each in model.parameters())


def test_a_new_head_is_tied_and_the_same_for_a_seed(bert: Path, tmp_path: Path) -> None:
    layout = to_sparse_layout(read_layout_of_any_kind(bert))
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        state = torch.random.get_rng_state()
        assert write_with_new_head(layout, tmp_path / name, seed=seed)
        assert torch.equal(torch.random.get_rng_state(), state)
    models = {
        name: AutoModelForMaskedLM.from_pretrained(tmp_path / name) for name in ("a", "b", "c")
    }
    original = read_weights(bert)
    weights = {name: model.state_dict() for name, model in models.items()}
    for key, value in weights["a"].items():
        assert torch.equal(value, weights["b"][key])
        if key.startswith("bert."):
            assert torch.equal(value, original[key.removeprefix("bert.")])
    dense = "cls.predictions.transform.dense.weight"
    assert not torch.equal(weights["a"][dense], weights["c"][dense])
    # A new head predicts what is alike: its last layer is the table of the word embeddings.
    assert torch.equal(
        weights["a"]["cls.predictions.decoder.weight"],
        original["embeddings.word_embeddings.weight"],
    )


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_head_that_is_there_stays(masked_lm: Path, tmp_path: Path) -> None:
    layout = to_sparse_layout(read_layout_of_any_kind(masked_lm))
    assert not write_with_new_head(layout, tmp_path / "new", seed=0)
    assert not (tmp_path / "new").exists()


def test_a_damaged_body_is_no_reason_for_a_new_one(bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "damaged"
    shutil.copytree(bert, folder)
    weights = read_weights(folder)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    layout = to_sparse_layout(read_layout_of_any_kind(folder))
    with pytest.raises(CheckpointError, match=r"lacks weights .*layer\.1\.output\.dense"):
        write_with_new_head(layout, tmp_path / "new", seed=0)


def test_a_damaged_head_is_not_replaced(masked_lm: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "damaged"
    shutil.copytree(masked_lm, folder)
    weights = read_weights(folder)
    del weights["cls.predictions.transform.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    layout = to_sparse_layout(read_layout_of_any_kind(folder))
    assert not write_with_new_head(layout, tmp_path / "new", seed=0)
    with pytest.raises(CheckpointError, match=r"lacks weights .*transform\.dense"):
        LanguageTrainingModel(layout)


def corpus() -> list[str]:
    """What stands between two words says which word it is."""
    return ["the cell is made of lipids", "a query of the document"] * 60


@pytest.fixture(scope="module")
def learned(
    bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, Path, list[Any]]]:
    """A bi-encoder without a head, trained on two sentences."""
    root = tmp_path_factory.mktemp("learned")
    start = write_sentence_transformer(root / "st", bert)
    entries: list[Any] = []
    report = pretrain_masked_language_model(
        str(start),
        corpus(),
        root / "run",
        settings=TrainingSettings(learning_rate=5e-3, batch_size=8, epochs=25, log_every=5, seed=3),
        held_out=0.25,
        device="cpu",
        offline=True,
        on_log=entries.append,
    )
    yield report, root / "run", entries


def test_what_is_learned(learned: tuple[Any, Path, list[Any]]) -> None:
    report, folder, entries = learned
    assert report.steps == 25 * 12
    scores = dict(report.scores)
    before, after = scores[0], scores[report.best_step]
    # Who knows how often each word is used, and nothing of what stands beside it, has this loss.
    counts = np.array(list(Counter(" ".join(corpus()).split()).values()))
    frequency = counts / counts.sum()
    unaware = -float((frequency * np.log(frequency)).sum())
    assert unaware > 2
    assert before["loss"] > unaware
    assert before["accuracy"] < 0.2
    assert after["loss"] < unaware / 2
    assert after["accuracy"] > 0.7
    assert after["loss"] == min(each["loss"] for each in scores.values())
    assert report.losses[-1][1] < 0.4 * report.losses[0][1]
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in logged] == [entry["step"] for entry in entries]
    model = AutoModelForMaskedLM.from_pretrained(report.model).eval()
    tokenizer = open_tokenizer(read_layout(report.model, task="sparse")).whole
    for text, word in (("the cell is [MASK] of lipids", "made"), ("a [MASK] of the document",
                                                                  "query")):  # fmt: skip
        encoding = tokenizer.encode(text)
        place = encoding.tokens.index("[MASK]")
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([encoding.ids])).logits[0, place]
        assert tokenizer.id_to_token(int(logits.argmax())) == word


def test_the_sparse_encoder_that_it_makes(learned: tuple[Any, Path, list[Any]]) -> None:
    report, folder, _ = learned
    encoder = SparseEncoder(str(report.model), backend="torch", dtype="float32")
    untrained = SparseEncoder(str(folder / "untrained"), backend="torch", dtype="float32")
    model = AutoModelForMaskedLM.from_pretrained(report.model).eval()
    text = "the cell is made of lipids"
    ids = torch.tensor([encoder.tokenizer.encode(text).ids])
    with torch.no_grad():
        expected = model(input_ids=ids).logits[0].relu().log1p().amax(dim=0).numpy()
    terms, weights = encoder.encode_document([text]).row(0)
    np.testing.assert_allclose(weights, expected[terms], atol=1e-5)
    assert set(terms) == set(np.flatnonzero(expected > 0))
    words = {term for term, _ in encoder.decode(encoder.encode_document([text]), 8)[0]}
    assert len(words & set(text.split())) >= 5
    first = {term for term, _ in untrained.decode(untrained.encode_document([text]), 8)[0]}
    assert words != first


def test_it_goes_on_as_it_would_have_gone(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of the second epoch, with dropout, and gone on with."""
    settings = SETTINGS.model_copy(update={"save_every": 3})
    arguments: dict[str, Any] = {"settings": settings, "device": "cpu", "held_out": 0.1}
    whole = pretrain_masked_language_model(str(bert), LINES, tmp_path / "whole", **arguments)
    assert whole.steps > 11
    calls = 0
    forward = LanguageTrainingModel.forward

    def killed(self: Any, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt
        return forward(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(LanguageTrainingModel, "forward", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain_masked_language_model(str(bert), LINES, tmp_path / "two", **arguments)
    resumed = pretrain_masked_language_model(
        str(bert), LINES, tmp_path / "two", resume=True, **arguments
    )
    assert resumed.steps == whole.steps
    assert resumed.scores == whole.scores
    assert resumed.losses == whole.losses
    first, second = read_weights(whole.model), read_weights(resumed.model)
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    with pytest.raises(ConfigError, match=r"another one: .*texts"):
        pretrain_masked_language_model(
            str(bert), LINES[1:], tmp_path / "two", resume=True, **arguments
        )
    with pytest.raises(ConfigError, match="not empty"):
        pretrain_masked_language_model(str(bert), LINES, tmp_path / "two", **arguments)


def test_lines_of_a_file_and_none_held_out(masked_lm: Path, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(["the cell", "", "a membrane of lipids", "  ", "made of"]) + "\n")
    report = pretrain_masked_language_model(
        str(masked_lm),
        path,
        tmp_path / "run",
        settings=TrainingSettings(learning_rate=1e-3, epochs=3, batch_size=2, max_tokens=8),
        held_out=0,
        masked_share=0.5,
        device="cpu",
    )
    assert (report.steps, report.scores, report.best_step) == (6, (), None)
    assert report.problems == {str(path): 2}
    assert not (tmp_path / "run" / "untrained").exists()
    assert SparseEncoder(str(report.model), backend="torch").max_tokens == 8
    changed = read_weights(report.model)
    assert any(
        not torch.equal(value, changed[key]) for key, value in read_weights(masked_lm).items()
    )


def test_what_a_sparse_checkpoint_says_stays(masked_lm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "splade"
    SparseEncoder(str(masked_lm), backend="torch").save(folder)
    edit_json(folder / "1_SpladePooling" / "config.json", {"pooling_strategy": "sum"})
    edit_json(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": "query: ", "document": ""}, "max_active_dims": 9},
    )
    layout = to_sparse_layout(read_layout_of_any_kind(folder))
    assert layout.modules[1].config["pooling_strategy"] == "sum"
    assert layout.max_active_dims == 9
    assert layout.prompts["query"] == "query: "
    bare = to_sparse_layout(read_layout_of_any_kind(masked_lm))
    assert bare.max_active_dims is None
    assert [spec.type for spec in bare.modules] == ["Transformer", "SpladePooling"]
    assert bare.trunk_task == "fill-mask"


def test_what_cannot_be_trained(bert: Path, masked_lm: Path, tmp_path: Path) -> None:
    def check(error: type[Exception], message: str, **options: Any) -> None:
        given: dict[str, Any] = {"model": str(masked_lm), "texts": LINES} | options
        with pytest.raises(error, match=message):
            pretrain_masked_language_model(
                given.pop("model"), given.pop("texts"), tmp_path / "run", device="cpu", **given
            )
        assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())

    check(TrainingDataError, "of 0 texts", texts=["", "  "])
    check(TrainingDataError, "of 1 texts", texts=["cell"])
    check(TrainingDataError, "cannot be read as lines", texts=tmp_path / "nothing.txt")
    check(ConfigError, "masked_share is 0", masked_share=0)
    check(ConfigError, "held_out is 1", held_out=1)
    check(ConfigError, "holds no run", resume=True)
    unmasked = tmp_path / "unmasked"
    shutil.copytree(bert, unmasked)
    settings = json.loads((unmasked / "tokenizer_config.json").read_text())
    del settings["mask_token"]
    write_json(unmasked / "tokenizer_config.json", settings)
    check(CheckpointError, "no 'mask_token'", model=str(unmasked))
    t5 = write_trunk(tmp_path / "t5", architecture="t5")
    check(CheckpointError, "no 'mask_token'", model=str(t5))
