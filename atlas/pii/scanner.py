"""The scanner: Presidio's parts, loaded once per process, that studies and maskers share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from atlas import __version__
from atlas.model.stream import Column
from atlas.pii.engine import engine
from atlas.pii.national import Identifiers
from atlas.pii.recurring import Digests
from atlas.pii.spans import Finder
from atlas.pii.study import Study
from atlas.settings import Settings


class Scanner:
    """Searches columns for personal data, in one process, off the network.

    Attributes:
        finder: finds the spans of texts, and remembers them between a study and its mask.
        fingerprint: of what decides which spans are found. Parts of a stream are studied and masked
            by scanners of one fingerprint, or not at all.
    """

    def __init__(self, settings: Settings) -> None:
        """Load model and recognizers, or take those that this process has loaded already.

        Raises:
            UsageError: the file of the NLP engine or of the recognizers is wrong.
            TerminalError: a model, an engine or a recognizer is not installed.
        """
        self._settings = settings
        loaded = engine(
            settings.pii_model,
            settings.pii_language,
            settings.pii_phone_regions,
            settings.pii_nlp,
            settings.pii_recognizers,
        )
        self.finder = Finder(loaded, Identifiers(settings.pii_locales), settings.pii_threshold)
        told = (__version__, loaded.fingerprint, settings.pii_locales, settings.pii_threshold)
        self.fingerprint = hashlib.sha256(repr(told).encode()).hexdigest()

    def study(
        self,
        columns: Sequence[Column],
        keys: frozenset[str],
        first: Sequence[Mapping[str, Any]] = (),
        searched: frozenset[str] = frozenset(),
        kept: frozenset[str] = frozenset(),
        secret: bytes | None = None,
    ) -> Study:
        """A study of a stream with ``columns``, or of a part of one.

        Args:
            keys: names of the primary key's columns.
            first: evidence of the stream's first part, to begin with what it showed.
            searched: columns of which every value is searched, however clear it seems what they
                are.
            kept: entity types that the policy leaves as they are: a column of one is searched for
                what else is in it.
            secret: the masker's, to count words by keyed digest. None: no words are counted, and
                one that recurs all over a column is as much a name as any.
        """
        return Study(
            self.finder,
            columns,
            keys,
            self._settings.pii_sample,
            self._settings.pii_threshold,
            first,
            searched,
            self.fingerprint,
            kept,
            None if secret is None else Digests(secret),
        )
