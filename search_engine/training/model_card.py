"""The README.md of a trained model: what it was made of, how, and what came out."""

from __future__ import annotations

import html
import itertools
import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from search_engine.training.data.training_set import OpenedSet
from search_engine.training.evaluating import Kind
from search_engine.training.losses.loss import Loss
from search_engine.training.processes import count_processes
from search_engine.training.report import TrainingReport
from search_engine.training.run_record import describe_loss
from search_engine.training.settings import TrainingSettings

_TAGS: Mapping[Kind, tuple[str, ...]] = {
    "bi": ("sentence-transformers", "sentence-similarity", "feature-extraction"),
    "sparse": ("sentence-transformers", "sparse-encoder", "sparse", "splade"),
    "cross": ("sentence-transformers", "cross-encoder", "reranker"),
}
_PIPELINES: Mapping[Kind, str] = {
    "bi": "sentence-similarity",
    "sparse": "feature-extraction",
    "cross": "text-ranking",
}
_CLASSES: Mapping[Kind, str] = {"bi": "BiEncoder", "sparse": "SparseEncoder",
                                "cross": "CrossEncoder"}  # fmt: skip
_USES: Mapping[Kind, str] = {
    "bi": 'vectors = encoder.encode(["a text", "another one"])',
    "sparse": 'vectors = encoder.encode_document(["a text", "another one"])',
    "cross": 'scores = encoder.predict([("a query", "a text")])',
}
_PACKAGES = ("search-engine", "torch", "transformers", "tokenizers", "accelerate", "peft",
             "datasets")  # fmt: skip
