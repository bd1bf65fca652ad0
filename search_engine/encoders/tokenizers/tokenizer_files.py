"""The tokenizer of a checkpoint and its settings, read with `tokenizers` where that is possible.

`transformers.AutoTokenizer` takes seconds to import, so it is used only for checkpoints without
a tokenizer.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from search_engine.encoders.checkpoints.json_files import read_json
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.errors import CheckpointError

# A tokenizer_config.json writes "no limit" as a huge number.
_NO_LIMIT = 1_000_000
# Architectures whose learned positions begin after the padding id, which costs that many places.
_OFFSET_POSITIONS = frozenset(
    {
        "roberta",
        "xlm-roberta",
        "camembert",
        "mpnet",
        "longformer",
        "xlm-roberta-xl",
        "data2vec-text",
    }
)
# What tokenizer_config.json may overrule of BERT's normalizer, and what that calls it.
_BERT_SETTINGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# What a tokenizer.json can be made of.
_VOCABULARIES = ("vocab.txt", "vocab.json", "spiece.model", "spm.model", "sentencepiece.bpe.model",
                 "tokenizer.model", "vocab.model")  # fmt: skip


def read_tokenizer_settings(layout: Layout) -> Mapping[str, Any]:
    """What tokenizer_config.json says; empty where there is none.

    Raises:
        CheckpointError: it cannot be read.
    """
    return read_json(layout.trunk.folder / "tokenizer_config.json", kind=dict) or {}


def load_tokenizer(layout: Layout, settings: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a layout's trunk, without truncation and padding.

    Args:
        settings: of tokenizer_config.json.

    Raises:
        CheckpointError: its files are missing or cannot be read.
    """
    path = layout.trunk.folder / "tokenizer.json"
    try:
        serialized = path.read_text(encoding="utf-8") if path.is_file() else _convert_slow(layout)
        tokenizer = Tokenizer.from_str(serialized)
    except CheckpointError:
        raise
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    normalizer = tokenizer.normalizer
    # For BERT's normalizer, transformers lets tokenizer_config.json overrule tokenizer.json.
    if isinstance(normalizer, BertNormalizer):
        for name, attribute in _BERT_SETTINGS.items():
            if name not in settings:
                continue
            try:
                setattr(normalizer, attribute, settings[name])
            except TypeError as error:
                raise CheckpointError(
                    f"{layout.trunk.folder / 'tokenizer_config.json'}: {name!r} must be true or "
                    f"false, not {settings[name]!r}; correct it or remove it."
                ) from error
        tokenizer.normalizer = normalizer
    if layout.trunk.config.get("do_lower_case"):
        steps = [Lowercase()] if normalizer is None else [Lowercase(), normalizer]
        tokenizer.normalizer = NormalizerSequence(steps)
    return tokenizer


def find_max_tokens(layout: Layout, settings: Mapping[str, Any]) -> int:
    """Longest sequence that the model takes: what the checkpoint states, else what limits it.

    Raises:
        CheckpointError: a limit is not a number.
    """
    stated = layout.trunk.config.get("max_seq_length")
    if stated is not None and stated < _NO_LIMIT:
        return int(stated)
    folder = layout.trunk.folder
    positions = count_positions(layout)
    length = _limit(settings, "model_max_length", folder / "tokenizer_config.json")
    return min((int(n) for n in (length, positions) if 0 < n < _NO_LIMIT), default=512)


def count_positions(layout: Layout) -> int:
    """How many tokens the transformer has positions for; 0 or less where it has no limit."""
    path = layout.trunk.folder / "config.json"
    positions = int(_limit(layout.trunk_config, "max_position_embeddings", path))
    if layout.trunk_config.get("model_type") in _OFFSET_POSITIONS:
        positions -= int(layout.trunk_config.get("pad_token_id") or 0) + 1
    return positions


def find_unknown_id(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> int | None:
    """The token for words that the vocabulary has none for; None where there is none such."""
    model = tokenizer.model
    # Byte-level models have settings that name one, which they never use.
    token = settings.get("unk_token") if isinstance(model, Unigram) else model.unk_token
    token = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(token) if token else None


def find_pad_id(tokenizer: Tokenizer, layout: Layout, settings: Mapping[str, Any]) -> int:
    """The token that fills a batch; 0 where the checkpoint names none."""
    token = settings.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    found = tokenizer.token_to_id(token) if token else None
    return int(found if found is not None else layout.trunk_config.get("pad_token_id") or 0)


def check_token_ids(tokenizer: Tokenizer, layout: Layout, *, pad_id: int) -> None:
    """See that the transformer has a vector for each token of the vocabulary.

    Tokens that were added to the vocabulary are not looked at: some models have added ones for
    images, which no text has.

    Raises:
        CheckpointError: it has fewer.
    """
    rows = layout.trunk_config.get("vocab_size")
    ids = tokenizer.get_vocab(with_added_tokens=False).values()
    last = max(pad_id, max(ids, default=0))
    if isinstance(rows, int) and last >= rows:
        raise CheckpointError(
            f"{layout.trunk.folder / 'tokenizer.json'} has token ids up to {last}, and the "
            f"transformer by config.json has {rows} of them. They are not of one model; "
            "download it again."
        )


def _convert_slow(layout: Layout) -> str:
    from transformers import AutoTokenizer

    folder = layout.trunk.folder
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        # transformers would make one that knows no word.
        raise CheckpointError(
            f"{folder} has no tokenizer: neither tokenizer.json nor {', '.join(_VOCABULARIES)} is "
            "there. Is the download complete?"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:
        raise CheckpointError(
            f"{folder} has no tokenizer.json, and its tokenizer cannot be converted to one: {error}"
        ) from error


def _limit(settings: Mapping[str, Any], key: str, path: object) -> float:
    limit = settings.get(key) or 0
    if not isinstance(limit, int | float):
        raise CheckpointError(f"{path}: {key} must be a number, not {limit!r}; correct it.")
    return limit
