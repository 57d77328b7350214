"""Nodes: what an archive says of objects, before any of them is made."""

KINDS = {}  # of nodes, by their names


class UntrustedTypesFoundException(TypeError):
    def __init__(self, names):
        super().__init__(f"Untrusted types found in the file: {sorted(names)}.")


class Node:
    """A subclass fills `children` with nodes, or lists and dicts of them, or io.BytesIO, says in `known`
    which types need not be trusted, and makes the object in `_construct`."""

    known = frozenset()

    def __init_subclass__(cls):
        KINDS[cls.__name__] = cls

    def __init__(self, state, context, trusted):
        self.module_name, self.class_name = state["__module__"], state["__class__"]
        self.children = {}
        self._trusted = frozenset(trusted or ())
        self._made = []
        self._asked = False
        if state.get("__id__"):
            context.memo[state["__id__"]] = self
        self._fill(state, context, lambda part: get_tree(part, context, trusted))

    def _fill(self, state, context, tree):
        pass

    @property
    def name(self):
        return f"{self.module_name}.{self.class_name}"

    def own_unsafe(self):
        return {self.name} - self._trusted - self.known

    def get_unsafe_set(self):
        """The names of types below that are not trusted."""
        if self._asked:  # a model can hold itself
            return set()
        self._asked = True
        found = set(self.own_unsafe())
        for child in self.children.values():
            parts = child.values() if isinstance(child, dict) else child if isinstance(child, list) else [child]
            found.update(*(part.get_unsafe_set() for part in parts if isinstance(part, Node)))
        self._asked = False
        return found

    def construct(self):
        if not self._made:
            self._made.append(self._construct())
        return self._made[0]


def get_tree(state, context, trusted):
    known = context.memo.get(state.get("__id__"))
    if known is not None:
        return known
    kind = KINDS.get(state["__loader__"])
    if kind is None:
        raise TypeError(f"Can't find loader {state['__loader__']}")
    return kind(state, context, trusted)


def audit_tree(tree, trusted):
    unsafe = tree.get_unsafe_set() - set(trusted or ())
    if unsafe:
        raise UntrustedTypesFoundException(unsafe)
