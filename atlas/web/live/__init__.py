"""Server-sent events: what happens, told to whoever watches, at little cost.

``told`` knows the format and where a watcher stands, ``watched`` what the ledger has to tell of
runs, ``hub`` the watchers of this process, and ``stream`` how a request becomes one of them.
"""
