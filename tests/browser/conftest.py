"""The browser's tests use the integration tests' house, with a database and a daemon in it."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
