"""Atlas: any Airbyte source into PostgreSQL, governed on the way.

The rooms and what each may use are drawn in docs/architecture.md.
"""

__version__ = "0.1.0"
