"""`scorer`, and `python -m scorer`."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it with status 130, an output that cannot be written with 1; no traceback."""
    try:
        # Imported here: Ctrl-C while the modules load is Ctrl-C too.
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
    # What cannot be written would be tried again, and reported again, when the interpreter ends.
    try:
        sys.stdout.close()
    except OSError:
        return


if __name__ == "__main__":
    main()
