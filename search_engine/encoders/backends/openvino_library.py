"""OpenVINO, imported without its reporting."""

from __future__ import annotations

import sys

# OpenVINO and NNCF report their import and every conversion over the network, without being asked,
# through this package; where the package is missing they report nothing, so here it is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

__all__ = ["openvino"]
