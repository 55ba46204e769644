"""What the single binary runs: the `gateway` command."""

import multiprocessing
import sys

from gateway.cli import main

if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
