"""`scorer`, and `python -m scorer`."""

import sys


def main() -> None:
    """Run the command line. Exit status 130 after Ctrl-C, 1 if the output cannot be written; never a traceback."""
    try:
        # Imported here so that Ctrl-C during the import is handled too.
        from scorer.cli import app

        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _abandon_output()
        sys.exit(1)
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
