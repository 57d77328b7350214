"""Genuine archives, written by skops itself: what the mount shows is what their manifest says."""

import hashlib
import json
import os
import shutil

from mount import MountTest, main

_HERE = os.path.dirname(os.path.abspath(__file__))
_DATA = os.path.join(_HERE, "..", "data")
_CORPUS = os.path.join(_HERE, "..", "..", "..", "shared", "corpus", "skops")


def folders():
    return [folder for folder in (_DATA, _CORPUS)
            if os.path.exists(os.path.join(folder, "MANIFEST.json"))]


def manifest(folder):
    with open(os.path.join(folder, "MANIFEST.json"), encoding="utf-8") as file:
        return json.load(file)


def files_below(folder):
    """Of each member below `folder` its relative path, size and SHA-256."""
    found = {}
    for path, folders_in_it, names in os.walk(folder, onerror=_raise):
        if "schema.json" in names:  # of an archive
            folders_in_it.remove("by-name")
        for name in names:
            full = os.path.join(path, name)
            with open(full, "rb") as file:
                data = file.read()
            if os.stat(full).st_size != len(data):
                raise AssertionError(f"{full}: {len(data)} bytes, not what stat says")
            found[os.path.relpath(full, folder)] = (len(data), hashlib.sha256(data).hexdigest())
    return found


def _raise(error):
    raise error


def expected(members):
    return {name: (member["size"], member["sha256"]) for name, member in members.items()}


class Genuine(MountTest):
    def check(self, folder):
        archives = manifest(folder)
        self.mount(source=folder)
        self.assertEqual(sorted(os.listdir(self.mountpoint)), sorted(["MANIFEST.json", *archives]))
        for name, members in archives.items():
            with self.subTest(archive=name):
                self.assertEqual(files_below(self.in_mount(name)), expected(members))
        print(f"{len(archives)} archives, {sum(map(len, archives.values()))} members ",
              end="", flush=True)

    def test_committed_archives(self):
        self.check(_DATA)

    def test_corpus(self):
        if _CORPUS in folders():
            self.check(_CORPUS)
        else:
            self.skipTest("there is no ../shared/corpus beside the repository")

    def test_each_as_the_source(self):
        for folder in folders():
            for name, members in manifest(folder).items():
                with self.subTest(archive=name):
                    mount = self.mount(source=os.path.join(folder, name))
                    self.assertEqual(files_below(self.mountpoint), expected(members))
                    self.assertEqual(mount.stop(), 0)

    def test_members_in_folders_at_any_depth(self):
        members = manifest(_DATA)["kmeans.skops"]
        depths = ["", "a", "a/b", "a/b/c/d/e/f/g/h"]
        for depth in depths:
            folder = self.make_folder("source", depth)
            shutil.copy(os.path.join(_DATA, "kmeans.skops"), folder)
        self.mount()
        for depth in depths:
            found = files_below(self.in_mount(depth, "kmeans.skops"))
            self.assertEqual(found, expected(members))
        self.assertEqual(sorted(os.listdir(self.in_mount("a"))), ["b", "kmeans.skops"])
        self.assertEqual(len(files_below(self.mountpoint)), len(depths) * len(members))

    def test_reads_at_any_offset(self):
        """Compressed or not, any range reads as it does in the whole."""
        self.mount(source=_DATA)
        for name, members in manifest(_DATA).items():
            for member in members:
                path = self.in_mount(name, member)
                with open(path, "rb", buffering=0) as file:
                    whole = file.read()
                    size = len(whole)
                    for step in range(50):
                        at = (step * 7919) % (size + 1)
                        got = os.pread(file.fileno(), 1 + step * 97, at)
                        self.assertEqual(got, whole[at:at + 1 + step * 97])


if __name__ == "__main__":
    main()
