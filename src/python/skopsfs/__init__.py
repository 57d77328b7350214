"""Models from mounted .skops archives, whose large arrays are maps that all processes share.

``load`` is ``skops.io.load`` for an archive in a mount of skopsfs; ``array`` maps one array by the
name that the model gives it, and needs NumPy only.
"""

from ._arrays import UnmappedWarning, array
from ._load import load

__all__ = ["UnmappedWarning", "array", "load"]
