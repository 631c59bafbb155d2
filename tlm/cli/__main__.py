"""`python -m tlm.cli`: the command `h2learn` where it is not on the path."""

import sys

from tlm.cli.main import main

sys.exit(main())
