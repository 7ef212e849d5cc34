"""OpenLineage: what the events say, how things are named in them, and their delivery.

The modules import the official client, which takes half a second, so this package exports nothing:
a worker imports the module it needs, the web process and the command line import none.
"""
