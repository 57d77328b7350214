"""Models from mounted .skops archives, whose large arrays are maps that all processes share.

``load`` is ``skops.io.load`` for an archive in a mount of skopsfs, ``get_untrusted_types`` says what it has
to trust; ``array`` maps one array by the name that the model gives it, and needs NumPy only. ``dump``
replaces an archive in one step, ``version`` and ``changed`` tell servers of that. ``report`` shows what
the arrays of a model take of memory. After ``install`` programs that call ``skops.io.load`` need no new paths.
"""

from ._arrays import array
from ._install import install, installed, uninstall
from ._load import get_untrusted_types, load
from ._report import report
from ._saving import dump
from ._versions import changed, version
from ._warnings import UnmappedWarning

__version__ = "0.1.0"  # as CMakeLists.txt has it; pyproject.toml takes it from here

__all__ = ["UnmappedWarning", "array", "changed", "dump", "get_untrusted_types", "install", "installed",
           "load", "report", "uninstall", "version"]
