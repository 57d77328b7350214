"""Saves and loads objects."""

import io
import json
import zipfile

from . import _general, _numpy, _scipy  # noqa: F401  whose kinds of nodes they register
from ._audit import audit_tree, get_tree
from ._state import state_of
from ._utils import LoadContext


def dump(obj, file, *, compression=zipfile.ZIP_STORED, compresslevel=None):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression, compresslevel=compresslevel) as archive:
        schema = state_of(obj, archive, {})
        schema.update(protocol=2, _skops_version="stand-in")
        archive.writestr("schema.json", json.dumps(schema))
    if hasattr(file, "write"):
        file.write(data.getvalue())
    else:
        with open(file, "wb") as written:
            written.write(data.getvalue())


def _tree(archive, trusted):
    schema = json.loads(archive.read("schema.json"))
    return get_tree(schema, LoadContext(archive, schema["protocol"]), trusted)


def load(file, trusted=None):
    if trusted is True:
        raise TypeError("trusted must be a list of strings")
    with zipfile.ZipFile(file) as archive:
        tree = _tree(archive, trusted)
        audit_tree(tree, trusted)
        return tree.construct()


def visualize(file, *, sink, show="all", trusted=None):
    with zipfile.ZipFile(io.BytesIO(file) if isinstance(file, bytes) else file) as archive:
        sink([_tree(archive, trusted)], show)


def get_untrusted_types(*, file):
    with zipfile.ZipFile(file) as archive:
        return sorted(_tree(archive, None).get_unsafe_set())
