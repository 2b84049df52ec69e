"""`scorer`, and `python -m scorer`."""

import io
import sys


class _ClosedOutputError(Exception):
    """Something was to be printed, but stdout was closed before the start."""


class _ClosedOutput(io.TextIOBase):
    """Stands for a closed stdout: a command may run without one until it prints."""

    def write(self, text: str, /) -> int:
        if text:
            raise _ClosedOutputError
        return 0


def main() -> None:
    """Run the command line. Exit status 130 after Ctrl-C, 141 if the reader of the output is gone, 1 if the output
    cannot be written, 2 if stdout is closed; never a traceback."""
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    elif isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal may lack characters; that must not end a command.
        sys.stdout.reconfigure(errors="replace")
    try:
        # Imported here so that Ctrl-C during the import is handled too.
        from scorer.cli import app

        try:
            app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except _ClosedOutputError:
        sys.stderr.write("error: stdout is closed\n")
        sys.exit(2)
    except BrokenPipeError:
        _abandon_output()
        sys.exit(141)
    except OSError as error:
        sys.stderr.write(f"error: {error.strerror or error}\n")
        _abandon_output()
        sys.exit(1)


def _abandon_output() -> None:
    # Otherwise the interpreter flushes again at exit and reports the error a second time.
    try:
        sys.stdout.close()
    except OSError:
        return


if __name__ == "__main__":
    main()
