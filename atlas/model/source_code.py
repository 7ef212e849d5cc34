"""Where what people wrote of a connection stands in a repository."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SourceCode:
    """A connections file at a commit.

    Attributes:
        url: its page on the web, at that commit.
        repository: the repository's URL, without any credentials.
        path: the file's path in the repository.
        version: the commit, in full.
    """

    url: str
    repository: str
    path: str
    version: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
