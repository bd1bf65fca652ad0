"""Texts of whose words a tokenizer knows too few are counted, and it is known which they are."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from search_engine.config import BM25Config, Config, DenseConfig
from search_engine.encoders import inference
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.tokenizers.text_tokenizer import TextTokenizer
from search_engine.index.analysis import Analyzer
from search_engine.legs import Legs, UnreadableChunks
from search_engine.types import Chunk, Document
from tests.encoders.checkpoints import edit_json, write_trunk

KNOWN = "the cell"
UNKNOWN = "日本語"


@pytest.fixture(scope="module")
def long_tokenizer(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """The tokenizer of `bert`, reading 200 tokens."""
    folder = tmp_path_factory.mktemp("long") / "model"
    shutil.copytree(bert, folder)
    edit_json(folder / "tokenizer_config.json", {"model_max_length": 200})
    edit_json(folder / "config.json", {"max_position_embeddings": 200})
    return TextTokenizer(read_layout(folder, task="embedding"))


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        # With the two special tokens: 1 of 50 is a fiftieth, 1 of 49 is more.
        (f"{'the ' * 47}日", False),
        (f"{'the ' * 46}日", True),
        (f"{'the ' * 96}日本", False),
        (f"{'the ' * 46}日 🙂", False),
        (f"{'the ' * 95}日本", True),
        # What is no word does not count, however much of it there is.
        ("the 🙂 ✨ → ☃ cell", False),
        ("🙂", False),
        # Letters of mathematics are of no language.
        ("\U0001d505 \U0001d4b3 \u2135 the cell", False),
        (UNKNOWN, True),
        (f"🙂 {UNKNOWN}", True),
        # Only what is read counts.
        (f"{'the ' * 300}{UNKNOWN * 20}", False),
        (KNOWN, False),
        ("", False),
        ("\ud800 the", False),
        (f"\ud800 {UNKNOWN}", True),
    ],
)
def test_more_than_a_fiftieth_of_the_tokens_are_unknown_words(
    long_tokenizer, text, unknown
) -> None:
    before = long_tokenizer.unknown
    (tokenized,) = long_tokenizer.tokenize([text])
    assert tokenized.unknown is unknown
    assert long_tokenizer.unknown - before == unknown


def test_pairs_are_not_looked_at(long_tokenizer) -> None:
    before = long_tokenizer.unknown
    (tokenized,) = long_tokenizer.tokenize([(UNKNOWN, UNKNOWN)])
    assert (tokenized.unknown, long_tokenizer.unknown) == (False, before)


def test_byte_level_models_know_every_word(tmp_path) -> None:
    folder = write_trunk(tmp_path / "roberta", architecture="roberta")
    tokenizer = TextTokenizer(read_layout(folder, task="embedding"))
    tokenizer.tokenize([UNKNOWN, "🙂", KNOWN])
    assert tokenizer.unknown == 0


def test_unigram_models_have_theirs_named_in_their_settings(bert, tmp_path) -> None:
    folder = tmp_path / "unigram"
    shutil.copytree(bert, folder)
    vocabulary = [("<unk>", 0.0), ("▁the", -1.0), ("▁", -2.0), ("cell", -3.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    edit_json(folder / "tokenizer_config.json", {"unk_token": {"content": "<unk>"}})
    texts = TextTokenizer(read_layout(folder, task="embedding"))
    assert [each.unknown for each in texts.tokenize([KNOWN, UNKNOWN, "the"])] == [
        False,
        True,
        False,
    ]


def test_an_encoder_says_how_many_and_which(bert, monkeypatch) -> None:
    encoder = BiEncoder(str(bert), backend="torch", offline=True)
    texts = [KNOWN, UNKNOWN, "of lipids", f"the {UNKNOWN}", KNOWN]
    positions: list[int] = []
    for window in (inference.WINDOW, 2):
        monkeypatch.setattr(inference, "WINDOW", window)
        encoder.encode_document(texts, on_unknown=positions.append)
    assert positions == [1, 3, 1, 3]
    assert encoder.unknown_texts == 4
    encoder.encode(texts, on_unknown=positions.append)
    encoder.encode_query([UNKNOWN])
    assert positions == [1, 3] * 3
    assert encoder.unknown_texts == 7


def test_documents_are_analysed_and_counted_by_their_language(bert) -> None:
    legs = Legs(BiEncoder(str(bert), backend="torch", offline=True), None, None, Analyzer("auto"))
    config = Config(dense=DenseConfig(model=str(bert)), bm25=BM25Config())
    chunk = [Chunk(text, 0, len(text)) for text in ("cells", UNKNOWN, "漢字", "Häuser")]
    documents = [
        (Document("plain", ""), "1", [chunk[0]]),
        (Document("ja", "", metadata={"language": "Japanese"}), "2", chunk[:3]),
        (Document("de", "", metadata={"language": "de-DE"}), "3", [chunk[3]]),
        (Document("none", "", metadata={"language": "tlh"}), "4", [chunk[3], chunk[1]]),
    ]
    found: list[UnreadableChunks] = []
    encoded = list(legs.encode(config, documents, on_unreadable=found.append))
    assert found == [UnreadableChunks("ja", "ja", 2), UnreadableChunks("none", None, 1)]
    terms = {
        each.document.doc_id: [sorted(count) for count in each.terms or ()] for each in encoded
    }
    assert terms == {
        "plain": [["cells"]],
        "ja": [["cells"], ["日本", "本語"], ["漢字"]],
        "de": [["haus"]],
        "none": [["häuser"], ["日本", "本語"]],
    }
    assert len(list(legs.encode(config, documents))) == 4


def test_the_default_model_knows_letters_but_not_every_script(shared_data) -> None:
    """Of the first 40 paragraphs of XQuAD in each language."""
    tokenizer = TextTokenizer(
        read_layout(find_checkpoint("all-MiniLM-L6-v2", offline=True), task="embedding")
    )
    unknown = {}
    for path in sorted((shared_data / "multilingual" / "xquad").glob("*.json.gz")):
        articles = json.loads(gzip.decompress(path.read_bytes()))["data"]
        texts = [each["context"] for article in articles for each in article["paragraphs"]][:40]
        unknown[path.name[:2]] = sum(each.unknown for each in tokenizer.tokenize(texts))
    assert unknown.pop("hi") >= 30
    assert {language: count for language, count in unknown.items() if count} == {"th": 40, "zh": 40}
