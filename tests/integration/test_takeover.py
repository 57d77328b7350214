"""A worker that dies is replaced, and nobody who reads or maps notices.

The number of kills in a storm is SKOPSFS_KILLS (25 in each of two by default); for a long run:
SKOPSFS_KILLS=1000 SKOPSFS_BINARY=build/src/skopsfs /usr/bin/python3 tests/integration/test_takeover.py
"""

import errno
import mmap
import os
import random
import shutil
import signal
import statistics
import time

import numpy

import archives
from archives import DEFLATED, MEMBER, PAGE, STORED
from mount import HANG, Mount, MountTest, binary, is_mounted, main, until
from processes import Child, in_child, mount_tmpfs, private_mounts
from test_stress import Counters, Outcome, keep_reading

_KILLS = int(os.environ.get("SKOPSFS_KILLS", "25"))
_GUARD = HANG + 2 * _KILLS  # seconds: who dies again and again is started after a pause
_SIGNALS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]
_PAGES = 48  # as test_stress has it
_NAMES = ["a.skops", "b.skops", "folder/c.skops", "small.skops"]  # likewise
ARRAY = numpy.arange(300_000, dtype="f8")


def forget(file):
    """Takes the file's pages out of memory, so that they must be asked for again."""
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_whole(folder, choice, outcome):
    with open(os.path.join(folder, choice.choice(_NAMES), MEMBER), "rb", buffering=0) as file:
        forget(file)
        data = file.read()
        for number in range(_PAGES):
            outcome.check(file.name, data[number * PAGE:(number + 1) * PAGE], number, None)


def scan_mapping(folder, choice, outcome, numbers=range(_PAGES)):
    with open(os.path.join(folder, choice.choice(_NAMES), MEMBER), "rb") as file:
        forget(file)
        version = None
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            for number in numbers:
                page = mapped[number * PAGE:(number + 1) * PAGE]
                version = outcome.check(file.name, page, number, version)


def probe_mapping(folder, choice, outcome):
    scan_mapping(folder, choice, outcome, [choice.randrange(_PAGES) for _ in range(20)])


def list_all(folder, _, outcome):
    outcome.pages += 1
    found = {os.path.relpath(os.path.join(path, name), folder)
             for path, _, names in os.walk(folder) for name in names}
    expected = {f"{archive}/{member}" for archive in _NAMES for member in (MEMBER, "schema.json")}
    if found != expected | {"array.skops/x.npy"}:
        outcome.wrong.append(f"listing: {sorted(found)}")


def load_array(folder, _, outcome):
    outcome.pages += 1
    path = os.path.join(folder, "array.skops", "x.npy")
    with open(path, "rb") as file:
        forget(file)
    if not numpy.array_equal(numpy.load(path, mmap_mode="r"), ARRAY):
        outcome.wrong.append("array")


def keep_using(use, folder, reader, counters):
    outcome, choice = Outcome(), random.Random(reader)
    while not counters.stopped() and len(outcome.errors) + len(outcome.wrong) < 10:
        try:
            use(folder, choice, outcome)
        except OSError as error:
            outcome.errors.append(f"{use.__name__}: {error}")
        counters.add(reader)
    return outcome


_USES = [read_whole, scan_mapping, probe_mapping, list_all, load_array, read_whole]


