"""Every exception that this package raises on purpose.

    SearchEngineError
    ├── ConfigError                 a setting is wrong, or two settings contradict each other
    ├── UnknownNameError            a registry has no entry of that name
    ├── FilterError                 a condition on metadata cannot be read
    ├── ModelError
    │   ├── ModelNotFoundError      no folder, package, cache or hub has a model of that name
    │   └── CheckpointError         a checkpoint that is there cannot be read or is not supported
    ├── ReadError                   a file or a record of a file cannot be read
    ├── DatasetError                an evaluation data set is missing or malformed
    ├── TrainingError               a training cannot begin or go on
    │   └── TrainingDataError       training data is missing, malformed, or not what its loss takes
    └── IndexStoreError
        ├── IndexNotFoundError      there is no index at that place
        ├── IndexExistsError        there already is an index at that place
        ├── IndexCorruptError       a file of the index is not what the index says it is
        ├── IndexFormatError        the index was written in a format this version does not read
        ├── IndexLockedError        another writer held the lock until the timeout
        ├── IndexReadOnlyError      the place cannot be written to
        ├── SnapshotGoneError       what was being read was removed meanwhile
        ├── EncoderMismatchError    the index was built by another encoder than the one given
        └── GenerationError         a generation cannot be built, promoted or rolled back to
            ├── GenerationBehindError   it lacks documents that the index has
            └── GenerationChangedError  another generation went live meanwhile

Messages say what was wrong, where, and what to do about it.
"""

from __future__ import annotations


class SearchEngineError(Exception):
    """The root of the tree: catch this to catch everything we raise on purpose."""


class ConfigError(SearchEngineError):
    """A setting is wrong, or two settings contradict each other."""


class UnknownNameError(SearchEngineError):
    """A registry has no entry of that name; the message lists those it has."""


class FilterError(SearchEngineError):
    """A condition on metadata cannot be read; the message says where and what is allowed."""


class ModelError(SearchEngineError):
    """A model cannot be used."""


class ModelNotFoundError(ModelError):
    """No folder, installed package, cache or hub has a model of that name."""


class CheckpointError(ModelError):
    """A checkpoint is there but cannot be read, or needs something we do not have."""


class ReadError(SearchEngineError):
    """A file, or one record of it, cannot be read.

    Attributes:
        path: the file, as it was given.
        reason: what is wrong with it, in words for the person who owns the file.
        line: 1-based line of the record, or None where the whole file is meant.
        passing: the machine is to blame, and not the file: the next try may go well.
    """

    def __init__(
        self, path: str, reason: str, *, line: int | None = None, passing: bool = False
    ) -> None:
        place = path if line is None else f"{path}:{line}"
        super().__init__(f"{place}: {reason}")
        self.path = path
        self.reason = reason
        self.line = line
        self.passing = passing


class DatasetError(SearchEngineError):
    """An evaluation data set is missing or malformed."""


class TrainingError(SearchEngineError):
    """A training cannot begin or go on."""


class TrainingDataError(TrainingError):
    """Training data is missing, malformed, or not what its loss takes."""


class IndexStoreError(SearchEngineError):
    """An index on disk cannot be used."""


class IndexNotFoundError(IndexStoreError):
    """There is no index at that place."""


class IndexExistsError(IndexStoreError):
    """There already is an index at that place."""


class IndexCorruptError(IndexStoreError):
    """A file of the index is not what the index says it is."""


class IndexFormatError(IndexStoreError):
    """The index was written in a format that this version does not read."""


class IndexLockedError(IndexStoreError):
    """Another writer held the lock until the timeout."""


class IndexReadOnlyError(IndexStoreError):
    """The place cannot be written to."""


class SnapshotGoneError(IndexStoreError):
    """What was being read was removed meanwhile: the index moved on."""


class EncoderMismatchError(IndexStoreError):
    """The index was built by another encoder than the one that was given."""


class GenerationError(IndexStoreError):
    """A generation cannot be built, promoted or rolled back to."""


class GenerationBehindError(GenerationError):
    """A generation lacks documents that the index has."""


class GenerationChangedError(GenerationError):
    """Another generation went live while something was done with the one before it."""
