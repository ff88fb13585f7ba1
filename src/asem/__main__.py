"""`python -m asem` is `asem`."""

import sys

from asem.cli import main

if __name__ == "__main__":
    sys.exit(main())
