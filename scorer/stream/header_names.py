"""Header names that are not UTF-8, which Kafka forbids and its brokers let through.

aiokafka fails on such a record each time it is fetched and forgets the good ones read before it: one record would stop
every partition of a worker. With `tolerate` the name is read with backslashes in the place of the wrong bytes, and the
record is judged like any other.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_BATCH_LENGTH: Final = struct.Struct(">qi")


def tolerate() -> None:
    """Make aiokafka's consumers in this process read such records. It has no setting for it."""
    fetcher.MemoryRecords = _Records


class _Records:
    """aiokafka's MemoryRecords, which remembers the bytes of each batch."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._rest = memoryview(data)

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> "_Batch | None":
        batch = self._records.next_batch()
        if batch is None:
            return None
        _, length = _BATCH_LENGTH.unpack_from(self._rest)
        raw, self._rest = self._rest[: _BATCH_LENGTH.size + length], self._rest[_BATCH_LENGTH.size + length :]
        return _Batch(batch, raw)


class _Batch:
    """A record batch that is read anew, in Python, where the fast reader fails on a header name.

    Records from its beginning come again then; the fetcher passes over those it has had.
    """

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            yield from _LenientBatch(self._raw)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)


class _LenientBytes(bytearray):
    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _LenientBytes(part) if isinstance(index, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
