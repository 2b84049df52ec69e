"""How both jobs on Quix Streams run: exactly once, and otherwise as it comes."""

from quixstreams import Application


def application(bootstrap: str, folder: str) -> Application:
    """`folder`: for its state."""
    return Application(
        broker_address=bootstrap,
        consumer_group="bench",
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        state_dir=folder,
        commit_interval=1.0,
        consumer_extra_config={"isolation.level": "read_committed"},
        loglevel="WARNING",
    )
