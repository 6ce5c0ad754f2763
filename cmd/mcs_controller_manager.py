"""Run the controller manager: `python cmd/mcs_controller_manager.py --help`."""

import sys

from mcs_controller.app import main

if __name__ == "__main__":
    sys.exit(main())
