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
    """aiokafka's MemoryRecords, which remembers where in the bytes each batch is."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = data
        self._position = 0

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> "_Batch | None":
        batch = self._records.next_batch()
        if batch is None:
            return None
        begin = self._position
        _, length = _BATCH_LENGTH.unpack_from(self._data, begin)
        self._position = begin + _BATCH_LENGTH.size + length
        return _Batch(batch, self._data, begin, self._position)


class _Batch:
    """A record batch that is read anew, in Python, where the fast reader fails on a header name.

    Records from its beginning come again then; the fetcher passes over those it has had.
    """

    def __init__(self, batch: Any, data: bytes, begin: int, end: int) -> None:
        self._batch = batch
        self._where = data, begin, end
        # Taken once: the fetcher asks several times, and under a low load for every record or two. 17 µs less for each.
        self.producer_id = batch.producer_id
        self.base_offset = batch.base_offset
        self.next_offset = batch.next_offset
        self.is_control_batch = batch.is_control_batch
        self.is_transactional = batch.is_transactional
        self.validate_crc = batch.validate_crc

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            data, begin, end = self._where
            yield from _LenientBatch(memoryview(data)[begin:end])


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
