"""Tiny causal language models that answer yes or no, with and without a chat template."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from tokenizers.pre_tokenizers import ByteLevel

SPECIAL = ("<|pad|>", "<|start|>", "<|end|>")
BYTES = tuple(sorted(ByteLevel.alphabet()))
MAX_TOKENS = 96
# The document is last, as in the published rerankers, and an answer is expected after it.
TEMPLATE = (
    "{% for message in messages if message['role'] == 'system' %}"
    "<|start|>{{ message['content'] }}\n{% endfor %}"
    "<|start|>query: {{ messages | selectattr('role', 'eq', 'query') "
    "| map(attribute='content') | first }}\n"
    "document: {{ messages | selectattr('role', 'eq', 'document') "
    "| map(attribute='content') | first }}<|end|>\nanswer:"
)
STRUCTURED = (
    "{% for message in messages %}<|start|>{{ message.role }} {{ message.content[0].text }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>answer {% endif %}"
)


def write_byte_tokenizer(folder: Path, *, template: str | None = None, **settings: Any) -> None:
    """Bytes and the words yes, no and the."""
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: position for position, token in enumerate((*SPECIAL, *BYTES))}
    merges = []
    for word in ("yes", "no", "the"):
        for end in range(1, len(word)):
            merges.append((word[:end], word[end]))
            vocabulary.setdefault(word[: end + 1], len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(list(SPECIAL))
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        model_max_length=MAX_TOKENS,
        **settings,
    )
    if template is not None:
        whole.chat_template = template
    folder.mkdir(parents=True, exist_ok=True)
    whole.save_pretrained(folder)


def write_causal_model(
    folder: Path, *, architecture: str = "Qwen3", template: str | None = None, **sizes: Any
) -> Path:
    """A random causal language model of transformers, with its tokenizer."""
    import transformers

    write_byte_tokenizer(folder, template=template)
    config: Any = getattr(transformers, f"{architecture}Config")(
        **{
            "vocab_size": len(SPECIAL) + len(BYTES) + 5,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "intermediate_size": 32,
            "max_position_embeddings": MAX_TOKENS + 8,
            "initializer_range": 0.3,
            "pad_token_id": 0,
            **sizes,
        }
    )
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(transformers, f"{architecture}ForCausalLM")(config).save_pretrained(folder)
    return folder
