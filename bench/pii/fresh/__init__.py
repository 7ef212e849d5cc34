"""A second source of labelled data: ``python -m bench.pii --source fresh``.

Written by a hand that has read neither the scanner, nor its tests, nor the first generator's
templates: what fails here fails on data that nobody tuned for. Its halves share no table, column
name, template or name of a person; only ``dev`` is ever looked at in detail.
"""
