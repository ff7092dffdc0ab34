"""Python runs this when it starts, wherever this folder is on PYTHONPATH: every child of a test is guarded as well."""

import importlib.machinery
import importlib.util
import os
import sys

import outside

outside.guard()

# The sitecustomize that this one hides, such as a distribution's own, still has its say.
elsewhere = [place for place in sys.path if os.path.abspath(place or ".") != os.path.dirname(os.path.abspath(__file__))]
hidden = importlib.machinery.PathFinder.find_spec("sitecustomize", elsewhere)
if hidden is not None and hidden.loader is not None:
    hidden.loader.exec_module(importlib.util.module_from_spec(hidden))
