"""How much the reading of one file may take before it is given up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take of time and memory, and how much it may say.

    Attributes:
        seconds: that are waited for the next record of a file.
        recognition_seconds: the same where text is recognised in scanned pages.
        memory: bytes that a reader may take beyond what its process holds at rest. Linux keeps
            this limit, as RLIMIT_DATA; other systems may not.
        document_characters: of one document: text, title and metadata.
        file_characters: of all documents and problems of a file together, for small files.
        expansion: the same for large files, as a multiple of the file's size in bytes; the larger
            of the two counts.
    """

    seconds: float = 60.0
    recognition_seconds: float = 3600.0
    memory: int = 2 * 2**30
    document_characters: int = 20_000_000
    file_characters: int = 100_000_000
    expansion: int = 100

    @property
    def memory_text(self) -> str:
        """The limit of memory as people read it."""
        return f"{self.memory / 2**30:.3g} GiB of memory"

    def seconds_of(self, *, recognizing: bool) -> float:
        """How long the next record of a file is waited for."""
        return self.recognition_seconds if recognizing else self.seconds

    def characters_of(self, size: int) -> int:
        """How many characters all that is in a file of this size in bytes may have together."""
        return max(self.file_characters, self.expansion * size)


DEFAULT_LIMITS = Limits()
