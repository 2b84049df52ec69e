"""The same as `bare_aiokafka.py` on confluent-kafka, which is librdkafka in C.

python benchmarks/peers/bare_confluent.py localhost:9092
"""

import sys

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

BATCH = 500


def main(bootstrap: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "bench-bare", "linger.ms": 5})
    producer.init_transactions(30)
    consumer.subscribe(["lead.activity"])
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    while True:
        records = consumer.consume(BATCH, timeout=0.02)
        if not records:
            continue
        producer.begin_transaction()
        offsets: dict[int, int] = {}
        for record in records:
            event = decode(record.value())
            out = encode({"id": event["id"], "lead": event["subject"], "type": event["type"], "rating": "cold"})
            producer.produce("lead.routing", out, key=record.key())
            offsets[record.partition()] = record.offset() + 1
        positions = [TopicPartition("lead.activity", number, offset) for number, offset in offsets.items()]
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
        producer.commit_transaction(30)


main(sys.argv[1])
