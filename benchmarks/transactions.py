"""How many transactions a broker committed, from the log of its transaction coordinator. Apache Kafka only."""

from confluent_kafka import Consumer, TopicPartition

from benchmarks.kafka import QUIET, WorkerError

_LOG = "__transaction_state"
_STATUS = slice(16, 17)
"""Of a record's value: after version, producer id, epoch and time-out (`TransactionLogValue` of Kafka)."""
_COMPLETE_COMMIT = b"\x04"
Ends = dict[int, int]
"""The end of each partition of the log."""


class Transactions:
    """Reads the log at the broker `bootstrap`."""

    def __init__(self, bootstrap: str) -> None:
        settings = {"group.id": "transactions", "enable.auto.commit": False, "enable.partition.eof": False}
        self._consumer = Consumer({"bootstrap.servers": bootstrap, **settings, **QUIET})

    def ends(self) -> Ends:
        """Where the log ends now."""
        numbers = self._consumer.list_topics(_LOG, timeout=10).topics[_LOG].partitions
        marks = {n: self._consumer.get_watermark_offsets(TopicPartition(_LOG, n), timeout=10) for n in numbers}
        return {number: high for number, (_, high) in marks.items()}

    def committed(self, begins: Ends, ends: Ends) -> int:
        """How many transactions ended with a commit between two ends. Raises `WorkerError` if they cannot be read."""
        count = 0
        for number, end in ends.items():
            begin = begins.get(number, 0)
            self._consumer.assign([TopicPartition(_LOG, number, begin)])
            while begin < end:
                record = self._consumer.poll(10)
                if record is None or record.error() is not None:
                    raise WorkerError("the log of transactions cannot be read")
                begin = int(record.offset() or 0) + 1
                value = record.value()
                if begin <= end and isinstance(value, bytes) and value[_STATUS] == _COMPLETE_COMMIT:
                    count += 1
        return count

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
