"""Tiny random checkpoints, written with transformers and Sentence Transformers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
    trainers,
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


def write_mpnet_tokenizer(folder: Path) -> None:
    from transformers import MPNetTokenizer

    special = ("<s>", "<pad>", "</s>", "[UNK]")
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = [*special, *dict.fromkeys((*WORDS, *letters)), *(f"##{x}" for x in letters), "<mask>"]
    tokenizer = MPNetTokenizer(vocab={token: position for position, token in enumerate(tokens)})
    save_tokenizer(tokenizer, folder)


def write_unigram_tokenizer(folder: Path, *, kind: str, special: Sequence[str]) -> None:
    """A SentencePiece Unigram tokenizer, as a class of transformers writes it."""
    import transformers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=list(special), unk_token=special[-1], show_progress=False
    )
    tokenizer.train_from_iterator([text for text in TEXTS if text.strip()], trainer)
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    save_tokenizer(
        getattr(transformers, kind)(vocab=[(token, score) for token, score in vocabulary]), folder
    )


def write_decoder_tokenizer(folder: Path) -> None:
    """Byte-level pairs, an end-of-text token appended, and padding on the left."""
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        [text for text in TEXTS if len(text) < 60],
        vocab_size=300,
        show_progress=False,
        special_tokens=["<|endoftext|>"],
    )
    tokenizer = Tokenizer.from_str(trained.to_str())
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="$A:0 <|endoftext|>:0",
                pair="$A:0 $B:1 <|endoftext|>:1",
                special_tokens=[("<|endoftext|>", 0)],
            ),
        ]
    )
    save_tokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="<|endoftext|>",
            eos_token="<|endoftext|>",
            padding_side="left",
        ),
        folder,
    )


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    tokenizer.model_max_length = MAX_TOKENS
    tokenizer.save_pretrained(folder)


_XLM_R = partial(
    write_unigram_tokenizer,
    kind="XLMRobertaTokenizer",
    special=("<s>", "<pad>", "</s>", "<mask>", "<unk>"),
)
_OFFSET: Mapping[str, Any] = {"pad_token_id": 1, "type_vocab_size": 1}
_ROTARY: Mapping[str, Any] = {"pad_token_id": 0, "num_key_value_heads": 1, "head_dim": 8}


@dataclass(frozen=True)
class Architecture:
    """How a tiny model of a family is made.

    Attributes:
        name: what its classes in transformers begin with.
        write_tokenizer: into a folder.
        sizes: instead of those that most families share; None takes one away.
        model: the class of its bare model.
    """

    name: str
    write_tokenizer: Callable[[Path], None] = write_bert_tokenizer
    sizes: Mapping[str, Any] = field(default_factory=dict)


ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture("Bert"),
    "roberta": Architecture("Roberta", write_roberta_tokenizer, _OFFSET),
    "xlm-roberta": Architecture("XLMRoberta", _XLM_R, _OFFSET),
    "mpnet": Architecture("MPNet", write_mpnet_tokenizer, {"pad_token_id": 1}),
    "distilbert": Architecture(
        "DistilBert", sizes={"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    ),
    "albert": Architecture(
        "Albert",
        partial(
            write_unigram_tokenizer,
            kind="AlbertTokenizer",
            special=("<pad>", "[CLS]", "[SEP]", "[MASK]", "<unk>"),
        ),
        {"embedding_size": 8, "pad_token_id": 0},
    ),
    "deberta-v3": Architecture(
        "DebertaV2",
        partial(
            write_unigram_tokenizer,
            kind="DebertaV2Tokenizer",
            special=("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"),
        ),
        {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "max_relative_positions": -1,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    # Every other layer sees 4 tokens to each side.
    "modernbert": Architecture(
        "ModernBert",
        sizes={
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "pad_token_id": 0,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
    ),
    "electra": Architecture("Electra", sizes={"embedding_size": 8}),
    "nomic": Architecture("NomicBert"),
    "gte": Architecture("Gte", _XLM_R, {"pad_token_id": 1}),
    "t5": Architecture(
        "T5",
        partial(write_unigram_tokenizer, kind="T5Tokenizer", special=("<pad>", "</s>", "<unk>")),
        {
            "d_model": 16,
            "d_kv": 8,
            "d_ff": 32,
            "num_layers": 2,
            "num_heads": 2,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 16,
        },
    ),
    # Sees in both directions, in every other layer 8 tokens to each side.
    "gemma3": Architecture(
        "Gemma3Text",
        write_decoder_tokenizer,
        {
            **_ROTARY,
            "sliding_window": 8,
            "use_bidirectional_attention": True,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "longformer": Architecture(
        "Longformer", write_roberta_tokenizer, {**_OFFSET, "attention_window": [8, 8]}
    ),
    "gpt2": Architecture("GPT2", write_decoder_tokenizer),
    "qwen2": Architecture("Qwen2", write_decoder_tokenizer, _ROTARY),
    "qwen3": Architecture("Qwen3", write_decoder_tokenizer, _ROTARY),
    "llama": Architecture("Llama", write_decoder_tokenizer, _ROTARY),
    "mistral": Architecture("Mistral", write_decoder_tokenizer, {**_ROTARY, "sliding_window": 6}),
}


def write_trunk(
    folder: Path,
    *,
    architecture: str = "bert",
    head: str = "",
    labels: int = 1,
    layers: int = 2,
    seed: int = 0,
) -> Path:
    """A random transformer with its tokenizer.

    Args:
        architecture: a key of ARCHITECTURES.
        head: "", MaskedLM, SequenceClassification or CausalLM.
    """
    import transformers

    made = ARCHITECTURES[architecture]
    folder.mkdir(parents=True)
    made.write_tokenizer(folder)
    sizes: dict[str, Any] = {
        "vocab_size": Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size(),
        "max_position_embeddings": MAX_TOKENS + 2,
        "initializer_range": 0.3,
        "num_labels": labels,
    }
    if architecture not in ("distilbert", "t5"):
        sizes |= {
            "hidden_size": 16,
            "num_hidden_layers": layers,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        }
    config = getattr(transformers, f"{made.name}Config")(**(sizes | dict(made.sizes)))
    config.num_hidden_layers = layers
    kind = getattr(transformers, f"{made.name}{f'For{head}' if head else 'Model'}")
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind(config).save_pretrained(folder)
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
