"""The logits of "yes" and "no" to one score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from search_engine.encoders.checkpoints.json_files import read_setting
from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError

# What a reranker answers where the checkpoint does not say so.
_ANSWERS = ("yes", "no")


class LogitScore(nn.Module):
    """The log-odds of two answers after the last token, or the logit of one.

    score = logit(true) - logit(false), as Sentence Transformers has it.

    Attributes:
        width: of the score, 1.
    """

    def __init__(self, answers: tuple[int, ...]) -> None:
        super().__init__()
        self.width = 1
        self._answers = answers

    @classmethod
    def load(
        cls,
        folder: Path,
        config: Mapping[str, Any],
        *,
        width: int,  # noqa: ARG003
    ) -> LogitScore:
        """Read the ids of the tokens; of a bare checkpoint they are those of "yes" and "no"."""
        name = config.get("module_input_name", "causal_logits")
        if name != "causal_logits":
            raise CheckpointError(
                f"{folder / 'config.json'}: a LogitScore module on {name!r} is not supported, only "
                "on causal_logits."
            )
        return cls(read_answers(folder, config))

    def config(self) -> dict[str, Any]:
        """The ids of the tokens."""
        return {
            "true_token_id": self._answers[0],
            "false_token_id": self._answers[1] if len(self._answers) > 1 else None,
            "module_input_name": "causal_logits",
        }

    def forward(self, features: Features) -> Features:
        logits = features["answer_logits"]
        # Padding is on the right, so that the last real token is where the mask's sum says.
        last = features["attention_mask"].sum(dim=1).sub(1).clamp(min=0).view(-1, 1, 1)
        answers = logits.gather(1, last.expand(-1, -1, len(self._answers)))[:, 0]
        if len(self._answers) == 1:
            features["scores"] = answers
        else:
            features["scores"] = answers[:, :1] - answers[:, 1:]
        return features


def read_answers(folder: Path, config: Mapping[str, Any]) -> tuple[int, ...]:
    """The ids of the true answer's token and, if there is one, of the false answer's.

    Args:
        folder: of the module; where it has no config, the tokenizer is that in the folder above.

    Raises:
        CheckpointError: the config names no token, or the tokenizer has none that is an answer.
    """
    if config:
        path = folder / "config.json"
        true = read_setting(config, "true_token_id", path=path, kind=int)
        false = read_setting(config, "false_token_id", path=path, kind=int)
        if true is None:
            raise CheckpointError(f"{path}: 'true_token_id' is missing; add the id of its token.")
        return (true,) if false is None else (true, false)
    path = folder.parent / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    answers = [tokenizer.token_to_id(answer) for answer in _ANSWERS]
    found = tuple(answer for answer in answers if answer is not None)
    if len(found) < len(_ANSWERS):
        raise CheckpointError(
            f"{path}: a language model without a LogitScore module answers 'yes' or 'no', and "
            "the tokenizer lacks a token for one of them. Save the model with a LogitScore module "
            "that names its answers."
        )
    return found
