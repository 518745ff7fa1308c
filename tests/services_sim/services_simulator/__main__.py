"""`python -m services_simulator SEED`: replays one seed and tells its story."""

from __future__ import annotations

import sys

from services_simulator.hunt import main

sys.exit(main(sys.argv[1:]))
