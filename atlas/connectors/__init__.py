"""Airbyte's side of Atlas: the catalog, installing, spec, check, discover and reading.

A connector is a program with a command line of its own; everything here talks to it through files
and its standard output. PyAirbyte is used in one place, the child process of
:mod:`atlas.connectors.installer`.
"""
