"""Compound files (the container of .doc, .xls and .msg), for tests of their readers."""

from __future__ import annotations

import struct
from collections.abc import Mapping

_SECTOR, _SMALL_SECTOR, _CUTOFF = 512, 64, 4096
_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_NO_STREAM = 0xFFFFFFFF
_STORAGE, _STREAM, _ROOT = 1, 2, 5


def write_compound_file(streams: Mapping[str, bytes]) -> bytes:
    """A container of the streams; a name with a slash is in a storage of one level.

    Version 3 of the format (Microsoft, [MS-CFB]); streams below 4,096 bytes are in the small
    sectors of the root's stream. Entries of a folder are a chain of right siblings.
    """
    tree: dict[str, dict[str, bytes]] = {"": {}}
    for name, data in streams.items():
        folder, _, leaf = name.rpartition("/")
        tree.setdefault(folder, {})[leaf] = data
    entries: list[tuple[str, int, bytes, int, int]] = [("Root Entry", _ROOT, b"", _NO_STREAM, 1)]
    storages = [name for name in tree if name]
    top = [*((name, None) for name in storages), *tree[""].items()]
    following = len(top) + 1
    inner: list[tuple[str, int, bytes, int, int]] = []
    for index, (name, data) in enumerate(top, start=1):
        right = index + 1 if index < len(top) else _NO_STREAM
        if data is not None:
            entries.append((name, _STREAM, data, right, _NO_STREAM))
            continue
        entries.append((name, _STORAGE, b"", right, following))
        leaves = list(tree[name].items())
        for position, (leaf, content) in enumerate(leaves):
            following += 1
            after = following if position + 1 < len(leaves) else _NO_STREAM
            inner.append((leaf, _STREAM, content, after, _NO_STREAM))
    return _lay_out([*entries, *inner])


def _lay_out(entries: list[tuple[str, int, bytes, int, int]]) -> bytes:
    small: list[int] = []
    fat: list[int] = []
    small_body = body = directory = b""
    placed = []
    for name, kind, data, right, child in entries:
        if len(data) < _CUTOFF:
            first, small_body = _place(small, data, small_body, _SMALL_SECTOR)
        else:
            first, body = _place(fat, data, body, _SECTOR)
        placed.append((name, kind, right, child, first, len(data)))
    root, body = _place(fat, small_body, body, _SECTOR)
    placed[0] = (*placed[0][:4], root, len(small_body))
    for name, kind, right, child, first, size in placed:
        encoded = name.encode("utf-16-le")
        fields = (encoded, len(encoded) + 2, kind, 1, _NO_STREAM, right, child)
        directory += struct.pack("<64sHBBIII16xIQQIQ", *fields, 0, 0, 0, first, size)
    small_fat, body = _place(fat, struct.pack(f"<{len(small)}I", *small), body, _SECTOR)
    start, body = _place(fat, directory, body, _SECTOR)
    sectors = 1
    while len(fat) + sectors > sectors * _SECTOR // 4:
        sectors += 1
    places = range(len(fat), len(fat) + sectors)
    fat += [_FAT] * sectors
    fat += [_FREE] * (sectors * _SECTOR // 4 - len(fat))
    body += struct.pack(f"<{len(fat)}I", *fat)
    count = -(-len(small) * 4 // _SECTOR)
    magic = bytes.fromhex("d0cf11e0a1b11ae1")
    versions = (0x3E, 3, 0xFFFE, 9, 6)
    header = struct.pack("<8s16xHHHHH6x", magic, *versions)
    header += struct.pack("<9I", 0, sectors, start, 0, _CUTOFF, small_fat, count, _END, 0)
    return header + struct.pack("<109I", *places, *[_FREE] * (109 - sectors)) + body


def _place(fat: list[int], data: bytes, body: bytes, sector: int) -> tuple[int, bytes]:
    """Where the data begins, and the body with it at its end; the chain goes into the table."""
    count = -(-len(data) // sector)
    first = len(fat) if count else _END
    fat += [*range(len(fat) + 1, len(fat) + count), _END] if count else []
    return first, body + data.ljust(count * sector, b"\0")
