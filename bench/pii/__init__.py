"""Accuracy and speed of the scanner for personal data, against Presidio's own ways to use it.

``python -m bench.pii`` (or ``make bench-pii``). The data is generated (:mod:`bench.pii.tables`,
:mod:`bench.pii.sparse`, and by another hand :mod:`bench.pii.fresh`) or Presidio's own labelled
sentences (:mod:`bench.pii.sentences`); whoever wrote it has not read the scanner's patterns and
word lists. Each source is in halves that share no word list, template or column name: the scanner
is tuned on ``dev`` and reported on ``held``.
"""
