"""skopsfs in a control group whose memory runs out: what readers outside of it see.

The number of times in test_the_worker_is_killed is SKOPSFS_KILLS (25 by default). For 200:
SKOPSFS_KILLS=200 SKOPSFS_BINARY=build/src/skopsfs /usr/bin/python3 tests/integration/test_memory_cgroup.py
"""

import contextlib
import errno
import itertools
import mmap
import os
import shutil
import signal

import archives
from archives import DEFLATED, MEMBER, PAGE, STORED
from control_groups import new_group
from mount import HANG, Mount, MountTest, binary, main, needs_root, until
from processes import SIGBUS, Child, lose_resource_power, touch
from test_stress import Counters
from test_takeover import forget, keep_using, probe_mapping, read_whole, scan_mapping

_KILLS = int(os.environ.get("SKOPSFS_KILLS", "25"))
_GUARD = HANG + 30 * _KILLS  # seconds: in a virtual machine each takes 20
_PAGES = 48  # as test_stress has it
_NAMES = ["a.skops", "b.skops", "folder/c.skops", "small.skops"]  # likewise
_MEBIBYTE = 1 << 20
_LIMIT = 128 * _MEBIBYTE
_UNKILLABLE = -1000


def hold(folder, reader, counters):
    """A reader that keeps its files open and mapped from the beginning to the end."""
    def use(_, __, outcome):
        for file, mapping in held:
            mapping.madvise(mmap.MADV_DONTNEED)
            forget(file)
            for number in range(0, _PAGES, 2):
                outcome.check(file.name, mapping[number * PAGE:(number + 1) * PAGE], number, 1)
                outcome.check(file.name, os.pread(file.fileno(), PAGE, (number + 1) * PAGE), number + 1, 1)

    held = []
    with contextlib.ExitStack() as stack:
        for name in _NAMES:
            file = stack.enter_context(open(os.path.join(folder, name, MEMBER), "rb", buffering=0))
            held.append((file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)))
        return keep_using(use, folder, reader, counters)


def score_adjustment(pid):
    with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as file:
        return int(file.read())


def adjust_score(pid, value):
    with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(value))


def may_spare():
    """Whether a process may keep the kernel from killing it."""
    def spare():
        try:
            adjust_score("self", _UNKILLABLE)
        except PermissionError:
            return False
        return True
    with Child(spare) as child:
        return child.result()


