"""How both jobs on Quix Streams run: exactly once, otherwise with its defaults."""

from quixstreams import Application


def application(bootstrap: str, folder: str) -> Application:
    """The application; it keeps its state in `folder`."""
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
