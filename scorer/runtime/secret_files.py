"""Secrets in files, as Kubernetes and Docker mount them.

A file is read each time it is asked for, so that a changed one takes effect without a restart.
"""

from pathlib import Path

from scorer.runtime.settings import SettingsError, unreadable, variable


def secret_in(name: str, path: Path) -> str:
    """The secret in the file of a setting: one line, without its end. Raises `SettingsError`, which never shows it."""

    def wrong(what: str) -> SettingsError:
        return SettingsError(f"{variable(name)} is {str(path)!r}, which {what}")

    problem = unreadable(path)
    if problem is not None:
        raise wrong(f"cannot be read: {problem}")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise wrong(f"is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise wrong(f"cannot be read: {error.strerror}") from None
    # An editor ends the line, and `kubectl create secret --from-file` keeps that.
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret.strip():
        raise wrong("is empty; expected one line")
    if any(ord(character) < 32 or ord(character) == 127 for character in secret):
        raise wrong("has more than one line, or a control character; expected one line of text")
    return secret
