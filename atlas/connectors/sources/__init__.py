"""Atlas's own sources: each a program that speaks Airbyte's protocol, and knows nothing of Atlas.

``python -m atlas.connectors.sources.postgres spec | check | discover | read --config FILE …``
"""
