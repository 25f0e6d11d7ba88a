"""The command line, and its start: Ctrl-C ends it in silence while its libraries are still being loaded."""

import sys

INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended


def start() -> None:
    """Load the command line and run it."""
    try:
        from longllava_domains.pipelines.cli.main import main

        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
