"""Warnings that name the line of the program, not one of this package."""

from __future__ import annotations

import os
import sys
import warnings

_PACKAGE = os.path.join(os.path.dirname(__file__), "")


class UnmappedWarning(UserWarning):
    """Something was loaded into memory of this process alone."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns of the line that has called this package, from however deep in it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