# Characters of an example's text, problems of a set, and lines of the table of losses.
_LENGTH = 120
_PROBLEMS = 5
_LINES = 40


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What the card of a trained model tells.

    Attributes:
        model: name or folder of the model that training began with, as it was given.
        kind: which of the three encoders it is.
        sets: the data.
        settings: how it went.
        output: the folder of the run, as it was given.
        report: what came out.
    """

    model: str
    kind: Kind
    sets: Sequence[OpenedSet]
    settings: TrainingSettings
    output: str
    report: TrainingReport


def write_model_card(facts: TrainingFacts, path: Path) -> None:
    """Write what a training did as the README.md of its model, with a header as the hub reads it.

    Paths of the machine stand in it only where they were given so.
    """
    sections = [_introduction(facts), _scores(facts), _data(facts), _settings(facts),
                _losses(facts), _command(facts)]  # fmt: skip
    path.write_text(_header(facts) + "\n\n".join(filter(None, sections)) + "\n", encoding="utf-8")


def _header(facts: TrainingFacts) -> str:
    header: dict[str, Any] = {
        "library_name": "sentence-transformers",
        "pipeline_tag": _PIPELINES[facts.kind],
        "tags": [*_TAGS[facts.kind], "generated_from_trainer",
                 *dict.fromkeys(f"loss:{type(each.origin.loss).__name__}" for each in facts.sets)],
    }  # fmt: skip
    # The hub takes names of the hub only.
    if _is_hub_name(facts.model):
        header["base_model"] = facts.model
    sources = [each.origin.source for each in facts.sets]
    names = [name for name in sources if isinstance(name, str) and _is_hub_name(name)]
    if names:
        header["datasets"] = list(dict.fromkeys(name.partition(":")[0] for name in names))
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n"


def _introduction(facts: TrainingFacts) -> str:
    kind = _CLASSES[facts.kind]
    processes = count_processes()
    return (
        f"# {kind} trained from {_text(facts.model)}\n\n"
        f"{facts.report.steps} steps, the last try in {facts.report.seconds:.0f} seconds"
        f"{f' by {processes} processes' if processes > 1 else ''}, "
        f"with {', '.join(_version_of(name) for name in _PACKAGES)}.\n\n"
        f"```python\nfrom search_engine import {kind}\n\n"
        f'encoder = {kind}("path/to/this/folder")\n{_USES[facts.kind]}\n```'
    )


def _version_of(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def _scores(facts: TrainingFacts) -> str:
    before, after = facts.report.scores_before, facts.report.scores_after
    if not after:
        return ""
    lines = ["## Scores", "", f'Those after training are of step {facts.report.best_step}; "score" '
             "is the mean of those that decide.", "", "| score | before | after |",
             "|---|---:|---:|"]  # fmt: skip
    lines += [f"| {_text(name)} | {_number(before.get(name))} | {_number(value)} |"
              for name, value in after.items()]  # fmt: skip
    if before and after["score"] < before["score"]:
        lines += ["", "**The model got worse than it was before training.**"]
    for name, comparison in facts.report.comparisons.items():
        lines += ["", f"{_text(name)}:", "", comparison.to_table()]
    return "\n".join(lines)


def _data(facts: TrainingFacts) -> str:
    lines = ["## Data"]
    for each in facts.sets:
        size = "streamed" if each.size is None else f"{each.size:,} examples"
        lines += ["", f"### {_text(each.name)}", "",
                  f"- source: {_text(_source_of(each))}, {size}",
                  f"- format: {each.columns.format} ({', '.join(map(_text, each.columns.names))})",
                  f"- sampling: {each.origin.sampling}"]  # fmt: skip
        if each.origin.prompts:
            lines.append(f"- prompts: {_text(_shown(dict(each.origin.prompts)))}")
        lines.append(f"- loss: {_text(_shown(describe_loss(each.origin.loss), length=1000))}")
        lines += [f"- {_text(note)}" for note in each.notes]
        if len(each.problems):
            lines.append(f"- records that made no example: {len(each.problems):,}")
            first = itertools.islice(each.problems, _PROBLEMS)
            lines += [f"  - {_text(str(problem))}" for problem in first]
        example = None if each.streams else next(iter(each.rows), None)
        if example is not None:
            lines += ["", "| column | example |", "|---|---|"]
            lines += [f"| {_text(name)} | {_text(_shown(value))} |"
                      for name, value in example.items()]  # fmt: skip
    return "\n".join(lines)


def _settings(facts: TrainingFacts) -> str:
    lines = ["## Settings", "", "| setting | value |", "|---|---|"]
    lines += [f"| {name} | {_text(_shown(value, length=1000))} |"
              for name, value in facts.settings.model_dump(mode="json").items()]  # fmt: skip
    return "\n".join(lines)


def _losses(facts: TrainingFacts) -> str:
    losses = facts.report.losses
    every = max(1, math.ceil(len(losses) / _LINES))
    # The last always stands in it.
    chosen = losses[::-1][::every][::-1]
    lines = ["## Loss", "", "| step | loss |", "|---:|---:|"]
    lines += [f"| {step} | {_number(loss)} |" for step, loss in chosen]
    return "\n".join(lines)


def _command(facts: TrainingFacts) -> str:
    called = Path(sys.argv[0])
    if called.name.startswith("search-cli") or called.parts[-2:] == ("cli", "__main__.py"):
        command = shlex.join(["search-cli", *sys.argv[1:]])
        return f"## Command\n\n```\n{command}\n```"
    sets = [f"TrainingSet({', '.join(_set_arguments(each))})" for each in facts.sets]
    given = facts.settings.model_dump(exclude_defaults=True)
    if facts.settings.lora is not None:
        given["lora"] = _Call("LoraSettings", facts.settings.lora.model_dump(exclude_defaults=True))
    arguments = [
        repr(facts.model),
        f"[{', '.join(sets)}]",
        repr(facts.output),
        f"kind={facts.kind!r}",
        f"settings={_Call('TrainingSettings', given)!r}",
    ]
    if facts.report.scores:
        arguments.append("evaluators=evaluators")
    call = "train(\n    " + ",\n    ".join(arguments) + ",\n)"
    return f"## Command\n\n```python\n{call}\n```"


def _set_arguments(opened: OpenedSet) -> list[str]:
    origin = opened.origin
    source = origin.source
    arguments = [repr(str(source)) if isinstance(source, str | Path) else "data",
                 _loss_call(origin.loss)]  # fmt: skip
    if origin.name is not None:
        arguments.append(f"name={origin.name!r}")
    if origin.columns:
        columns = origin.columns
        arguments.append(
            f"columns={dict(columns) if isinstance(columns, Mapping) else tuple(columns)!r}"
        )
    if origin.prompts:
        arguments.append(f"prompts={dict(origin.prompts)!r}")
    for name, usual in (("sampling", "shuffle"), ("split", "train"), ("streaming", False)):
        if getattr(origin, name) != usual:
            arguments.append(f"{name}={getattr(origin, name)!r}")
    return arguments


def _loss_call(loss: Loss) -> str:
    inner = {name: child for name, child in loss.named_children() if isinstance(child, Loss)}
    options = [
        f"{name}={_loss_call(inner[name]) if name in inner else repr(value)}"
        for name, value in loss.settings().items()
    ]
    return f"{type(loss).__name__}({', '.join(options)})"


class _Call:
    """A call whose `repr` is the call."""

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self._text = f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"

    def __repr__(self) -> str:
        return self._text


def _source_of(opened: OpenedSet) -> str:
    source = opened.origin.source
    return str(source) if isinstance(source, str | Path) else f"{type(source).__name__} in memory"


def _is_hub_name(name: str) -> bool:
    plain = name.partition(":")[0]
    return (
        plain.count("/") == 1 and not plain.startswith((".", "/", "~")) and not Path(plain).exists()
    )


def _shown(value: Any, *, length: int = _LENGTH) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _text(value: str) -> str:
    """Text that neither Markdown nor HTML takes for markup."""
    escaped = html.escape(" ".join(value.split()), quote=False)
    for sign in ("\\", "|", "*", "_", "`", "[", "]", "#"):
        escaped = escaped.replace(sign, "\\" + sign)
    return escaped


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
