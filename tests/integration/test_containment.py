"""Nothing outside the source can be reached, and nothing that is no archive is ever opened."""

import errno
import os
import pathlib
import re
import shutil
import socket
import stat

import archives
from archives import MEMBER, read
from inotify import Opens
from mount import MountTest, main, needs_root, run


class Containment(MountTest):
    def setUp(self):
        super().setUp()
        self.outside = self.make_folder("outside")
        archives.write_version(os.path.join(self.outside, "secret.skops"), 66, pages=2)
        archives.write_version(self.in_source("real.skops"), 1, pages=2)

    def link(self, target, *name):
        path = self.in_source(*name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)

    def assert_shows(self, version, *name):
        path = self.in_mount(*name)
        self.assertTrue(stat.S_ISDIR(os.lstat(path).st_mode))
        self.assertIn(name[-1], os.listdir(os.path.dirname(path)))
        self.assertEqual(read(os.path.join(path, MEMBER)), archives.content(version, 2))

    def assert_not_shown(self, *name):
        path = self.in_mount(*name)
        self.assertNotIn(name[-1], os.listdir(os.path.dirname(path)))
        self.assert_errno(errno.ENOENT, os.lstat, path)
        self.assert_errno(errno.ENOENT, os.stat, os.path.join(path, MEMBER))

    # Links that stay inside.

    def test_relative_links(self):
        os.makedirs(self.in_source("a", "b"))
        archives.write_version(self.in_source("a", "b", "deep.skops"), 2, pages=2)
        self.link("real.skops", "same.skops")
        self.link("a/b/deep.skops", "down.skops")
        self.link("../../real.skops", "a", "b", "up.skops")
        self.link("same.skops", "twice.skops")
        self.link("a/../a/./b/../../real.skops", "about.skops")
        self.link("a", "folder")
        self.link("folder/b", "through")
        self.mount()
        for name in ("same.skops", "twice.skops", "about.skops", "a/b/up.skops"):
            self.assert_shows(1, *name.split("/"))
        for name in ("down.skops", "folder/b/deep.skops", "through/deep.skops"):
            self.assert_shows(2, *name.split("/"))

    def test_absolute_links_into_the_source(self):
        os.makedirs(self.in_source("a"))
        self.link(self.in_source("real.skops"), "a", "absolute.skops")
        self.link(self.in_source("a"), "folder")
        self.mount()
        self.assert_shows(1, "a", "absolute.skops")
        self.assert_shows(1, "folder", "absolute.skops")

    def test_absolute_links_by_the_name_the_source_was_given(self):
        """SOURCE is itself a link, and the links in it use its name."""
        alias = os.path.join(self.folder, "alias")
        os.symlink(self.source, alias)
        self.link(os.path.join(alias, "real.skops"), "by-alias.skops")
        self.link(self.in_source("real.skops"), "by-path.skops")
        self.mount(source=alias)
        self.assert_shows(1, "by-path.skops")
        self.assert_shows(1, "by-alias.skops")

    def test_layout_of_a_model_hub(self):
        """huggingface_hub: snapshots/REVISION/name -> ../../blobs/HASH, whose names say nothing."""
        repository = "models--team--model"
        blobs = self.make_folder("source", repository, "blobs")
        for version in (1, 2):
            archives.write_version(os.path.join(blobs, f"{version:064x}"), version, pages=2)
            self.link(f"../../blobs/{version:064x}", repository, "snapshots", f"rev{version}",
                      "model.skops")
        self.link(f"../../../blobs/{2:064x}", repository, "snapshots", "rev2", "sub",
                  "nested.skops")
        self.mount("--revalidate=0")
        for version in (1, 2):
            self.assert_shows(version, repository, "snapshots", f"rev{version}", "model.skops")
        self.assert_shows(2, repository, "snapshots", "rev2", "sub", "nested.skops")
        self.assertEqual(sorted(os.listdir(self.in_mount(repository, "blobs"))), [f"{version:064x}" for version in (1, 2)])
        # A snapshot that is given another blob shows it.
        os.unlink(self.in_source(repository, "snapshots", "rev1", "model.skops"))
        self.link(f"../../blobs/{2:064x}", repository, "snapshots", "rev1", "model.skops")
        self.assert_shows(2, repository, "snapshots", "rev1", "model.skops")

    def test_a_snapshot_of_a_hub_alone(self):
        """docs/serving.md has the very line, and the way out."""
        page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "serving.md"
        [line] = re.findall("^```text\n(skopsfs: .*)\n```$", page.read_text(encoding="utf-8"), re.M)
        snapshot = self.make_folder("source", "snapshots", "abc")
        archives.write_version(os.path.join(self.make_folder("source", "blobs"), "5e1f"), 1, pages=2)
        self.link("../../blobs/5e1f", "snapshots", "abc", "model.skops")
        mount = self.mount(source=snapshot)
        self.assertEqual(os.listdir(self.mountpoint), [])
        mount.wait_for_log(line)
        self.assertIn(line, mount.log().splitlines())
        alone = self.make_folder("alone")
        self.mount(source=os.path.join(snapshot, "model.skops"), mountpoint=alone)
        self.assertEqual(read(os.path.join(alone, MEMBER)), archives.content(1, 2))

    def test_link_to_what_is_replaced(self):
        self.link("real.skops", "link.skops")
        self.mount("--revalidate=0")
        self.assert_shows(1, "link.skops")
        archives.write_version(self.in_source("real.skops"), 2, pages=2)
        self.assert_shows(2, "link.skops")

    # Links that do not.

    def test_links_out_of_the_source(self):
        os.makedirs(self.in_source("a"))
        archives.write_version(self.in_source("a", "fine.skops"), 1, pages=2)
        bad = {
            "relative.skops": "../outside/secret.skops",
            "absolute.skops": os.path.join(self.outside, "secret.skops"),
            "far.skops": "../" * 50 + self.outside + "/secret.skops",
            "folder": self.outside,
            "above": "..",
            "root": "/",
            "proc.skops": "/proc/self/exe",
        }
        for name, target in bad.items():
            self.link(target, name)
        self.link("../../outside/secret.skops", "a", "deep.skops")
        self.link("../above/outside/secret.skops", "a", "by-way-of-a-link.skops")
        # A folder beside the source whose name begins as the source's.
        shutil.copytree(self.outside, self.source + "-more")
        self.link(self.source + "-more/secret.skops", "prefix.skops")
        # Out, and in again: it leaves.
        self.link("../source/real.skops", "around.skops")
        mount = self.mount()
        for name in [*bad, "prefix.skops", "around.skops"]:
            with self.subTest(link=name):
                self.assert_not_shown(name)
                mount.wait_for_log(f'"{name}"', "not shown")
        for name in ("deep.skops", "by-way-of-a-link.skops"):
            self.assert_not_shown("a", name)
            mount.wait_for_log(f'"a/{name}"', "not shown")
        self.assert_shows(1, "real.skops")
        self.assert_shows(1, "a", "fine.skops")

    def test_link_that_is_turned_outwards_later(self):
        self.link("real.skops", "link.skops")
        self.mount("--revalidate=0")
        self.assert_shows(1, "link.skops")
        os.unlink(self.in_source("link.skops"))
        self.link("../outside/secret.skops", "link.skops")
        self.assert_not_shown("link.skops")

    def test_folder_that_becomes_a_link_outwards(self):
        os.makedirs(self.in_source("sub"))
        archives.write_version(self.in_source("sub", "secret.skops"), 1, pages=2)
        self.mount("--revalidate=0")
        self.assert_shows(1, "sub", "secret.skops")
        with open(self.in_mount("sub", "secret.skops", MEMBER), "rb") as old:
            os.rename(self.in_source("sub"), self.in_source("before"))
            self.link(self.outside, "sub")
            self.assert_errno(errno.ENOENT, os.stat, self.in_mount("sub", "secret.skops", MEMBER))
            self.assert_not_shown("sub")
            self.assertEqual(old.read(), archives.content(1, 2))

    def test_links_to_a_folder_they_lie_in(self):
        os.makedirs(self.in_source("a", "b"))
        self.link(".", "self")
        self.link("..", "a", "parent")
        self.link("../..", "a", "b", "grandparent")
        self.link(self.source, "a", "root")
        mount = self.mount("-o", "noby-name")
        self.assertEqual(sorted(os.listdir(self.mountpoint)), ["a", "real.skops"])
        self.assertEqual(os.listdir(self.in_mount("a")), ["b"])
        self.assertEqual(os.listdir(self.in_mount("a", "b")), [])
        mount.wait_for_log('"a/b/grandparent"', "not shown")
        found = run("find", "-L", self.mountpoint).stdout.splitlines()
        self.assertEqual(len(found), 6)

    def test_two_folders_that_link_to_each_other(self):
        """Never an endless tree."""
        for one, two in (("a", "b"), ("b", "a")):
            self.link(f"../{two}", one, "other")
            archives.write_version(self.in_source(one, f"{one}.skops"), 1, pages=2)
        self.mount()
        found = run("find", self.mountpoint, "-name", "*.skops").stdout.splitlines()
        self.assertEqual(len(found), 5)  # real; a's and b's, and each by way of the other

    def test_dangling_and_looping_links(self):
        self.link("nothing.skops", "dangling.skops")
        self.link("loop2.skops", "loop1.skops")
        self.link("loop1.skops", "loop2.skops")
        self.link("real.skops/inside", "under-a-file.skops")
        mount = self.mount("--revalidate=0")
        for name in ("dangling.skops", "loop1.skops", "loop2.skops", "under-a-file.skops"):
            self.assert_not_shown(name)
        archives.write_version(self.in_source("nothing.skops"), 3, pages=2)
        self.assert_shows(3, "dangling.skops")
        self.assertNotIn("leads out", mount.log())

    # What is no regular file.

    def test_pipes_sockets_devices_and_other_files(self):
        os.mkfifo(self.in_source("fifo.skops"))
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.in_source("socket.skops"))
        self.link("fifo.skops", "link-to-fifo.skops")
        for name in ("notes.txt", "model.pkl", "skops", ".skops.part", "x.SKOPS"):
            with open(self.in_source(name), "wb") as file:
                file.write(b"not an archive")
        self.link("notes.txt", "link-to-notes")
        opens = Opens(self.source)
        self.addCleanup(opens.close)
        self.mount("--revalidate=0", "--others=hide")
        self.assertEqual(os.listdir(self.mountpoint), ["real.skops"])
        for name in os.listdir(self.source):
            if name != "real.skops":
                self.assert_not_shown(name)
        self.assertEqual(opens.take(), set())

    @needs_root
    def test_devices(self):
        os.mknod(self.in_source("null.skops"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(self.in_source("loop.skops"), stat.S_IFBLK | 0o666, os.makedev(7, 250))
        opens = Opens(self.source)
        self.addCleanup(opens.close)
        self.mount("--revalidate=0")
        for name in ("null.skops", "loop.skops"):
            self.assert_not_shown(name)
        self.assertEqual(opens.take(), set())

    def test_link_to_a_file_of_another_name(self):
        """The link's name says that it is an archive, as in a hub's layout; not the target's."""
        os.rename(self.in_source("real.skops"), self.in_source("blob"))
        self.link("blob", "model.skops")
        self.link("model.skops", "no-suffix")
        self.mount()
        self.assertEqual(sorted(os.listdir(self.mountpoint)), ["blob", "model.skops", "no-suffix"])
        self.assert_shows(1, "model.skops")
        for name in ("blob", "no-suffix"):
            with open(self.in_mount(name), "rb") as file:
                self.assertEqual(file.read(), archives.version_bytes(1, pages=2))

    def test_member_names_reach_nothing(self):
        archives.write_members(self.in_source("evil.skops"), {
            "../../outside/secret.skops": b"x", "/etc/hostname": b"x", "ok": b"ok"})
        self.mount()
        self.assertEqual(os.listdir(self.in_mount("evil.skops")), ["ok"])
        self.assert_errno(errno.ENOENT, os.stat, self.in_mount("evil.skops", "etc"))
        # The kernel takes ".." for itself: it leads to the folder above.
        self.assertEqual(sorted(os.listdir(self.in_mount("evil.skops", ".."))),
                         ["evil.skops", "real.skops"])


if __name__ == "__main__":
    main()
