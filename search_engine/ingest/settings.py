"""How the files below one root are read: given once, and remembered by the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class RootSettings:
    """How the files below a folder (or a file given by itself) are found and read.

    Attributes:
        fields: which field of a record (JSONL, CSV, Parquet, Arrow) is what: "id", "text" or
            "title" -> the field's name in the file, or several joined by "+". What is not named
            is found by custom.
        hidden: whether files and folders whose names begin with a dot are taken too.
        ocr: whether text is recognised in scanned PDF files and in images, by tesseract.
    """

    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    hidden: bool = False
    ocr: bool = False

    def changed(
        self,
        *,
        fields: Mapping[str, str] | None = None,
        hidden: bool | None = None,
        ocr: bool | None = None,
    ) -> RootSettings:
        """These settings with those in their place that are given."""
        return RootSettings(
            self.fields if fields is None else fields,
            self.hidden if hidden is None else hidden,
            self.ocr if ocr is None else ocr,
        )

    def as_json(self) -> dict[str, object]:
        """What an index remembers: those that are not the default."""
        values = {"fields": dict(self.fields), "hidden": self.hidden, "ocr": self.ocr}
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> RootSettings:
        """The settings that `as_json` wrote."""
        fields = values.get("fields")
        return cls(
            MappingProxyType(dict(fields) if isinstance(fields, Mapping) else {}),
            bool(values.get("hidden")),
            bool(values.get("ocr")),
        )
