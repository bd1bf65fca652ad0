"""A checkpoint's chat template: texts and pairs rendered as the messages of a conversation.

A template is a program that comes with the checkpoint. transformers compiles it in jinja2's
ImmutableSandboxedEnvironment, where it has no files, no network and no attributes of Python, and
cannot change what it is given; here a rendering that takes too long is ended as well.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import Any, Literal, TypeAlias

from tokenizers import Tokenizer

from search_engine.encoders.checkpoints.json_files import read_setting
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.tokenizers.pairs import PromptedPair
from search_engine.errors import CheckpointError

MessageFormat: TypeAlias = Literal["flat", "structured"]

# Seconds that one rendering may take; a usual one takes less than a thousandth of that.
RENDERING_LIMIT = 5.0
# What jinja2 calls the code that it compiles from a text.
_TEMPLATE_CODE = "<template>"
_FILES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
# What Sentence Transformers takes as signs that a template wants content as a list of parts.
_STRUCTURED_SIGNS = ("content[0]", ".type", "'type'", '"type"', "message.content[")
_FLAT_ARCHITECTURES = frozenset({"apertus", "deepseek_v3", "gpt_oss", "seed_oss"})
# Settings of Sentence Transformers for the template that it does not see.
_SIZES = frozenset({"padding", "truncation", "max_length", "return_tensors", "restore_suffix"})
# Two texts without a common token, at the start or the end.
_FILLERS = ("0", "1 2 3 4")


class ChatTemplate:
    """Texts and pairs as conversations, in one text each.

    A text is the message of the role "user"; of a pair, "query" and "document" have one each.

    Args:
        tokenizer: of transformers, with the template.
        whole: the same one as it is used here, without truncation.
        message_format: whether a message's content is its text, or a list of parts.
        variables: what the checkpoint's settings hand to the template.
        source: the checkpoint, for messages.
    """

    def __init__(
        self,
        tokenizer: Any,
        whole: Tokenizer,
        *,
        message_format: MessageFormat,
        variables: Mapping[str, Any],
        source: str,
    ) -> None:
        self._tokenizer = tokenizer
        self._whole = whole
        self._format = message_format
        self._variables = variables
        self._source = source
        self._around = lru_cache(maxsize=256)(self._tokens_around)

    def render(self, text: str | tuple[str, str]) -> str:
        """The conversation of a text or a pair, before it is tokenized without special tokens.

        Raises:
            CheckpointError: the template fails, or takes too long.
        """
        roles = ("query", "document") if isinstance(text, tuple) else ("user",)
        contents = text if isinstance(text, tuple) else (text,)
        messages = [self._message(*each) for each in zip(roles, contents, strict=True)]
        if isinstance(text, PromptedPair) and text.prompt:
            messages.insert(0, self._message("system", text.prompt))
        try:
            with _ended_after(RENDERING_LIMIT):
                return str(
                    self._tokenizer.apply_chat_template(messages, tokenize=False, **self._variables)
                )
        # Whatever a program can raise.
        except Exception as error:
            raise CheckpointError(
                f"{self._source}: its chat template cannot render {' and '.join(roles)}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def check_pairs(self) -> None:
        """Make sure that both texts of a pair reach the model.

        Raises:
            CheckpointError: the template leaves one out, or fails.
        """
        rendered = self.render(("alpha", "bravo"))
        for role, pair in (("query", ("charlie", "bravo")), ("document", ("alpha", "foxtrot"))):
            if self.render(pair) == rendered:
                raise CheckpointError(
                    f"{self._source}: its chat template leaves out what the role {role!r} says, "
                    "so that no pair can be scored. Give the checkpoint a chat_template.jinja "
                    "that renders the roles 'query' and 'document'."
                )

    def truncate(
        self, ids: list[int], text: str | tuple[str, str], *, max_tokens: int, side: str
    ) -> list[int]:
        """The tokens of a rendered text, cut within the text, or within the second of a pair.

        What the template puts around it stays, above all its end, where an answer is read.
        """
        if len(ids) <= max_tokens:
            return ids
        prompt = text.prompt if isinstance(text, PromptedPair) else ""
        queries = (text[0], text[0]) if isinstance(text, tuple) else None
        before, after = self._around(queries, prompt)
        if queries is not None and len(before) + len(after) >= max_tokens:
            # The query leaves no room, so that only what is of the template itself stays.
            before, after = self._around(_FILLERS, prompt)
        if side == "left" and len(before) < max_tokens:
            return before + ids[len(ids) - (max_tokens - len(before)) :]
        if side == "left":
            return ids[-max_tokens:]
        after = after[-max_tokens:]
        return ids[: max_tokens - len(after)] + after

    def _tokens_around(
        self, queries: tuple[str, str] | None, prompt: str
    ) -> tuple[list[int], list[int]]:
        """What two renderings have in common before and after the texts that differ.

        Args:
            queries: of both; None renders texts alone.
        """
        texts: list[str | tuple[str, str]] = list(_FILLERS)
        if queries is not None:
            texts = [
                PromptedPair(query, filler, prompt=prompt)
                for query, filler in zip(queries, _FILLERS, strict=True)
            ]
        first, second = (
            self._whole.encode(self.render(text), add_special_tokens=False).ids for text in texts
        )
        before = _count_common(first, second)
        after = _count_common(first[::-1], second[::-1])
        shorter = min(len(first), len(second))
        if before + after >= shorter:
            before = 0
        return first[:before], first[len(first) - after :] if after < shorter else []

    def _message(self, role: str, text: str) -> dict[str, Any]:
        flat = self._format == "flat"
        return {"role": role, "content": text if flat else [{"type": "text", "text": text}]}


def uses_chat_template(layout: Layout, settings: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's texts go through its chat template, or as they are.

    As Sentence Transformers has it: a bare checkpoint uses its template wherever it has one; one
    with a modules.json where its `modality_config` has messages.

    Args:
        settings: of tokenizer_config.json.

    Raises:
        CheckpointError: a setting is of the wrong kind.
    """
    folder = layout.trunk.folder
    if (layout.folder / "modules.json").is_file():
        return "message" in _read_trunk_setting(layout, "modality_config")
    return bool(settings.get("chat_template")) or any((folder / name).exists() for name in _FILES)


