"""How much the random tests try: `TEST_SCALE`, a whole number, 1 if it is not set. `make test-long` sets it."""

import os

SCALE = int(os.environ.get("TEST_SCALE", "1"))
LONG = SCALE > 1
