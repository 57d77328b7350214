"""What schemas may take: whatever they hold, those who read them need little memory, and others are served."""

import concurrent.futures
import errno
import os
import subprocess
import sys
import zipfile

import archives
import ctl
from mount import HANG, MountTest, main
from processes import Child
from test_by_name import worker_memory

MIB = 1 << 20
MOST_MEMORY = 256 * MIB
SANITIZED = "SKOPSFS_SANITIZED" in os.environ  # which takes memory of its own
SCALE = 30 if SANITIZED else 1  # that much smaller where it takes that much longer
HOSTILE = int(os.environ.get("SKOPSFS_HOSTILE", "1"))  # schemas of a kind
PACKAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/python")
LISTING = """import sys
sys.path.insert(0, sys.argv[1])
from skopsfs._archive import Archive
with Archive(sys.argv[2]) as archive:
    archive.arrays_of_npz()
"""
ARRAY = b'{"__loader__": "A", "file": "1.npy"}'


def write_schema(path, pieces):
    """An archive with this schema, deflated, and the members "1.npy" and "1.npz"."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("schema.json", "w") as file:
            for piece in pieces:
                file.write(piece)
        archive.writestr("1.npy", b"1")
        archive.writestr("1.npz", b"1")


def dict_of(count, key=b"k%d", value=ARRAY):
    yield b'{"__loader__": "DictNode", "content": {'
    for start in range(0, count, 1000):
        yield b"".join(b'"' + key % number + b'": ' + value + b"," for number in range(start, start + 1000))
    yield b'"end": 1}}'


def hostile_schemas():
    """By their names: the errno of by-name, and the schema. Each takes what one limit or another allows."""
    most = 450_000 // SCALE  # objects
    megabytes = 200 // SCALE
    tuples = b'{"__loader__": "TupleNode", "content": [{"__loader__": "JsonNode", "content": "\\"abcdefgh\\""}, 1]},'
    yield "text", 0, [b'"', *[b"x" * MIB] * megabytes, b'"']
    yield "spaces", 0, [b"[", *[b" " * MIB] * megabytes, b"]"]
    yield "digits", 0, [b"0.", *[b"1" * MIB] * megabytes]
    yield "key", errno.EFBIG, [b'{"', *[b"x" * MIB] * megabytes, b'": 1}']
    yield "keys", errno.EFBIG, [b'{"' + b"k" * 65_000 + b'":'] * 1990
    yield "names", errno.EFBIG, dict_of(1000, b"%d" + b"k" * 65_000)
    yield "texts", 0, [b'{"__loader__": "ListNode", "content": [', *[tuples * 1000] * (500 // SCALE), b"1]}"]
    yield "too many", errno.EFBIG, [b"[", *[(ARRAY + b",") * 1000] * 1000, b"1]"]
    yield "dict", 0, dict_of(most - 1000)
    yield "odd names", 0, dict_of(most - 1000, rb"\u0001\u0001%d")
    yield "same names", 0, [b"[", *[(b'{"a":' + ARRAY + b',"a~2":' + ARRAY + b"},") * 1000] * (most // 3000 - 1), b"1]"]
    yield "npz", 0, dict_of(most // 2 - 1000, b"k%d", ARRAY.replace(b"npy", b"npz"))
    yield "folders", 0, dict_of(most // 2 - 1000, b"k%d", b'{"a": ' + ARRAY + b"}")
    yield "deep", 0, [(b'{"' + b"d" * 250 + b'":') * 250, *dict_of(20_000, b"n" * 200 + b"%d"), b"}" * 250]
    yield "nested", errno.EFBIG, [b'{"content":' * 1999, ARRAY, b"}" * 1999]
    yield "too deep", errno.EFBIG, [b"[" * 10_000_000]
    doubled = b'{"__loader__": "D", "__id__": %d, "a": {"__loader__": "CachedNode", "__id__": %d}, "b": ' \
        b'{"__loader__": "CachedNode", "__id__": %d}},'
    yield "doubled", errno.EFBIG, [b'[{"__loader__": "D", "__id__": 1, "x": ' + ARRAY + b"},",
                                   *(doubled % (i, i - 1, i - 1) for i in range(2, 60)), b"1]"]


def errno_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0


def peak_of(*command):
    """The memory that a command took at most, in bytes, and its exit code."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss << 10, child.returncode


