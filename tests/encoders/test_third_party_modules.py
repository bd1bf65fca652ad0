"""Modules of other packages are found by entry point; code in a checkpoint is never run."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.modules.graph import MODULES
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import TEXTS, write_json

TYPE = "acme_modules.scaling.Scaling"
SOURCE = """
from torch import nn

class Scaling(nn.Module):
    def __init__(self, factor, width):
        super().__init__()
        self.factor, self.width = factor, width

    @classmethod
    def load(cls, folder, config, *, width):
        return cls(config["factor"], width)

    def config(self):
        return {"factor": self.factor}

    def forward(self, features):
        features["sentence_embedding"] = features["sentence_embedding"] * self.factor
        return features
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution: a package, and metadata that registers its class."""
    site = tmp_path / "site"
    package = site / "acme_modules"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "scaling.py").write_text(SOURCE)
    metadata = site / "acme_modules-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-modules\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[search_engine.modules]\n{TYPE} = acme_modules.scaling:Scaling\n"
    )
    monkeypatch.syspath_prepend(str(site))
    MODULES.__dict__.pop("_targets", None)  # what was installed is looked up once
    yield
    MODULES.__dict__.pop("_targets", None)
    for name in ("acme_modules", "acme_modules.scaling"):
        sys.modules.pop(name, None)


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    """A checkpoint whose last module is of another package."""
    copy = Path(shutil.copytree(bert, tmp_path / "copy"))
    types = ("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling",
             TYPE)  # fmt: skip
    paths = ("", "1_Pooling", "2_Scaling")
    write_json(
        copy / "modules.json",
        [
            {"idx": position, "name": str(position), "path": path, "type": type_}
            for position, (path, type_) in enumerate(zip(paths, types, strict=True))
        ],
    )
    (copy / "1_Pooling").mkdir()
    write_json(copy / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    (copy / "2_Scaling").mkdir()
    write_json(copy / "2_Scaling" / "config.json", {"factor": 3.0})
    return copy


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_registered_module_is_used_and_saved(
    folder: Path, bert: Path, tmp_path: Path, backend: str
) -> None:
    ours = BiEncoder(str(folder), backend=backend, dtype="float32")
    plain = BiEncoder(str(bert), backend=backend, dtype="float32")
    np.testing.assert_allclose(ours.encode(TEXTS), 3 * plain.encode(TEXTS), rtol=1e-5, atol=1e-6)
    ours.save(tmp_path / "saved")
    modules = json.loads((tmp_path / "saved" / "modules.json").read_text())
    assert modules[2]["type"] == TYPE
    again = BiEncoder(str(tmp_path / "saved"), backend=backend, dtype="float32")
    np.testing.assert_array_equal(again.encode(TEXTS), ours.encode(TEXTS))


def test_code_beside_the_checkpoint_is_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = tmp_path / "ran"
    code = f"import pathlib\npathlib.Path({str(witness)!r}).touch()\n{SOURCE}"
    (folder / "acme_modules").mkdir()
    for place in (folder, folder / "2_Scaling", folder / "acme_modules"):
        (place / "scaling.py").write_text(code)
        (place / "__init__.py").write_text(code)
    monkeypatch.chdir(folder)
    with pytest.raises(CheckpointError, match=f"module type '{TYPE}' is not supported") as raised:
        BiEncoder(str(folder), backend="torch")
    assert str(folder / "modules.json") in str(raised.value)
    assert "search_engine.modules" in str(raised.value)
    assert not witness.exists()
