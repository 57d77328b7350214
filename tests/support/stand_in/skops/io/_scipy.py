"""Nodes of SciPy's types."""

import io

import scipy.sparse

from ._audit import Node


class SparseMatrixNode(Node):
    def _fill(self, state, context, tree):
        if state["type"] != "scipy":
            raise TypeError(f"Cannot load object of type {self.name}")
        self.children = {"content": io.BytesIO(context.src.read(state["file"]))}

    def _construct(self):
        return scipy.sparse.load_npz(self.children["content"])
