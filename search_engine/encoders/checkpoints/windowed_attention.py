"""Attention that sees a window only, computed alike by torch and by what a graph is exported to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_WINDOWS = ("sliding_window", "local_attention", "attention_chunk_size")
_SEEING_ITSELF = "sdpa_seeing_itself"


def let_padding_see_itself(model: Any) -> None:
    """Where attention sees a window only, leave no token of the padding without anything to see.

    Of nothing, torch makes zeros and OpenVINO makes NaN, which spread. No text's output changes:
    its own tokens do not see the padding, and see themselves anyway.
    """
    config = model.config
    windowed = any(getattr(config, name, None) for name in _WINDOWS)
    if not windowed or config._attn_implementation != "sdpa":
        return
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register(_SEEING_ITSELF, sdpa_attention_forward)
    AttentionMaskInterface.register(_SEEING_ITSELF, _mask_seeing_itself)
    model.set_attn_implementation(_SEEING_ITSELF)


def _mask_seeing_itself(
    batch_size: int, q_length: int, kv_length: int, *, use_vmap: bool = False, **settings: Any
) -> Tensor | None:
    from transformers.masking_utils import sdpa_mask

    # vmap, which is for masks of any kind, cannot be traced; those of windows do without it.
    use_vmap = use_vmap and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    mask = sdpa_mask(batch_size, q_length, kv_length, use_vmap=use_vmap, **settings)
    if mask is None:
        return None
    queries = torch.arange(q_length, device=mask.device).unsqueeze(1)
    return mask | (queries == torch.arange(kv_length, device=mask.device))
