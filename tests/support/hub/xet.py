"""The write side of Xet as hf_xet speaks it: chunks packed into xorbs, files named by shards."""

from __future__ import annotations

import struct
from collections.abc import Iterator

END = b"\xff" * 32
HAS_CHECKS, HAS_SHA256 = 1 << 31, 1 << 30
RECORD = 48


def chunks(xorb: bytes) -> list[bytes]:
    """The chunks of a xorb, unpacked. Each has a header: version, packed length, scheme, length."""
    found, at = [], 0
    while at + 8 <= len(xorb) and xorb[at : at + 7] != b"XETBLOB":
        packed = int.from_bytes(xorb[at + 1 : at + 4], "little")
        scheme, length = xorb[at + 4], int.from_bytes(xorb[at + 5 : at + 8], "little")
        found.append(_unpacked(xorb[at + 8 : at + 8 + packed], scheme, length))
        at += 8 + packed
    return found


def _unpacked(data: bytes, scheme: int, length: int) -> bytes:
    if scheme == 0:
        return data
    import lz4.frame

    plain = lz4.frame.decompress(data)
    if scheme == 2:  # bytes grouped by four before they were packed
        split = [length // 4 + (place < length % 4) for place in range(4)]
        parts, at = [], 0
        for size in split:
            parts.append(plain[at : at + size])
            at += size
        plain = bytes(parts[place % 4][place // 4] for place in range(length))
    assert len(plain) == length
    return plain


def name_of(hash_: bytes) -> str:
    """A hash as hf_xet writes it in addresses: four little-endian words."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", hash_))


def files(shard: bytes) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """(SHA-256, [(xorb, first chunk, end)]) of every file that the shard names."""
    at = 48
    while shard[at : at + 32] != END:
        flags, count = struct.unpack_from("<II", shard, at + 32)
        at += RECORD
        segments = []
        for _ in range(count):
            _flags, _size, start, end = struct.unpack_from("<4I", shard, at + 32)
            segments.append((name_of(shard[at : at + 32]), start, end))
            at += RECORD
        at += RECORD * count if flags & HAS_CHECKS else 0
        if flags & HAS_SHA256:
            yield name_of(shard[at : at + 32]), segments
            at += RECORD
