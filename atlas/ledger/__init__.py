"""The control plane: what must happen, what happens and what has happened, in schema ``pipeline``.

One noun a module. Whoever writes a fact does it through here, in the transaction of the effect.
"""
