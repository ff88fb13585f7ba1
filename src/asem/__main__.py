"""Entry point of ``python -m asem``: the command line."""

import sys

from asem.cli import main

if __name__ == "__main__":
    sys.exit(main())
