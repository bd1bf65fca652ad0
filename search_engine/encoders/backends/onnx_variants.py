"""The kinds of 8-bit ONNX graphs, and which of them suits this processor."""

from __future__ import annotations

import platform

from search_engine.encoders.backends.processor import processor_flags

# As Sentence Transformers names the files.
ARM, AVX2, AVX512, VNNI = "qint8_arm64", "quint8_avx2", "qint8_avx512", "qint8_avx512_vnni"


def own_variant() -> str:
    """The variant that suits this processor."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return ARM
    # Without VNNI, the sum of two products of signed weights overflows 16 bits.
    return VNNI if "avx512_vnni" in processor_flags() else AVX2


def has_signed_weights(variant: str) -> bool:
    """Whether the weights of a variant are signed."""
    return variant != AVX2
