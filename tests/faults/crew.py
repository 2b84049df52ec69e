"""Several workers of one group: a worker that is killed is started again, as a supervisor does."""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.group import wait_until_processed
from tests.faults.sizes import DRAIN_SECONDS
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service


class Crew:
    """Workers with the same settings. On leaving, those that still run are killed."""

    def __init__(self, kafka: Kafka, names: Names, folder: Path, count: int, **settings: str) -> None:
        self._kafka = kafka
        self._names = names
        self._folder = folder
        self._count = count
        self._settings = settings
        self._stack = contextlib.ExitStack()
        self.workers: list[Service] = []
        self.killed: list[Service] = []

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self.workers.append(self.start())
        for worker in self.workers:
            worker.wait(worker.ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, **settings: str) -> Service:
        """One more process, which is not ready yet and is none of `workers`."""
        given = {**self._settings, **settings}
        return self._stack.enter_context(service(self._kafka, self._names, self._folder, ready=False, **given))

    def kill(self, number: int = 0) -> None:
        """`kill -9` for a worker. Another process takes its place at once."""
        worker = self.workers[number]
        self.check()
        worker.process.kill()
        worker.process.wait()
        self.killed.append(worker)
        self.workers[number] = self.start()

    def check(self) -> None:
        """Fail if a worker has ended by itself."""
        for worker in self.workers:
            assert worker.process.poll() is None, f"ended with {worker.process.returncode}:\n{worker.text()}"

    def finish(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until the input is processed and all workers are ready, and end them (SIGTERM)."""
        wait_until_processed(self._kafka, self._names, self.workers, seconds)
        for worker in self.workers:
            worker.wait(worker.ready)
        for worker in self.workers:
            assert worker.terminate() == 0, worker.text()
