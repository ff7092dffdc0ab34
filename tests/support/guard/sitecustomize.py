"""Python runs this when it starts, wherever this folder is on PYTHONPATH: every child of a test is guarded as well."""

import sys

import outside

# One module under both names: a worker of xdist, a child itself, imports it by the tests' name again (conftest.py).
sys.modules["tests.support.guard.outside"] = outside
outside.guard()
