"""Measurements of Atlas, each against a peer or a limit that is measured in the same run.

``python -m bench`` (or ``make bench``) runs them all; each module says in its docstring what it
measures, against what, and why the comparison is fair.
"""
