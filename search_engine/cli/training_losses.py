"""A loss by its name, or by a class in a file of the user's own, with options that were typed."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from search_engine.training.losses.loss import Loss

_PACKAGES = {"bi": "bi_encoder", "sparse": "sparse_encoder", "cross": "cross_encoder"}


def make_loss(
    name: str,
    options: Sequence[str],
    *,
    kind: Literal["bi", "sparse", "cross"],
    matryoshka: str | None = None,
    offline: bool = False,
) -> Loss:
    """A loss of that name, or of `FILE.py:CLASS`, with its options.

    Args:
        options: `name=value` each; of the loss that a loss wraps, `loss=NAME` and
            `loss.name=value`.
        matryoshka: dimensions, by commas, that the loss is computed of as well.
        offline: for losses that may ask the network.

    Raises:
        BadParameter: an option is missing, unknown or wrong.
        UnknownNameError: there is no loss of that name.
        ConfigError: the file cannot be loaded, or has no such loss.
    """
    given: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"--loss-option {option!r} is not of the form name=value")
        given[key] = value
    loss = _make(name, given, kind, offline=offline)
    if matryoshka is None:
        return loss
    dimensions = _split(matryoshka)
    if not dimensions or not all(isinstance(each, int) for each in dimensions):
        raise typer.BadParameter(f"--matryoshka {matryoshka!r} is not of the form 384,256,128")
    options_of_it = {"loss": loss, "dimensions": dimensions}
    return _construct(_find("MatryoshkaLoss", kind), options_of_it)


def _make(name: str, options: Mapping[str, str], kind: str, *, offline: bool) -> Loss:
    loss = _find(name, kind)
    own = {key: value for key, value in options.items() if "." not in key}
    inner = {key.partition(".")[2]: v for key, v in options.items() if key.startswith("loss.")}
    if lost := [key for key in options if "." in key and not key.startswith("loss.")]:
        raise typer.BadParameter(f"--loss-option {lost[0]}: there is no such option")
    if inner and "loss" not in own:
        raise typer.BadParameter(f"--loss-option loss.{next(iter(inner))} needs loss=NAME")
    # A loss without an __init__ of its own has that of its base, which takes anything.
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(loss).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    if unknown := [key for key in own if key not in parameters]:
        known = ", ".join(parameters) or "none"
        raise typer.BadParameter(f"{name} has no option {unknown[0]!r}; its options are: {known}")
    values: dict[str, Any] = {"offline": True} if offline and "offline" in parameters else {}
    for key, value in own.items():
        if key == "loss":
            values[key] = _make(value, inner, kind, offline=offline)
        else:
            values[key] = _read(value, several=_is_sequence(parameters[key]))
    missing = [
        key
        for key, parameter in parameters.items()
        if parameter.default is parameter.empty and key not in values
    ]
    if missing:
        raise typer.BadParameter(f"{name} needs --loss-option {missing[0]}=...")
    return _construct(loss, values)


def _construct(loss: type[Loss], values: Mapping[str, Any]) -> Loss:
    from search_engine.errors import ConfigError

    try:
        return loss(**values)
    except (ConfigError, TypeError, ValueError) as error:
        shown = ", ".join(f"{key}={value!r}" for key, value in values.items() if key != "loss")
        raise typer.BadParameter(f"{loss.__name__} cannot be made with {shown}: {error}") from error


def _find(name: str, kind: str) -> type[Loss]:
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _load(Path(path), attribute)
    module = import_module(f"search_engine.training.losses.{_PACKAGES[kind]}")
    found: type[Loss] = module.LOSSES.get(name)
    return found


def _load(path: Path, name: str) -> type[Loss]:
    """The class of that name in a file that whoever typed the command has named."""
    from search_engine.errors import ConfigError
    from search_engine.training.losses.loss import Loss

    module_name = f"_losses_of_{path.stem}"
    spec = spec_from_file_location(module_name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"{path}: there is no such file; give FILE.py:CLASS.")
    module = module_from_spec(spec)
    # Where the processes that tokenize, and pickles of the loss, look for the class.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{path} cannot be loaded: {type(error).__name__}: {error}.") from error
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Loss)):
        raise ConfigError(
            f"{path}: {name!r} is no loss; make it a subclass of "
            "search_engine.training.losses.loss.Loss."
        )
    return found


def _is_sequence(parameter: inspect.Parameter) -> bool:
    annotation = str(parameter.annotation)
    return annotation.startswith(("tuple", "Sequence", "collections.abc.Sequence", "typing.Seq"))


def _split(value: str) -> tuple[Any, ...]:
    return tuple(_read(part.strip(), several=False) for part in value.split(",") if part.strip())


def _read(value: str, *, several: bool) -> Any:
    """A number, truth value or None as such, anything else as text."""
    if several:
        return _split(value.strip("()[]"))
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        read = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    return read if isinstance(read, int | float | None) else value
