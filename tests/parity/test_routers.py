"""Checkpoints that send queries and documents different ways, as Sentence Transformers does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import TEXTS, edit_json, write_json, write_trunk

PROMPTS = {"query": "query of the ", "document": "a document "}


def save(folder: Path, modules: list[torch.nn.Module], prompts: dict[str, str]) -> Path:
    model = SentenceTransformer(modules=modules, prompts=prompts, device="cpu")
    model.save(str(folder), create_model_card=False)
    return folder


def assert_same(folder: Path, reference: Path | None = None, *, backend: str = "torch") -> None:
    theirs = SentenceTransformer(str(reference or folder), device="cpu")
    ours = BiEncoder(str(folder), backend=backend, dtype="float32")
    found = {}
    for method in ("encode", "encode_query", "encode_document"):
        found[method] = getattr(ours, method)(TEXTS)
        expected = getattr(theirs, method)(list(TEXTS))
        np.testing.assert_allclose(found[method], expected, atol=1e-5, rtol=1e-5)
    assert not np.allclose(found["encode_query"], found["encode_document"], atol=1e-2)


@pytest.fixture(scope="module")
def two_trunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small transformer for queries and another for documents, and one pooling for both."""
    root = tmp_path_factory.mktemp("router")
    torch.manual_seed(3)
    query = Transformer(str(write_trunk(root / "query", architecture="roberta")))
    document = Transformer(str(write_trunk(root / "document", seed=7)))
    router = Router.for_query_document(
        [query, Pooling(16, "cls"), Dense(16, 6)], [document, Pooling(16, "mean"), Dense(16, 6)]
    )
    return save(root / "st", [router, Normalize()], PROMPTS)


@pytest.fixture(scope="module")
def one_trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One transformer, whose pooled vectors two layers send apart."""
    root = tmp_path_factory.mktemp("asym")
    torch.manual_seed(4)
    router = Router(
        {"query": [Dense(16, 6)], "document": [Dense(16, 6), Normalize()]}, default_route="query"
    )
    trunk = Transformer(str(write_trunk(root / "trunk")))
    return save(root / "st", [trunk, Pooling(16, "mean"), router], PROMPTS)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_transformer_for_queries_and_one_for_documents(two_trunks: Path, backend: str) -> None:
    assert_same(two_trunks, backend=backend)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_layers_after_one_transformer(one_trunk: Path, backend: str) -> None:
    assert_same(one_trunk, backend=backend)


@pytest.mark.parametrize("name", ["two_trunks", "one_trunk"])
def test_what_we_save(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    original = request.getfixturevalue(name)
    BiEncoder(str(original), backend="torch", dtype="float32").save(tmp_path / "saved")
    assert_same(tmp_path / "saved", original)
    theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    expected = SentenceTransformer(str(original), device="cpu")
    for method in ("encode_query", "encode_document"):
        np.testing.assert_allclose(
            getattr(theirs, method)(list(TEXTS)), getattr(expected, method)(list(TEXTS)), atol=1e-6
        )


def test_a_module_that_routes_share_is_saved_once(tmp_path: Path) -> None:
    trunk = Transformer(str(write_trunk(tmp_path / "trunk")))
    pooling = Pooling(16, "mean")
    router = Router.for_query_document(
        [trunk, pooling, Dense(16, 6)], [trunk, pooling, Dense(16, 6)]
    )
    original = save(tmp_path / "st", [router], {})
    BiEncoder(str(original), backend="torch", dtype="float32").save(tmp_path / "saved")
    assert_same(tmp_path / "saved", original)
    weights = list((tmp_path / "saved").rglob("model.safetensors"))
    assert len([path for path in weights if "Transformer" in path.parent.name]) == 1


def test_the_older_name(one_trunk: Path, tmp_path: Path) -> None:
    """Asym, with its settings in config.json and no default route."""
    BiEncoder(str(one_trunk), backend="torch", dtype="float32").save(tmp_path / "old")
    folder = tmp_path / "old" / "2_Router"
    modules = json.loads((tmp_path / "old" / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.Asym"
    write_json(tmp_path / "old" / "modules.json", modules)
    config = json.loads((folder / "router_config.json").read_text())
    config["parameters"] = {"allow_empty_key": True}
    write_json(folder / "config.json", config)
    (folder / "router_config.json").unlink()
    assert_same(tmp_path / "old")


def test_route_mappings(one_trunk: Path, tmp_path: Path) -> None:
    BiEncoder(str(one_trunk), backend="torch", dtype="float32").save(tmp_path / "mapped")
    path = tmp_path / "mapped" / "2_Router" / "router_config.json"
    parameters = {
        "default_route": None,
        "route_mappings": {"('query', 'text')": "document", "(None, None)": "query"},
    }
    edit_json(path, {"parameters": parameters})
    assert_same(tmp_path / "mapped")


def test_documents_take_a_route_by_an_older_name(one_trunk: Path, tmp_path: Path) -> None:
    encoder = BiEncoder(str(one_trunk), backend="torch", dtype="float32")
    encoder.save(tmp_path / "older")
    path = tmp_path / "older" / "2_Router" / "router_config.json"
    structure = json.loads(path.read_text())["structure"]
    edit_json(path, {"structure": {"query": structure["query"], "doc": structure["document"]}})
    ours = BiEncoder(str(tmp_path / "older"), backend="torch", dtype="float32")
    np.testing.assert_array_equal(ours.encode_document(TEXTS), encoder.encode_document(TEXTS))


def test_each_route_is_opened_when_it_is_taken(two_trunks: Path) -> None:
    encoder = BiEncoder(str(two_trunks), backend="torch", dtype="float32")
    assert len(encoder._inference._opened) == 1
    encoder.encode_document(["x"])
    assert len(encoder._inference._opened) == 1
    encoder.encode_query(["x"])
    assert len(encoder._inference._opened) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structure": {}}, "at least one route"),
        ({"structure": {"query": []}}, "at least one route, and a module in each"),
        ({"structure": {"query": ["missing"]}}, "'structure' must list"),
        ({"types": {"../out": "sentence_transformers.models.Dense"}}, "leads out of the folder"),
        ({"types": {".": "sentence_transformers.models.Dense"}}, "leads out of the folder"),
        ({"types": {"x": "sentence_transformers.models.Router"}}, "within a Router"),
        ({"structure": {"/tmp/out": ["x"]}}, "leads out of the folder"),
        (
            {
                "types": {"../../../out": "sentence_transformers.models.Dense"},
                "structure": {"query": ["../../../out"]},
            },
            "leads out of the folder",
        ),
        (
            {"parameters": {"route_mappings": {"__import__('os').getcwd()": "query"}}},
            "route_mappings",
        ),
        ({"parameters": {"route_mappings": {"(None, None)": "missing"}}}, "'missing'"),
        ({"parameters": {"default_route": "missing"}}, "'missing'"),
        ({"parameters": {"default_route": ["query"]}}, "no route"),
        ({"parameters": {"route_mappings": {"(None, None)": ["query"]}}}, "no route"),
        ({"parameters": {"route_mappings": {"[1]": "query"}}}, "route_mappings"),
    ],
)
def test_a_broken_router(
    one_trunk: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    BiEncoder(str(one_trunk), backend="torch", dtype="float32").save(tmp_path / "broken")
    edit_json(tmp_path / "broken" / "2_Router" / "router_config.json", changes)
    with pytest.raises(CheckpointError, match=message) as raised:
        read_layout(tmp_path / "broken", task="embedding")
    assert "router_config.json" in str(raised.value)
