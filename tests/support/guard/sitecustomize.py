"""Python runs this when it starts, wherever this folder is on PYTHONPATH: every child of a test is guarded as well."""

import outside

outside.guard()
