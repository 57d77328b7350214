"""What an archive says of an object, and the members that hold its arrays."""

import io
import json
import uuid

import numpy
import scipy.sparse


def state_of(value, archive, kept):
    """The part of a schema. `kept` holds what was saved, so that no other object gets the same id."""
    kept[id(value)] = value
    return dict(_state_of(value, archive, kept), __id__=id(value))


def _state_of(value, archive, kept):
    def inner(part):
        return state_of(part, archive, kept)

    def node(loader, kind=type(value), **more):
        return {"__class__": kind.__name__, "__module__": kind.__module__, "__loader__": loader, **more}

    def member(suffix, save):
        name, data = f"{id(value)}.{suffix}", io.BytesIO()
        if name not in archive.namelist():
            save(data)
            archive.writestr(name, data.getvalue())
        return name

    if isinstance(value, numpy.ma.MaskedArray):
        return node("MaskedArrayNode", content={"data": inner(value.data), "mask": inner(value.mask)})
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        if value.dtype == object:
            parts = [inner(part) for part in value.ravel()]
            return node("NdArrayNode", content=parts, type="json", shape=inner(value.shape))
        return node("NdArrayNode", type="numpy",
                    file=member("npy", lambda data: numpy.save(data, value, allow_pickle=False)))
    if scipy.sparse.issparse(value):
        return node("SparseMatrixNode", type="scipy",
                    file=member("npz", lambda data: scipy.sparse.save_npz(data, value)))
    if isinstance(value, dict):
        return node("DictNode", content={key: inner(part) for key, part in value.items()},
                    key_types=inner([type(key) for key in value]))
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return node(f"{kind.__name__.title()}Node", content=[inner(part) for part in value])
    if isinstance(value, type):
        return node("TypeNode", value)
    if isinstance(value, bytes):
        name = f"{uuid.uuid4()}.bin"
        archive.writestr(name, value)
        return node("BytesNode", file=name)
    try:
        return node("JsonNode", str, content=json.dumps(value), is_json=True)
    except TypeError:
        pass
    _, arguments, *state = value.__reduce__()
    loader = {"sklearn.linear_model._sgd_fast": "LossNode", "sklearn.tree._tree": "TreeNode"}.get(type(value).__module__)
    if loader:
        return node(loader, __reduce__={"args": inner(arguments)}, content=inner(state[0] if state else {}))
    return node("ObjectNode", content=inner(value.__getstate__()))