class TakeOver(MountTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.in_source("folder"))
        for name in _NAMES:
            self.write(name, 1)
        archives.write_members(self.in_source("array.skops"), {"x.npy": archives.npy(ARRAY)})

    def write(self, name, version):
        method = DEFLATED if name == "small.skops" else STORED
        archives.write_version(self.in_source(name), version, _PAGES, method)

    def kill(self, mount, number=signal.SIGKILL):
        """Kills the worker and waits until there is another one."""
        worker = mount.worker()
        os.kill(worker, number)
        try:
            until(lambda: worker not in mount.workers() and mount.workers(), "another one is there")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log ends with\n{mount.log()[-4000:]}") from None

    # One at a time.

    def test_another_worker_goes_on(self):
        mount = self.mount()
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file:
            for count, number in enumerate(_SIGNALS, 1):
                self.kill(mount, number)
                forget(file)
                self.assertEqual(os.pread(file.fileno(), 1 << 20, 0), archives.content(1, _PAGES))
                until(lambda n=count: mount.log().count("another one takes over") == n,
                      "the log says so")
        self.assertEqual(sorted(os.listdir(self.mountpoint)),
                         ["a.skops", "array.skops", "b.skops", "folder", "small.skops"])

    def test_versions_that_are_gone_stay_readable(self):
        """Replaced and unlinked ones, stored and deflated, over several takeovers."""
        changes = {
            "a.skops": lambda path: archives.write_version(path, 2, _PAGES),
            "b.skops": os.unlink,
            "small.skops": lambda path: archives.write_version(path, 2, _PAGES, DEFLATED),
        }
        mount = self.mount("--revalidate=0")
        for moment in ("before", "after"):
            for name, change in changes.items():
                with self.subTest(name=name, killed=moment):
                    self.write(name, 1)
                    with open(self.in_mount(name, MEMBER), "rb", buffering=0) as file:
                        os.pread(file.fileno(), PAGE, 0)
                        if moment == "after":
                            self.kill(mount)
                        change(self.in_source(name))
                        if change is os.unlink:
                            self.assert_errno(errno.ENOENT, os.stat, self.in_mount(name, MEMBER))
                        else:
                            os.stat(self.in_mount(name, MEMBER))
                        for _ in range(2):
                            self.kill(mount)
                            forget(file)
                            self.assertEqual(os.pread(file.fileno(), 1 << 20, 0),
                                             archives.content(1, _PAGES))
        until(lambda: not self.deleted(mount), "the descriptors of old versions are closed")

    def deleted(self, mount):
        return [name for name in mount.descriptors()
                if name.startswith(self.source) and name.endswith("(deleted)")]

    def test_what_was_rewritten_in_place_fails(self):
        mount = self.mount("--revalidate=0")
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file:
            archives.rewrite(self.in_source("a.skops"), archives.version_bytes(2, _PAGES))
            self.kill(mount)
            forget(file)
            self.assert_errno(errno.EIO, os.pread, file.fileno(), PAGE, 0)
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file:
            self.assertEqual(file.read(), archives.content(2, _PAGES))

    def few_left(self, mount):
        """Whether no process of the mount has an archive open."""
        return not [name for name in mount.descriptors() if ".skops" in name]

    def test_what_was_rewritten_in_place_is_let_go_of(self):
        """With its disk space, once it is closed, however it was taken over."""
        def upgrade(mount):
            before = mount.worker()
            mount.send(signal.SIGUSR2)
            until(lambda: before not in mount.workers() and mount.workers(), "it is upgraded")

        def use():
            private_mounts()
            mount_tmpfs(self.source)
            self.write("a.skops", 0)
            with Mount(self.source, self.mountpoint, "--revalidate=0") as mount:
                os.stat(self.in_mount("a.skops", MEMBER))
                free = os.statvfs(self.source).f_bfree
                for version in range(1, 6):
                    self.write("a.skops", 10 * version)
                    with open(self.in_mount("a.skops", MEMBER), "rb"):
                        archives.rewrite(self.in_source("a.skops"),
                                         archives.version_bytes(10 * version + 1, _PAGES))
                        (upgrade if version % 2 else self.kill)(mount)
                        os.stat(self.in_mount("a.skops", MEMBER))
                        self.write("a.skops", 0)
                until(lambda: self.few_left(mount), "all of them are closed")
                until(lambda: os.statvfs(self.source).f_bfree >= free, "there is as much room again")
        in_child(use)

    def test_single_archive(self):
        archive = self.in_source("a.skops")
        mount = self.mount("--revalidate=0", source=archive)
        with open(self.in_mount(MEMBER), "rb", buffering=0) as file:
            self.assertEqual(os.pread(file.fileno(), PAGE, 0), archives.page(1, 0))
            archives.write_version(archive, 2, _PAGES)
            self.kill(mount)
            forget(file)
            self.assertEqual(os.pread(file.fileno(), 1 << 20, 0), archives.content(1, _PAGES))
        with open(self.in_mount(MEMBER), "rb", buffering=0) as file:
            self.assertEqual(file.read(), archives.content(2, _PAGES))

    def test_open_directories_go_on(self):
        """Also one that was replaced meanwhile, and one whose folder has changed."""
        many = {f"m{number:04}": b"x" for number in range(3000)}
        archives.write_members(self.in_source("many.skops"), many)
        mount = self.mount("--revalidate=0")
        with os.scandir(self.in_mount("many.skops")) as entries, \
                open(self.in_mount("many.skops", "m0000"), "rb") as file:
            names = {next(entries).name}
            self.assertEqual(file.read(), b"x")
            archives.write_members(self.in_source("many.skops"), {"other": b"y"})
            self.kill(mount)
            names |= {entry.name for entry in entries}
        self.assertEqual(names, set(many))
        archives.write_members(self.in_source("many.skops"), many)
        with os.scandir(self.in_mount("many.skops")) as entries:
            names = {next(entries).name}
            archives.write_members(self.in_source("many.skops"), {"other": b"y"})
            self.kill(mount)
            names |= {entry.name for entry in entries}
        self.assertEqual(names, set(many), "nothing of it was read")
        os.mkdir(self.in_source("wide"))
        for number in range(3000):
            os.link(self.in_source("b.skops"), self.in_source("wide", f"{number}.skops"))
        with os.scandir(self.in_mount("wide")) as entries:
            names = [next(entries).name]
            for number in range(0, 3000, 3):
                os.unlink(self.in_source("wide", f"{number}.skops"))
            self.kill(mount)
            names += [entry.name for entry in entries]
        self.assertEqual(len(names), len(set(names)))
        stay = {f"{number}.skops" for number in range(3000) if number % 3}
        self.assertLessEqual(stay, set(names))

    def test_inode_numbers_stay(self):
        mount = self.mount()
        before = {name: os.stat(self.in_mount(name)).st_ino for name in _NAMES}
        self.kill(mount)
        os.stat(self.in_mount("a.skops", MEMBER))
        self.assertEqual({name: os.stat(self.in_mount(name)).st_ino for name in _NAMES}, before)

    # Ends.

    def test_ends_well_after_a_takeover(self):
        for end in (lambda mount: mount.send(signal.SIGTERM),
                    lambda mount: os.system(f"umount {self.mountpoint}")):
            mount = self.mount()
            self.kill(mount)
            os.listdir(self.mountpoint)
            end(mount)
            self.assertEqual(mount.wait(), 0)
            self.assertFalse(is_mounted(self.mountpoint))

    def test_the_worker_ends_with_the_supervisor(self):
        mount = Mount(self.source, self.mountpoint).start()
        self.addCleanup(mount.clear)
        worker = mount.worker()
        mount.stop(signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{worker}"), "the worker is gone")
        self.assert_errno(errno.ENOTCONN, os.listdir, self.mountpoint)

    # Upgrades.

    def installed(self):
        """A copy of the program that can be replaced."""
        program = os.path.join(self.folder, "skopsfs")
        shutil.copy(binary(), program)
        return program

    def replace(self, program, make):
        make(program + ".new")
        os.chmod(program + ".new", 0o755)
        os.rename(program + ".new", program)

    def test_upgrade(self):
        program = self.installed()
        mount = self.mount(command=[program])
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file:
            for _ in range(3):
                self.replace(program, lambda path: shutil.copy(binary(), path))
                inode = os.stat(program).st_ino
                before = mount.worker()
                mount.send(signal.SIGUSR2)
                until(lambda b=before: mount.workers() and b not in mount.workers(),
                      "the new worker has taken over")
                self.assertEqual(os.stat(f"/proc/{mount.worker()}/exe").st_ino, inode)
                forget(file)
                self.assertEqual(os.pread(file.fileno(), 1 << 20, 0), archives.content(1, _PAGES))
            until(lambda: mount.log().count("the upgrade is done") == 3, "the log has said it")
            time.sleep(11)  # what has served well for ten seconds is started again after a crash
            self.kill(mount)
            os.listdir(self.mountpoint)
            self.assertEqual(os.stat(f"/proc/{mount.worker()}/exe").st_ino, inode)

    def test_upgrade_to_a_program_that_does_not_come_up(self):
        def fails(path):
            shutil.copy("/bin/false", path)

        def is_no_program(path):
            with open(path, "wb") as file:
                file.write(b"no program")

        program = self.installed()
        mount = self.mount(command=[program])
        before = mount.worker()
        for count, make in enumerate((fails, is_no_program), 1):
            self.replace(program, make)
            mount.send(signal.SIGUSR2)
            until(lambda n=count: mount.log().count("the old one stays") == n, "it has failed")
            self.assertEqual(mount.workers(), [before])
            self.write("a.skops", 1 + count)
        os.unlink(program)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("no upgrade", "No such file")
        self.assertIn("array.skops", os.listdir(self.mountpoint))
        self.kill(mount)
        self.assertIn("array.skops", os.listdir(self.mountpoint))

    # Storms.

    def storm(self, mount, readers, disturb, between=None):
        """`disturb`s the mount _KILLS times under `readers`, and says what came of it."""
        counters = Counters(len(readers))
        children = [Child(use, *arguments, self.mountpoint, number, counters)
                    for number, (use, *arguments) in enumerate(readers)]
        for child in children:
            self.addCleanup(child.end)
        choice = random.Random(_KILLS)
        for count in range(_KILLS):
            goal = counters.total() + 10
            until(lambda g=goal: counters.total() >= g, "the readers have read some more")
            time.sleep(choice.uniform(0, 0.02))
            disturb(mount, choice)
            if between:
                between(count)
        counters.stop()
        outcomes = [child.result() for child in children]
        wrong = [text for outcome in outcomes for text in outcome.wrong]
        errors = [text for outcome in outcomes for text in outcome.errors]
        print(f"{_KILLS} times, {sum(x.pages for x in outcomes)} pages and listings: "
              f"{len(wrong)} wrong, {len(errors)} errors ", end="", flush=True)
        self.assertEqual((wrong, errors), ([], []))
        self.assertNotIn("no longer served", mount.log())

    def kill_at_random(self, mount, choice):
        self.kill(mount, choice.choice(_SIGNALS))

    def test_kill_storm(self):
        readers = [(keep_using, use) for use in _USES]
        self.storm(self.mount("--revalidate=0", guard=_GUARD), readers, self.kill_at_random)

    def test_kill_storm_while_archives_are_replaced(self):
        readers = [(keep_reading,)] * 6

        def replace(count):
            self.write(_NAMES[count % len(_NAMES)], 2 + count)
        mount = self.mount("--revalidate=0", guard=_GUARD)
        self.storm(mount, readers, self.kill_at_random, replace)
        until(lambda: not self.deleted(mount), "the descriptors of old versions are closed")

    def test_upgrade_storm(self):
        def upgrade(mount, _):
            before = mount.worker()
            mount.send(signal.SIGUSR2)
            until(lambda: mount.workers() and before not in mount.workers(), "it is upgraded")
        readers = [(keep_using, use) for use in _USES]
        self.storm(self.mount("--revalidate=0", guard=_GUARD), readers, upgrade)

    def test_time_from_a_kill_to_the_next_read(self):
        """No limit: printed for docs/operations.md."""
        mount = self.mount(guard=_GUARD)
        times = []
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file:
            for _ in range(_KILLS):
                worker = mount.worker()
                forget(file)
                start = time.monotonic()
                os.kill(worker, signal.SIGKILL)
                self.assertEqual(len(os.pread(file.fileno(), PAGE, 0)), PAGE)
                times.append(time.monotonic() - start)
                time.sleep(0.15)  # what served well for a while is replaced at once
        print(f"{len(times)} kills: median {1000 * statistics.median(times):.0f} ms, worst "
              f"{1000 * max(times):.0f} ms ", end="", flush=True)


if __name__ == "__main__":
    main()
