"""The operations below ``/api/v1``, a module a noun."""
