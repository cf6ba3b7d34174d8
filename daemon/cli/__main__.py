"""`python -m daemon.cli` is `wrapd`."""

import sys

from daemon.cli import main

sys.exit(main())