@needs_root
class MemoryOfAGroup(MountTest):
    def setUp(self):
        super().setUp()
        self.group = new_group(self, "server")
        self.group.limit(_LIMIT)
        os.mkdir(self.in_source("folder"))
        for name in _NAMES:
            method = DEFLATED if name == "small.skops" else STORED
            archives.write_version(self.in_source(name), 1, _PAGES, method)

    def in_group(self, *steps):
        """What a mount in the group does before it starts."""
        def prepare():
            self.group.take(os.getpid())
            for step in steps:
                step()
        return prepare

    def kill_for_memory(self, mount, number):
        """Has the kernel kill the worker while that decodes a member, whose reader gets the right bytes."""
        worker = mount.worker()

        def is_killed():
            return worker not in mount.workers()

        def read_until_it_is_killed():
            for part in itertools.count():  # each takes 16 MiB of the worker
                name = f"large{number}.{part}.skops"
                archives.write(self.in_source(name), archives.deflated_zeros(MEMBER, 2))
                with open(self.in_mount(name, MEMBER), "rb") as file:
                    if any(file.read(_MEBIBYTE) != bytes(_MEBIBYTE) for _ in range(24)):
                        return False
                if is_killed():
                    return True
        room = max(0, _LIMIT - self.group.bytes() - 4 * _MEBIBYTE)
        with self.group.filled(room) as free, Child(read_until_it_is_killed) as reader:
            until(is_killed, "the kernel has killed it")
            free()
            self.assertTrue(reader.result())

    def test_the_worker_is_killed(self):
        """Again and again, under readers with files open and mapped all the time, and with new ones."""
        mount = self.mount(before=self.in_group(), guard=_GUARD)
        uses = [read_whole, scan_mapping, probe_mapping]
        counters = Counters(len(uses) + 1)
        children = [Child(keep_using, use, self.mountpoint, n, counters) for n, use in enumerate(uses)]
        children.append(Child(hold, self.mountpoint, len(uses), counters))
        for child in children:
            self.addCleanup(child.end)
        self.addCleanup(counters.stop)
        for number in range(_KILLS):
            goal = counters.total() + 20
            until(lambda g=goal: counters.total() >= g, "the readers have read some more")
            self.kill_for_memory(mount, number)
        counters.stop()
        outcomes = [child.result() for child in children]
        wrong = [x for outcome in outcomes for x in outcome.wrong]
        errors = [x for outcome in outcomes for x in outcome.errors]
        print(f"{self.group.kills()} killed, {sum(outcome.pages for outcome in outcomes)} pages read, "
              f"{len(wrong)} wrong, {len(errors)} errors ", end="", flush=True)
        self.assertEqual((wrong, errors), ([], []))
        self.assertGreaterEqual(self.group.kills(), _KILLS)
        self.assertIn("another one takes over", mount.log())

    def test_who_may_be_killed(self):
        """Whoever is started by the supervisor is as it was, and the supervisor is spared if it may be."""
        spares = may_spare()
        for given, others in ((300, 300), (_UNKILLABLE, 0)):
            if given == _UNKILLABLE and not spares:
                continue
            program = shutil.copy(binary(), os.path.join(self.folder, "skopsfs"))
            with self.subTest(given=given), Mount(self.source, self.mountpoint, command=[program],
                                                  before=lambda score=given: adjust_score("self", score)) as mount:
                def assert_scores(mount=mount, given=given, others=others):
                    self.assertEqual(score_adjustment(mount.worker()), others)
                    self.assertEqual(score_adjustment(mount.pid), _UNKILLABLE if spares else given)
                assert_scores()
                os.rename(shutil.copy(binary(), program + ".new"), program)
                mount.send(signal.SIGUSR2)
                until(lambda p=mount.pid, new=os.stat(program): os.path.samestat(os.stat(f"/proc/{p}/exe"), new),
                      "the supervisor is upgraded")
                assert_scores()
                os.kill(mount.worker(), signal.SIGKILL)
                os.listdir(self.mountpoint)
                assert_scores()

    def kill_all(self):
        """Whoever may be killed, in a group that is to die as one if it can, and that has no memory left."""
        self.group.die_as_one()
        kills = self.group.kills()
        with self.group.filled(2 * _LIMIT, killed_first=False):
            self.assertGreater(self.group.kills(), kills)

    def assert_right(self, file, mapping):
        """What was open and mapped before, once it has to be asked for again, and what is opened now."""
        mapping.madvise(mmap.MADV_DONTNEED)
        forget(file)
        self.assertEqual(touch(mapping, range(_PAGES)), [archives.page(1, n) for n in range(_PAGES)])
        forget(file)
        self.assertEqual(os.pread(file.fileno(), 1 << 20, 0), archives.content(1, _PAGES))
        self.assertEqual(archives.read(self.in_mount("b.skops", MEMBER)), archives.content(1, _PAGES))

    def test_the_supervisor_is_spared(self):
        if not may_spare():
            self.skipTest("needs CAP_SYS_RESOURCE")
        mount = self.mount(before=self.in_group())
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
            for _ in range(3):
                worker = mount.worker()
                self.assert_right(file, mapping)
                self.kill_all()
                until(lambda w=worker: w not in mount.workers(), "the worker was killed")
                self.assert_right(file, mapping)

    def test_all_are_killed(self):
        """Where the supervisor may not be spared, and the group dies as one."""
        mount = Mount(self.source, self.mountpoint, before=self.in_group(lose_resource_power)).start()
        self.addCleanup(mount.clear)
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
            self.assertEqual(mapping[:], archives.content(1, _PAGES))
            self.kill_all()
            for process in self.group.processes():  # version 1 cannot
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self.assertEqual(mount.wait(), -signal.SIGKILL)
            self.assertEqual(mapping[:], archives.content(1, _PAGES))  # what is in memory stays

            def assert_it_is_dead():
                mapping.madvise(mmap.MADV_DONTNEED)
                forget(file)
                self.assertEqual(touch(mapping, [0, _PAGES - 1]), [SIGBUS, SIGBUS])
                self.assert_errno(errno.ENOTCONN, os.pread, file.fileno(), PAGE, 0)
            assert_it_is_dead()
            # While the kernel remembers the name, the file opens, and cannot be read.
            self.assert_errno(errno.ENOTCONN, archives.read, self.in_mount("a.skops", MEMBER))
            again = self.mount(before=self.in_group())
            again.wait_for_log("a dead mount was found at")
            self.assertEqual(archives.read(self.in_mount("a.skops", MEMBER)), archives.content(1, _PAGES))
            assert_it_is_dead()


if __name__ == "__main__":
    main()
