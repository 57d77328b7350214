"""What becomes of versions: renamed archives and folders, uploads, old ones that go."""

import collections
import concurrent.futures
import errno
import mmap
import os
import threading
import time

import archives
from archives import MEMBER, PAGE, PAGES, read
from mount import MountTest, is_mounted, main, until

_REVALIDATED = 1.5  # seconds after which names have been looked at again; more can only help


class Mapping:
    """A mapped member of which nothing is in memory yet."""

    def __init__(self, test, path):
        with open(path, "rb") as file:
            self.memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        test.addCleanup(self.memory.close)

    def versions(self):
        data = self.memory[:]
        return {archives.version_of(data[n * PAGE:(n + 1) * PAGE], n)
                for n in range(len(data) // PAGE)}


class Versions(MountTest):
    def setUp(self):
        super().setUp()
        self.archive = self.in_source("a.skops")
        self.member = self.in_mount("a.skops", MEMBER)

    def deleted(self, mount):
        """The old versions that it holds: the worker, which reads them, or the supervisor, which
        keeps them for the next worker."""
        by_process = [[name for name in mount.descriptors(process)
                       if name.startswith(self.source) and name.endswith("(deleted)")]
                      for process in mount.processes()]
        return max(by_process, key=len)

    # What changes no byte keeps old handles and mappings bit-exact.

    def kept_over(self, change, method=archives.STORED):
        archives.write_version(self.archive, 1, method=method)
        if not is_mounted(self.mountpoint):
            self.mount()
        time.sleep(_REVALIDATED)
        mapping = Mapping(self, self.member)
        with open(self.member, "rb") as file:
            change(self.archive)
            self.assertEqual(file.read(), archives.content(1))
        self.assertEqual(mapping.versions(), {1})

    def test_renamed_archive(self):
        for method in (archives.STORED, archives.DEFLATED):
            with self.subTest(method=method):
                other = self.in_source(f"other{method}.skops")
                self.kept_over(lambda path, to=other: os.rename(path, to), method)
                time.sleep(_REVALIDATED)
                self.assertFalse(os.path.exists(self.member))
                self.assertEqual(read(self.in_mount(os.path.basename(other), MEMBER)),
                                 archives.content(1))

    def test_chmod(self):
        for method in (archives.STORED, archives.DEFLATED):
            with self.subTest(method=method):
                self.kept_over(lambda path: os.chmod(path, 0o600), method)
                time.sleep(_REVALIDATED)
                self.assertEqual(os.stat(self.member).st_mode & 0o777, 0o400)

    def test_chown(self):
        self.kept_over(lambda path: os.chown(path, 12345, 12345))

    def test_hard_link(self):
        self.kept_over(lambda path: os.link(path, self.in_source("link.skops")))
        self.assertEqual(read(self.in_mount("link.skops", MEMBER)), archives.content(1))

    def test_moved_out_of_the_source(self):
        self.kept_over(lambda path: os.rename(path, os.path.join(self.folder, "gone")))

    def test_chmod_and_replaced_and_replaced_again(self):
        def change(path):
            os.chmod(path, 0o640)
            for version in (2, 3, 4):
                archives.write_version(path, version)
        self.kept_over(change)

    def test_only_the_modification_time_changed(self):
        """Another identity: old handles fail or are right, new ones are right."""
        archives.write_version(self.archive, 1)
        self.mount("--revalidate=0")
        with open(self.member, "rb", buffering=0) as file:
            os.utime(self.archive, (1, 1))
            try:
                data = file.read()
                self.assertEqual(data, archives.content(1)[:len(data)])
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
        self.assertEqual(read(self.member), archives.content(1))

    # New versions.

    def test_inode_numbers_and_sizes(self):
        self.mount("--revalidate=0")
        seen = set()
        for version in range(1, 11):
            archives.write_version(self.archive, version, pages=version)
            status = os.stat(self.member)
            self.assertEqual(status.st_size, version * PAGE)
            self.assertEqual(read(self.member), archives.content(version, version))
            folder = os.stat(self.in_mount("a.skops"))
            seen |= {status.st_ino, folder.st_ino}
            self.assertEqual(os.stat(self.member).st_ino, status.st_ino)
        self.assertEqual(len(seen), 20)

    def test_size_of_a_live_node_never_changes(self):
        archives.write_version(self.archive, 1, pages=4)
        self.mount("--revalidate=0")
        with open(self.member, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            for change in (lambda: archives.write_version(self.archive, 2, pages=9),
                           lambda: archives.rewrite(self.archive, archives.version_bytes(3, 7)),
                           lambda: os.truncate(self.archive, 0)):
                change()
                os.path.exists(self.member)
                after = os.fstat(file.fileno())
                self.assertEqual((after.st_size, after.st_ino), (before.st_size, before.st_ino))

    def test_seen_within_the_revalidation_time(self):
        for version in (1, 2, 3):
            archives.write_version(self.archive, version)
            if version == 1:
                self.mount()
            else:
                time.sleep(_REVALIDATED)
            self.assertEqual(read(self.member), archives.content(version))
            self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])

    def test_seen_late_with_a_long_revalidation_time(self):
        """Names are not looked at again before their time: that is what the option is for."""
        archives.write_version(self.archive, 1)
        self.mount("--revalidate=86400")
        before = os.stat(self.member).st_ino
        archives.write_version(self.in_source("b.skops"), 1)
        self.assertEqual(os.stat(self.member).st_ino, before)

    def test_single_archive_as_the_source(self):
        member = os.path.join(self.mountpoint, MEMBER)
        archives.write_version(self.archive, 1)
        self.mount("--revalidate=0", source=self.archive)
        mapping = Mapping(self, member)
        self.assertEqual(read(member), archives.content(1))
        for version in (2, 3):
            archives.write_version(self.archive, version)
            self.assertEqual(read(member), archives.content(version))
        self.assertEqual(mapping.versions(), {1})
        os.unlink(self.archive)
        self.assert_errno(errno.ENOENT, open, member, "rb")
        self.assertEqual(mapping.versions(), {1})
        archives.write_version(self.archive, 4)
        self.assertEqual(read(member), archives.content(4))
        self.assertEqual(sorted(os.listdir(self.mountpoint)), ["by-name", MEMBER, "schema.json"])

    def test_new_and_removed_archives_are_listed(self):
        self.mount("--revalidate=0")
        for names in (["a"], ["a", "b"], ["b"], []):
            for name in "ab":
                path = self.in_source(name + ".skops")
                if name in names and not os.path.exists(path):
                    archives.write_version(path, 1, pages=1)
                elif name not in names and os.path.exists(path):
                    os.unlink(path)
            self.assertEqual(sorted(os.listdir(self.mountpoint)),
                             [name + ".skops" for name in names])

    # Uploads.

    def test_growing_while_it_is_uploaded(self):
        data = archives.version_bytes(1)
        self.mount("--revalidate=0")
        refused = 0
        with open(self.archive, "wb", buffering=0) as file:
            for at in range(0, len(data), len(data) // 40):
                file.write(data[at:at + len(data) // 40])
                if at + len(data) // 40 < len(data):
                    self.assert_errno(errno.EIO, open, self.member, "rb")
                    refused += 1
        self.assertEqual(read(self.member), archives.content(1))
        self.assertGreaterEqual(refused, 40)

    def test_read_all_the_time_while_it_is_uploaded(self):
        """Never anything but EIO or all of it."""
        data = archives.version_bytes(1)
        self.mount("--revalidate=0")
        uploaded = threading.Event()
        outcomes, wrong = set(), []

        def look():
            while True:
                last = uploaded.is_set()
                try:
                    got = read(self.member)
                    outcomes.add("right" if got == archives.content(1) else "wrong")
                except OSError as error:
                    outcomes.add(error.errno)
                    if error.errno not in (errno.ENOENT, errno.EIO):
                        wrong.append(error)
                if last:
                    return

        readers = [threading.Thread(target=look) for _ in range(4)]
        for reader in readers:
            reader.start()
        with open(self.archive, "wb", buffering=0) as file:
            for at in range(0, len(data), 1000):
                file.write(data[at:at + 1000])
                time.sleep(0.002)  # always younger than times need to settle
        uploaded.set()
        for reader in readers:
            reader.join()
        self.assertEqual(wrong, [])
        self.assertNotIn("wrong", outcomes)
        self.assertIn("right", outcomes)

    # Folders.

    def test_renamed_folder(self):
        os.makedirs(self.in_source("one", "deep"))
        archives.write_version(self.in_source("one", "deep", "a.skops"), 1)
        self.mount("--revalidate=0")
        mapping = Mapping(self, self.in_mount("one/deep/a.skops", MEMBER))
        with open(self.in_mount("one/deep/a.skops", MEMBER), "rb") as file:
            os.rename(self.in_source("one"), self.in_source("two"))
            self.assertEqual(read(self.in_mount("two/deep/a.skops", MEMBER)), archives.content(1))
            self.assert_errno(errno.ENOENT, os.stat, self.in_mount("one/deep/a.skops", MEMBER))
            self.assert_errno(errno.ENOENT, os.listdir, self.in_mount("one"))
            self.assertEqual(file.read(), archives.content(1))
        self.assertEqual(mapping.versions(), {1})

    def test_folder_replaced_by_another(self):
        for name, version in (("now", 1), ("next", 2)):
            os.mkdir(self.in_source(name))
            archives.write_version(self.in_source(name, "a.skops"), version)
        self.mount("--revalidate=0")
        path = self.in_mount("now/a.skops", MEMBER)
        with open(path, "rb") as file:
            os.rename(self.in_source("now"), self.in_source("before"))
            os.rename(self.in_source("next"), self.in_source("now"))
            self.assertEqual(read(path), archives.content(2))
            self.assertEqual(file.read(), archives.content(1))
        self.assertEqual(read(self.in_mount("before/a.skops", MEMBER)), archives.content(1))

    def test_removed_folder(self):
        os.mkdir(self.in_source("sub"))
        archives.write_version(self.in_source("sub", "a.skops"), 1)
        self.mount("--revalidate=0")
        mapping = Mapping(self, self.in_mount("sub/a.skops", MEMBER))
        listing = os.open(self.in_mount("sub"), os.O_RDONLY)
        self.addCleanup(os.close, listing)
        os.unlink(self.in_source("sub", "a.skops"))
        os.rmdir(self.in_source("sub"))
        self.assertEqual(os.listdir(self.mountpoint), [])
        self.assert_errno(errno.ENOENT, os.stat, self.in_mount("sub"))
        try:
            self.assertEqual(os.listdir(listing), [])
        except OSError as error:
            self.assertIn(error.errno, (errno.ENOENT, errno.ESTALE))
        self.assertEqual(mapping.versions(), {1})

    def test_archive_becomes_a_folder_and_back(self):
        self.mount("--revalidate=0")
        for _ in range(3):
            archives.write_version(self.archive, 1)
            self.assertEqual(read(self.member), archives.content(1))
            os.unlink(self.archive)
            os.mkdir(self.archive)
            archives.write_version(os.path.join(self.archive, "b.skops"), 2)
            self.assertEqual(os.listdir(self.in_mount("a.skops")), ["b.skops"])
            self.assertEqual(read(self.in_mount("a.skops/b.skops", MEMBER)), archives.content(2))
            os.unlink(os.path.join(self.archive, "b.skops"))
            os.rmdir(self.archive)

    # Old versions go.

    def test_old_versions_are_let_go(self):
        archives.write_version(self.archive, 0)
        mount = self.mount("--revalidate=0")
        files = []
        for version in range(20):
            archives.write_version(self.archive, version)
            files.append(open(self.member, "rb", buffering=0))
            self.assertEqual(files[-1].read(PAGE), archives.page(version, 0))
        until(lambda: len(self.deleted(mount)) == 19, "old versions are held")
        for version, file in enumerate(files):  # each is still what it was
            self.assertEqual(file.read(), archives.content(version)[PAGE:])
            file.close()
        until(lambda: not self.deleted(mount), "the descriptors of old versions are closed")

    def test_mappings_alone_hold_their_version(self):
        archives.write_version(self.archive, 1)
        mount = self.mount("--revalidate=0")
        mapping = Mapping(self, self.member)
        archives.write_version(self.archive, 2)
        self.assertEqual(read(self.member), archives.content(2))
        time.sleep(_REVALIDATED * 2)  # housekeeping has been round
        self.assertEqual(len(self.deleted(mount)), 1)
        self.assertEqual(mapping.versions(), {1})
        mapping.memory.close()
        until(lambda: not self.deleted(mount), "the descriptor of the old version is closed")

    def test_looked_at_but_not_open_versions_hold_nothing(self):
        """Nobody has it open, and nobody looks again: it goes all the same."""
        archives.write_version(self.archive, 1)
        mount = self.mount("--revalidate=0")
        self.assertEqual(read(self.member), archives.content(1))
        os.unlink(self.archive)
        until(lambda: not self.deleted(mount), "the descriptor of the unlinked one is closed")
        self.assertFalse([x for x in mount.descriptors() if "a.skops" in x])


class ReplacedAllTheTime(MountTest):
    """By rename, and sometimes removed: who comes to the name sees one version, or that it is not there."""

    def use(self, path, below):
        """Everything by its path; what each comes to, "ok" or an errno's name."""
        def read():
            with open(os.path.join(path, MEMBER), "rb", buffering=0) as file:
                pages = [(os.pread(file.fileno(), PAGE, at * PAGE), at) for at in (0, PAGES // 2, PAGES - 1)]
            self.assertEqual(len({archives.version_of(*page) for page in pages} - {None}), 1)

        for call in (read, read, read, lambda: os.stat(os.path.join(path, MEMBER)),
                     lambda: self.assertIn(MEMBER, os.listdir(path)),
                     lambda: os.listdir(os.path.join(path, "by-name")),
                     lambda: os.getxattr(os.path.join(path, MEMBER), "user.skopsfs.crc32")):
            try:
                call()
                below["ok"] += 1
            except OSError as error:
                below[errno.errorcode[error.errno]] += 1

    def replace_and_use(self, path, removes):
        times = int(os.environ.get("SKOPSFS_REPLACEMENTS", "200"))
        archive = self.in_source("a.skops")
        done = threading.Event()
        found = [collections.Counter() for _ in range(4)]

        def use(below):
            while not done.is_set():
                self.use(path, below)

        with concurrent.futures.ThreadPoolExecutor(len(found)) as users:
            waiting = [users.submit(use, below) for below in found]
            try:
                for number in range(times):
                    if removes and number % 10 == 0:
                        os.unlink(archive)
                    archives.write_version(archive, 1 + number % 8)
                    # Others get their turn, and the version an age at which it may be opened.
                    time.sleep(0.003 * (number % 12))
            finally:
                done.set()
            for result in waiting:
                result.result()
        outcomes = sum(found, collections.Counter())
        self.assertLessEqual(set(outcomes), {"ok", "ENOENT"} if removes else {"ok"}, outcomes)
        self.assertGreater(outcomes["ok"], times // 10)

    def test_in_a_folder(self):
        archives.write_version(self.in_source("a.skops"), 1)
        for options in ([], ["--revalidate=0"]):
            mountpoint = self.make_folder("mount" + "".join(options))
            self.mount(*options, mountpoint=mountpoint)
            self.replace_and_use(os.path.join(mountpoint, "a.skops"), True)

    def test_as_the_source(self):
        archives.write_version(self.in_source("a.skops"), 1)
        for options in ([], ["--revalidate=0"]):
            mountpoint = self.make_folder("mount" + "".join(options))
            self.mount(*options, source=self.in_source("a.skops"), mountpoint=mountpoint)
            self.replace_and_use(mountpoint, False)


if __name__ == "__main__":
    main()
