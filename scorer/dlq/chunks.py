"""Dead letters in groups, each for one transaction."""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any


async def chunks(
    records: AsyncIterable[Any], wanted: Callable[[Any], bool], most_records: int, most_bytes: int
) -> AsyncIterator[list[Any]]:
    """The wanted records in groups. A group ends with the record with which it has `most_records` records or
    `most_bytes` of values."""
    chunk: list[Any] = []
    size = 0
    async for record in records:
        if not wanted(record):
            continue
        chunk.append(record)
        size += len(record.value or b"")
        if len(chunk) >= most_records or size >= most_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
