"""The folder of a training run: what is in it, and whether it may be begun or gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from search_engine.errors import ConfigError
from search_engine.training.checkpoints import EVALUATED, find_last_checkpoint, remove_incomplete
from search_engine.training.run_record import find_differences


class RunFolder:
    """Where a run keeps what it writes.

    Attributes:
        model: the trained model; it is there when the run is finished.
        checkpoints: those that are kept.
        start: the model that training begins with, where it had to be given a new head.
        log: each entry of the log as a line of JSON.
        loss_curve, score_curve: pictures.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.model = folder / "model"
        self.checkpoints = folder / "checkpoints"
        self.log = folder / "log.jsonl"
        self.loss_curve = folder / "loss.png"
        self.score_curve = folder / "scores.png"
        self._record = folder / "run.json"
        self.start = folder / "untrained"
        self._losses = folder / "losses.safetensors"

    def check(self, *, resume: bool) -> None:
        """See that the run may be begun, or gone on with.

        Raises:
            ConfigError: the folder holds something already, or holds no run to go on with.
        """
        if resume:
            if not self._record.is_file():
                raise ConfigError(
                    f"{self._folder} holds no run to go on with; leave resume out to begin one."
                )
        elif self._folder.exists() and not self._folder.is_dir():
            raise ConfigError(f"{self._folder} is a file; give a folder.")
        elif self._folder.exists() and any(
            # Nothing but a start is of a run that never began.
            each.name != self.start.name
            for each in self._folder.iterdir()
        ):
            raise ConfigError(
                f"{self._folder} is not empty; give another folder, or resume the run in it."
            )

    def begin(self, description: Mapping[str, Any], *, losses: nn.Module | None = None) -> None:
        """Write down what the run is, and what the losses begin with, which may be random."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if losses is not None and (state := losses.state_dict()):
            save_file({name: value.contiguous() for name, value in state.items()}, self._losses)
        temporary = self._record.with_suffix(".tmp")
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._record)

    def go_on(self, description: Mapping[str, Any]) -> Path | None:
        """The last whole checkpoint of the run, None where it has none yet.

        Raises:
            ConfigError: the run in the folder is another one.
        """
        try:
            before = json.loads(self._record.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{self._record} is damaged: {error}; begin anew.") from error
        differences = find_differences(before, description)
        if differences:
            raise ConfigError(
                f"the run in {self._folder} is another one: {'; '.join(differences)}. Give what "
                "it was begun with, or another folder."
            )
        remove_incomplete(self.checkpoints)
        shutil.rmtree(self.checkpoints / EVALUATED, ignore_errors=True)
        return find_last_checkpoint(self.checkpoints)

    def read_losses(self, losses: nn.Module) -> None:
        """Let the losses begin with what they began with when the run was begun."""
        if self._losses.is_file():
            losses.load_state_dict(load_file(self._losses))

    @contextmanager
    def fresh_start(self) -> Iterator[Path]:
        """The path of `start`, to be written anew; nothing is left of what fails."""
        made = not self._folder.exists()
        shutil.rmtree(self.start, ignore_errors=True)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            yield self.start
        except BaseException:
            shutil.rmtree(self._folder if made else self.start, ignore_errors=True)
            raise

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """The path of a folder that may be made, and is taken away again."""
        folder = self.checkpoints / EVALUATED
        shutil.rmtree(folder, ignore_errors=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def finish(self, write: Callable[[Path], None]) -> None:
        """Let the model be written, and give it its name when it is whole.

        Args:
            write: into a folder that does not exist yet.
        """
        temporary = self._folder / "model.unfinished"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            write(temporary)
            temporary.rename(self.model)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
