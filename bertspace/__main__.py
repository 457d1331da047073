"""`python -m bertspace …`: the command line."""

import sys

from bertspace.cli import main

if __name__ == "__main__":
    sys.exit(main())
