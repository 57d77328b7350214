"""Nodes of Python's own types and of scikit-learn's estimators."""

import functools
import io
import json

import numpy

from ._audit import Node
from ._utils import find

_SCALARS = {f"{kind.__module__}.{kind.__name__}" for kind in set(numpy.sctypeDict.values())}
_TYPES = _SCALARS | {f"builtins.{name}" for name in (
    "bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple")}


@functools.lru_cache
def _estimators():
    from sklearn.utils import all_estimators
    return {f"{kind.__module__}.{name}" for name, kind in all_estimators()}


class JsonNode(Node):
    def _fill(self, state, context, tree):
        self.content = state["content"]

    def own_unsafe(self):
        return set()

    def _construct(self):
        return json.loads(self.content)


class DictNode(Node):
    known = frozenset({"builtins.dict", "collections.OrderedDict"})

    def _fill(self, state, context, tree):
        self.children = {"key_types": tree(state["key_types"]),
                         "content": {key: tree(value) for key, value in state["content"].items()}}

    def _construct(self):
        kinds = self.children["key_types"].construct()
        pairs = zip(kinds, self.children["content"].items())
        return find(self.module_name, self.class_name)({kind(key): node.construct()
                                                        for kind, (key, node) in pairs})


class ListNode(Node):
    known = frozenset({"builtins.list"})

    def _fill(self, state, context, tree):
        self.children = {"content": [tree(part) for part in state["content"]]}

    def _construct(self):
        return find(self.module_name, self.class_name)(node.construct() for node in self.children["content"])


class TupleNode(ListNode):
    known = frozenset({"builtins.tuple"})


class SetNode(ListNode):
    known = frozenset({"builtins.set"})


class TypeNode(Node):
    known = frozenset(_TYPES)

    def _construct(self):
        return find(self.module_name, self.class_name)


class BytesNode(Node):
    known = frozenset({"builtins.bytes"})

    def _fill(self, state, context, tree):
        self.children = {"content": io.BytesIO(context.src.read(state["file"]))}

    def _construct(self):
        return self.children["content"].getvalue()


class ObjectNode(Node):
    def own_unsafe(self):
        return super().own_unsafe() - _estimators()

    def _fill(self, state, context, tree):
        self.children = {"attrs": tree(state["content"])}

    def _construct(self):
        kind = find(self.module_name, self.class_name)
        made, attributes = kind.__new__(kind), self.children["attrs"].construct()
        if hasattr(made, "__setstate__"):
            made.__setstate__(attributes)
        else:
            made.__dict__.update(attributes)
        return made


class ReduceNode(Node):
    """An object that is made of the arguments that __reduce__ gives."""

    def _fill(self, state, context, tree):
        self.children = {"args": tree(state["__reduce__"]["args"]), "attrs": tree(state["content"])}

    def _construct(self):
        made = find(self.module_name, self.class_name)(*self.children["args"].construct())
        attributes = self.children["attrs"].construct()
        if attributes:
            made.__setstate__(attributes)
        return made


class LossNode(ReduceNode):
    known = frozenset({"sklearn.linear_model._sgd_fast.Hinge"})


class TreeNode(ReduceNode):
    known = frozenset({"sklearn.tree._tree.Tree"})