def open_chat_template(
    layout: Layout, whole: Tokenizer, settings: Mapping[str, Any]
) -> ChatTemplate | None:
    """The chat template that a checkpoint's texts go through, or None where they go as they are.

    Args:
        settings: of tokenizer_config.json.

    Raises:
        CheckpointError: the template is missing, cannot be read, or is for no pairs where a
            model scores pairs.
    """
    if not uses_chat_template(layout, settings):
        return None
    folder = layout.trunk.folder
    from transformers import AutoTokenizer

    from search_engine.encoders.checkpoints.weights import quiet_transformers

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        template = tokenizer.chat_template
    except Exception as error:  # whatever can be wrong with a stranger's folder
        raise CheckpointError(
            f"{folder}: the tokenizer with its chat template cannot be read: {error}"
        ) from error
    _refuse_powers(template, source=str(folder))
    if not template:
        raise CheckpointError(
            f"{folder}: the checkpoint's texts go through a chat template, and it has none. Is "
            "the download complete? It should have a chat_template.jinja."
        )
    modality = _read_trunk_setting(layout, "modality_config").get("message") or {}
    variables = _read_trunk_setting(layout, "processing_kwargs").get("chat_template") or {}
    chat = ChatTemplate(
        tokenizer,
        whole,
        message_format=_find_format(layout, template, modality),
        variables={name: value for name, value in variables.items() if name not in _SIZES},
        source=str(folder),
    )
    if layout.task == "score":
        chat.check_pairs()
    return chat


def _refuse_powers(template: object, *, source: str) -> None:
    """Refuse a template that raises to powers: one such operation can take hours, unwatched."""
    from jinja2 import Environment, TemplateSyntaxError, nodes

    for each in template.values() if isinstance(template, dict) else [template or ""]:
        try:
            parsed = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(str(each))
        except TemplateSyntaxError:
            # Tags that only transformers knows; it says itself where one is wrong.
            continue
        if parsed.find(nodes.Pow) is not None:
            raise CheckpointError(
                f"{source}: its chat template raises a number to a power, which no conversation "
                "needs and which may never end; it is not run."
            )


def _read_trunk_setting(layout: Layout, key: str) -> Mapping[str, Mapping[str, Any]]:
    """Settings by name, by what they are for; empty where the trunk has none."""
    path = layout.trunk.folder / "sentence_bert_config.json"
    found = read_setting(layout.trunk.config, key, path=path, kind=dict) or {}
    for name in found:
        read_setting(found, name, path=path, kind=dict)
    return found


def _find_format(layout: Layout, template: object, modality: Mapping[str, Any]) -> MessageFormat:
    stated = modality.get("format", "auto")
    if stated in ("flat", "structured"):
        return "flat" if stated == "flat" else "structured"
    if layout.trunk_config.get("model_type") in _FLAT_ARCHITECTURES:
        return "flat"
    is_flat = isinstance(template, str) and not any(sign in template for sign in _STRUCTURED_SIGNS)
    return "flat" if is_flat else "structured"


def _count_common(first: list[int], second: list[int]) -> int:
    """How many ids at the start of both are the same."""
    for count, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            return count
    return min(len(first), len(second))


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """End a template's code with a TimeoutError once it has run so long.

    A thread cannot be killed and a signal reaches only the first one; but Python tells a tracing
    function of every line that a template's code comes to.
    """
    deadline = time.monotonic() + seconds

    def watch(frame: FrameType, _event: str, _argument: object) -> Any:
        if frame.f_code.co_filename != _TEMPLATE_CODE:
            return None
        if time.monotonic() > deadline:
            raise TimeoutError(f"it had not ended after {seconds:g} seconds")
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)
