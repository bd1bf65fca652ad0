"""Tiny random checkpoints, written with transformers and Sentence Transformers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    ByteLevelBPETokenizer,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

TEXTS = (
    "a cell membrane is made of lipids",
    "",
    "   ",
    "Zürich, naïve café — ЖЁ 日本語 🙂",
    "x",
    "the membrane of the cell " * 40,
    "numbers 1 2 3 and [SEP] marks!",
    "THE CELL",
    "a b c d e f g h",
    "lipids\nand\ttabs",
    "of",
    "the quick brown fox jumps over the lazy dog " * 3,
)
WORDS = ("the", "a", "of", "cell", "membrane", "is", "made", "lipids", "and", "query", "document")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_TOKENS = 48


def write_bert_tokenizer(folder: Path) -> None:
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    vocabulary = [*SPECIAL, *dict.fromkeys((*WORDS, *letters)), *(f"##{x}" for x in letters)]
    ids = {token: position for position, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    # As the published default has it: a stored truncation and padding that must be overruled.
    tokenizer.enable_truncation(10)
    tokenizer.enable_padding(length=10)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "model_max_length": MAX_TOKENS,
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
    )


def write_roberta_tokenizer(folder: Path) -> None:
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        [text for text in TEXTS if len(text) < 60],
        vocab_size=300,
        show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    )
    whole = Tokenizer.from_str(tokenizer.to_str())
    whole.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    whole.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "RobertaTokenizer",
            "model_max_length": MAX_TOKENS,
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "mask_token": "<mask>",
            "add_prefix_space": False,
        },
    )


def write_trunk(
    folder: Path, *, architecture: str = "bert", head: str = "", labels: int = 1, seed: int = 0
) -> Path:
    """A random transformer with its tokenizer; `head` is "", MaskedLM or SequenceClassification."""
    import transformers

    folder.mkdir(parents=True)
    (write_roberta_tokenizer if architecture == "roberta" else write_bert_tokenizer)(folder)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": MAX_TOKENS + 2,
        "initializer_range": 0.3,
        "num_labels": labels,
    }
    if architecture == "roberta":
        sizes |= {"pad_token_id": 1, "type_vocab_size": 1}
    if architecture == "distilbert":
        sizes |= {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            del sizes[name]
    name = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}[architecture]
    kind = getattr(transformers, f"{name}For{head}" if head else f"{name}Model")
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind(getattr(transformers, f"{name}Config")(**sizes)).save_pretrained(folder)
    return folder


def write_sentence_transformer(
    folder: Path,
    trunk: Path,
    *,
    pooling: str | Sequence[str] = "mean",
    include_prompt: bool = True,
    dense: bool = False,
    normalize: bool = False,
    prompts: Mapping[str, str] | None = None,
    default_prompt_name: str | None = None,
    similarity: str | None = None,
) -> Path:
    """A checkpoint as the installed Sentence Transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    modes = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    modules: list[torch.nn.Module] = [
        Transformer(str(trunk)),
        Pooling(16, modes, include_prompt=include_prompt),
    ]
    torch.manual_seed(1)
    if dense:
        modules.append(Dense(16 * len(modes), 8, activation_function=torch.nn.GELU()))
        modules.append(Dense(8, 6, bias=False))
    if normalize:
        modules.append(Normalize())
    model = SentenceTransformer(
        modules=modules,
        prompts=dict(prompts or {}),
        default_prompt_name=default_prompt_name,
        similarity_fn_name=similarity,
        device="cpu",
    )
    model.save(str(folder), create_model_card=False)
    return folder


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_json(path: Path, changes: Mapping[str, Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_json(path, content | dict(changes))