class HostileSchemas(MountTest):
    def write(self, copies):
        """So many of each kind; by their names the errnos of by-name."""
        expected = {}
        for kind, code, pieces in hostile_schemas():
            first = self.in_source(f"{kind}.0.skops")
            write_schema(first, pieces)
            for number in range(copies):
                if number > 0:
                    os.link(first, self.in_source(f"{kind}.{number}.skops"))
                expected[f"{kind}.{number}.skops"] = code
        return expected

    def test_by_name(self):
        """by-name of each fails or not, in little memory, while that of others is there."""
        expected = self.write(HOSTILE)
        archives.write_members(self.in_source("good.skops"), {
            "1.npy": b"1", "schema.json": ARRAY})
        mount = self.mount(guard=HANG * (1 + HOSTILE))
        children = {name: Child(lambda name: errno_of(os.listdir, self.in_mount(name, "by-name")), name)
                    for name in list(expected)[:4]}
        self.assertEqual(os.listdir(self.in_mount("good.skops", "by-name")), ["root.npy"])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda name: errno_of(os.listdir, self.in_mount(name, "by-name")), expected)
            self.assertEqual(dict(zip(expected, found)), expected)
        for name, child in children.items():
            self.addCleanup(child.end)
            self.assertEqual(child.result(), expected[name])
        self.assertEqual(os.listdir(self.in_mount("good.skops", "by-name")), ["root.npy"])
        for name, code in expected.items():
            if code:
                mount.wait_for_log(name, "by-name cannot be shown")
                self.assertTrue(os.getxattr(self.in_mount(name, "by-name"), "user.skopsfs.error"))
            with open(self.in_mount(name, "1.npy"), "rb") as file:
                self.assertEqual(file.read(), b"1")
        _, peak = worker_memory(mount)
        sys.stderr.write(f"{len(expected)} hostile schemas: the worker took at most {peak / MIB:.0f} MiB\n")
        if not SANITIZED:
            self.assertLess(peak, MOST_MEMORY)
        self.assertEqual(mount.log().count("another one takes over"), 0)

    def test_loader(self):
        """What skopsfs.load lists of by-name, it lists in little memory."""
        kinds = {kind: pieces for kind, _, pieces in hostile_schemas() if kind in ("dict", "deep")}
        kinds["npz"] = dict_of(5000, b"k%d", ARRAY.replace(b"npy", b"npz"))
        for kind, pieces in kinds.items():
            write_schema(self.in_source(f"{kind}.skops"), pieces)
        self.mount()
        peaks = []
        for kind in kinds:
            peak, code = peak_of(sys.executable, "-c", LISTING, PACKAGE, self.in_mount(f"{kind}.skops"))
            self.assertEqual(code, 0)
            peaks.append(peak)
        sys.stderr.write(f"the loader took at most {max(peaks) / MIB:.0f} MiB\n")
        self.assertLess(max(peaks), MOST_MEMORY)

    def test_without_a_mount(self):
        """skopsfsctl check says which, and tree shows what there is, in little memory."""
        expected = self.write(1)
        peaks = [0]
        for name, code in expected.items():
            for command, exit_code in (("check", ctl.WRONG if code else ctl.GOOD), ("tree", ctl.GOOD)):
                with self.subTest(command=command, name=name):
                    peak, found = peak_of(ctl.binary(), command, self.in_source(name))
                    self.assertEqual(found, exit_code)
                    if not SANITIZED:
                        self.assertLess(peak, MOST_MEMORY)
                    peaks.append(peak)
        sys.stderr.write(f"skopsfsctl took at most {max(peaks) / MIB:.0f} MiB\n")


if __name__ == "__main__":
    main()
