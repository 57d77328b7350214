"""Nodes of NumPy's types."""

import io

import numpy

from ._audit import Node
from ._general import _SCALARS
from ._utils import find


class NdArrayNode(Node):
    """Also of scalars."""

    known = frozenset({"numpy.ndarray", *_SCALARS})

    def _fill(self, state, context, tree):
        if state["type"] == "numpy":
            self.children = {"content": io.BytesIO(context.src.read(state["file"]))}
        else:  # of objects
            self.children = {"content": [tree(part) for part in state["content"]], "shape": tree(state["shape"])}

    def _construct(self):
        content = self.children["content"]
        if isinstance(content, list):
            array = numpy.empty(len(content), object)
            array[:] = [node.construct() for node in content]
            return array.reshape(self.children["shape"].construct())
        array = numpy.load(content, allow_pickle=False)
        if self.name == "numpy.ndarray":
            return array
        return find(self.module_name, self.class_name)(array)


class MaskedArrayNode(Node):
    known = frozenset({"numpy.ma.core.MaskedArray"})

    def _fill(self, state, context, tree):
        self.children = {part: tree(state["content"][part]) for part in ("data", "mask")}

    def _construct(self):
        return numpy.ma.MaskedArray(*(node.construct() for node in self.children.values()))
