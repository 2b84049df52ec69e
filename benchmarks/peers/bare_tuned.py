"""`bare_aiokafka.py` as one writes it after measuring it on Apache Kafka.

Kafka 4 refuses the first records of a transaction while it completes the last one of the same producer, and the client
asks again after its back-off. A larger batch needs fewer transactions.

    python benchmarks/peers/bare_tuned.py localhost:9092
"""

import asyncio
import sys

from benchmarks.peers.bare_aiokafka import main

asyncio.run(main(sys.argv[1], batch=2_000, back_off_ms=10))
