"""What nodes need."""

import importlib


class LoadContext:
    """`src` has read(name), as a zipfile.ZipFile."""

    def __init__(self, src, protocol):
        self.src = src
        self.protocol = protocol
        self.memo = {}  # nodes by their __id__


def find(module, name):
    return getattr(importlib.import_module(module), name)
