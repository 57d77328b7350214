"""What the supervisor does about workers that crash, hang or cannot be started."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import struct
import threading
import time

import archives
from archives import MEMBER, PAGE, read
from children import METRICS, children_of
from mount import Mount, binary, is_mounted, main, until
from processes import Child, drop_pages
from shim import ShimTest
from test_status import free_port


_TABLE = 536  # where the records of requests begin, src/handover/session_state.h


class Crashes(ShimTest):
    def setUp(self):
        super().setUp()
        self.poison = self.in_source("poison.skops")
        archives.write_version(self.poison, 1)
        archives.write_version(self.in_source("good.skops"), 2)

    def assert_good(self):
        with open(self.in_mount("good.skops", MEMBER), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(file.read(), archives.content(2))

    def start(self, *options):
        """A mount that does not end well, and is not to."""
        mount = Mount(self.source, self.mountpoint, *options, env=self.shim.environment).start()
        self.addCleanup(mount.clear)
        return mount

    def test_upgrade_to_a_program_that_dies_soon(self):
        """Not right away, as when its housekeeping crashes: what served before serves again."""
        program = os.path.join(self.folder, "skopsfs")
        shutil.copy(binary(), program)
        mount = self.mount(command=[program])

        def upgrade(count):
            shutil.copy(binary(), program + ".new")
            os.rename(program + ".new", program)
            if count > 1:
                self.shim.die_soon = program
            mount.send(signal.SIGUSR2)
            until(lambda: mount.log().count("the upgrade is done") == count, "it is upgraded")
        upgrade(1)
        good = os.stat(program).st_ino
        time.sleep(11)  # after ten seconds it is that one to which the next falls back
        upgrade(2)
        mount.wait_for_log("of the program from before the upgrade")
        self.assertTrue(os.listdir(self.mountpoint))
        self.assertEqual(os.stat(f"/proc/{mount.worker()}/exe").st_ino, good)

    def test_an_archive_that_crashes_the_worker_is_served_no_more(self):
        mount = self.mount("--revalidate=0")
        held = open(self.in_mount("good.skops", MEMBER), "rb")
        self.addCleanup(held.close)
        self.shim.crash_at = self.poison
        self.assert_errno(errno.EIO, os.listdir, self.in_mount("poison.skops"))
        line = mount.wait_for_log("poison.skops", "is no longer served")
        self.assertIn("it made the server crash 3 times (Segmentation fault)", line)
        reason = os.getxattr(self.in_mount("poison.skops"), "user.skopsfs.error").decode()
        self.assertIn("it made the server crash 3 times", reason)
        self.assert_good()
        self.assertEqual(held.read(), archives.content(2))
        # That is so for later workers, too.
        os.kill(mount.worker(), signal.SIGKILL)
        self.assert_errno(errno.EIO, os.listdir, self.in_mount("poison.skops"))
        self.assertEqual(mount.log().count("another one takes over"), 4)
        # Another version is another archive.
        archives.write_version(self.poison, 3)
        self.assertEqual(read(self.in_mount("poison.skops", MEMBER)), archives.content(3))

    def test_an_archive_that_overflows_the_stack_is_served_no_more(self):
        """Whoever notes the crash needs a stack of its own: a sanitizer is to lend none, nor to report
        what happens on purpose."""
        for options in ("ASAN_OPTIONS", "TSAN_OPTIONS"):
            given = self.shim.environment.get(options, os.environ.get(options, ""))
            self.shim.environment[options] = given + ":handle_segv=0:use_sigaltstack=0"
        mount = self.mount("--revalidate=0")
        self.shim.overflow_at = self.poison
        self.assert_errno(errno.EIO, os.listdir, self.in_mount("poison.skops"))
        line = mount.wait_for_log("poison.skops", "is no longer served")
        self.assertIn("it made the server crash 3 times (Segmentation fault)", line)
        self.assert_good()

    def test_a_member_that_crashes_the_worker_while_it_is_open(self):
        mount = self.mount()
        with open(self.in_mount("poison.skops", MEMBER), "rb", buffering=0) as file:
            self.shim.crash_at = self.poison
            self.assert_errno(errno.EIO, os.pread, file.fileno(), 4096, 0)
            mount.wait_for_log("poison.skops", "is no longer served")
        until(lambda: not [name for name in mount.descriptors() if "poison.skops" in name],
              "nobody has it open")
        self.assert_good()

    def test_a_single_archive_that_crashes_the_worker(self):
        mount = self.mount("--revalidate=0", source=self.poison)
        self.shim.crash_at = self.poison
        self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
        mount.wait_for_log("poison.skops", "is no longer served")
        archives.write_version(self.poison, 3)
        self.assertEqual(read(self.in_mount(MEMBER)), archives.content(3))
        # And another one of its kind.
        archives.write_version(self.poison, 4)
        self.shim.crash_at = self.poison
        self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
        archives.write_version(self.poison, 5)
        self.assertEqual(read(self.in_mount(MEMBER)), archives.content(5))

    def test_an_old_version_that_crashes_the_housekeeper(self):
        """What a worker does unasked is watched, too."""
        self.shim.no_prune = 1
        mount = self.mount("--revalidate=0")
        old = os.path.join(self.folder, "old.skops")
        os.link(self.poison, old)
        with open(self.in_mount("poison.skops", MEMBER), "rb") as file:
            file.read(1)
            archives.write_version(self.poison, 3)
            self.assertEqual(read(self.in_mount("poison.skops", MEMBER)), archives.content(3))
            self.shim.crash_at = old
            os.kill(mount.worker(), signal.SIGKILL)
            mount.wait_for_log("is no longer served")
            self.assert_good()
        self.assertEqual(read(self.in_mount("poison.skops", MEMBER)), archives.content(3))

    def test_a_server_of_metrics_that_hangs_when_started_again_holds_nobody_up(self):
        port = free_port()
        mount = self.mount(f"--metrics-address={port}")

        def server():
            return next(iter(children_of(mount.pid, METRICS)), None)
        self.shim.metrics_hang = 1
        os.kill(until(server, "metrics are served"), signal.SIGKILL)
        until(lambda: self.shim.hanging, "another one hangs")
        self.assertEqual(mount.stop(), 0)
        self.assertNotIn("does not come up", mount.log())

    def test_a_supervisor_that_fails_goes_on(self):
        """In its loop, for whatever reason."""
        mount = self.start()
        self.shim.throws = 1
        os.kill(mount.pid, signal.SIGCHLD)
        mount.wait_for_log("the supervisor has failed: as a test wants it; it tries again")
        self.assert_good()
        os.kill(mount.worker(), signal.SIGKILL)
        mount.wait_for_log("another one takes over")
        self.assert_good()
        self.shim.throws = 1
        self.assertEqual(mount.stop(), 0)

    def test_a_supervisor_that_cannot_wait_ends_when_it_is_told_to(self):
        mount = self.start()
        self.shim.no_poll = errno.EINVAL
        os.kill(mount.pid, signal.SIGCHLD)
        mount.wait_for_log("waiting for what happens fails: Invalid argument")
        self.assert_good()
        self.assertEqual(mount.stop(), 0)

    def test_no_worker_can_be_started(self):
        mount = self.start()
        self.assert_good()
        self.shim.no_exec = 1
        os.kill(mount.worker(), signal.SIGKILL)
        self.assertEqual(mount.wait(), 1)
        self.assertIn("no worker can be started", mount.log())
        self.assertFalse(is_mounted(self.mountpoint))

    def test_the_first_worker_cannot_be_started(self):
        self.shim.no_exec = 1
        for background in (False, True):
            with self.assertRaisesRegex(AssertionError, "exit 1|cannot run a worker"):
                Mount(self.source, self.mountpoint, env=self.shim.environment,
                      background=background).start()
            self.assertFalse(is_mounted(self.mountpoint))

    def test_kernels_that_do_not_ask_again(self):
        """Requests under way fail, nobody hangs, the mount is gone, and the exit code says so."""
        self.shim.old_kernel = 1
        mount = self.start()
        mount.wait_for_log("older than 6.9")
        self.assert_good()
        self.shim.hang_at = self.poison
        with Child(read, self.in_mount("poison.skops", MEMBER)) as reader:
            with open(self.in_mount("good.skops", MEMBER), "rb", buffering=0) as file:
                until(lambda: self.shim.hanging, "a request is under way")
                os.kill(mount.worker(), signal.SIGKILL)
                self.assertEqual(mount.wait(), 1)
                drop_pages(file)
                self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED), os.pread, file.fileno(),
                                  4096, 0)
            with self.assertRaises(OSError) as caught:
                reader.result()
            self.assertIn(caught.exception.errno, (errno.ENOTCONN, errno.ECONNABORTED))
        self.assertFalse(is_mounted(self.mountpoint))
        self.assertIn("the mount is given up", mount.log())

    def test_what_was_closed_is_let_go_after_a_takeover(self):
        """Else each takeover would leave fewer descriptors."""
        def few_descriptors():
            resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
        for number in range(200):
            archives.write_version(self.in_source(f"{number}.skops"), number, pages=1)
        mount = self.mount(before=few_descriptors)
        members = [self.in_mount(f"{number}.skops", MEMBER) for number in range(200)]
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                held = [stack.enter_context(open(path, "rb")) for path in members[:100]]
                os.kill(mount.worker(), signal.SIGKILL)
                for number, file in enumerate(held):
                    self.assertEqual(file.read(), archives.content(number, 1))
            for number, path in enumerate(members):
                self.assertEqual(read(path), archives.content(number, 1))
            for number in range(200):
                archives.write_version(self.in_source(f"{number}.skops"), number, pages=1)
            until(lambda: not [x for x in mount.descriptors() if ".skops" in x],
                  "nothing is kept of those that were replaced")

    def test_old_versions_that_were_closed_are_forgotten(self):
        """By the kernel, and so by the mount; also of a predecessor, however deep in the archive."""
        for no_prune in (0, 1):
            self.shim.no_prune = no_prune
            with Mount(self.source, self.mountpoint, "--revalidate=0",
                       env=self.shim.environment) as mount:
                for name in ("m",) if no_prune else ("m", "d/e/m"):
                    for killed in (False, True):
                        with self.subTest(no_prune=no_prune, name=name, killed=killed):
                            archives.write_members(self.in_source("old.skops"), {name: b"old"})
                            with open(self.in_mount("old.skops", name), "rb") as file:
                                self.assertEqual(file.read(1), b"o")
                                archives.write_members(self.in_source("old.skops"), {"n": b"new"})
                                os.stat(self.in_mount("old.skops"))
                                until(lambda: self.superseded() == 1, "the old version alone is known")
                                if killed:
                                    os.kill(mount.worker(), signal.SIGKILL)
                                    until(lambda: self.superseded() == 1, "the old version alone is known")
                            until(lambda: self.superseded() == 0, "the old version is forgotten")

    def test_a_log_that_nobody_reads_stops_nothing(self):
        reads, writes = os.pipe()
        self.addCleanup(os.close, reads)
        os.set_blocking(writes, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writes, bytes(4096))
        os.set_blocking(writes, True)

        mount = self.mount(before=lambda: os.dup2(writes, 2))
        os.close(writes)
        os.kill(mount.worker(), signal.SIGKILL)
        self.assert_good()

    def test_a_worker_that_dies_before_it_serves(self):
        """The mount does not come up, and there is a line that says why."""
        self.shim.die_at_start = 1
        for background in (False, True):
            with self.assertRaisesRegex(AssertionError, "the worker was killed by SIGKILL"):
                Mount(self.source, self.mountpoint, env=self.shim.environment,
                      background=background).start()
            self.assertFalse(is_mounted(self.mountpoint))

    # Requests that do not end.

    def hang(self, mount):
        """Has a reader wait for the poisoned archive; returns it, once it does."""
        self.shim.hang_at = self.poison
        return self.wait_for_poison()

    def wait_for_poison(self):
        outcome = []

        def wait():
            try:
                outcome.append(read(self.in_mount("poison.skops", MEMBER)))
            except OSError as error:
                outcome.append(error.errno)
        thread = threading.Thread(target=wait)
        thread.start()
        return thread, outcome

    def test_a_request_that_does_not_end_is_named(self):
        mount = self.mount()
        thread, outcome = self.hang(mount)
        self.assertRegex(mount.wait_for_log("request lookup of", "poison.skops"), r" takes [3-9]\d s")
        self.assert_good()
        self.shim.hang_at = 0
        thread.join()
        self.assertEqual(outcome, [archives.content(1)])

    def test_a_worker_that_hangs_is_replaced(self):
        mount = self.mount("--worker-timeout=1")
        thread, outcome = self.be_stuck()
        mount.wait_for_log("request", "poison.skops", "so the worker is killed")
        self.shim.stuck = 0
        thread.join()
        self.assertEqual(outcome, [archives.content(1)])
        self.assert_good()

    def be_stuck(self):
        """The same for one that is at work itself."""
        archives.write_version(self.poison, 1, method=archives.DEFLATED)
        self.shim.stuck = 1
        return self.wait_for_poison()

    def test_a_source_that_hangs_is_not_the_fault_of_the_worker(self):
        mount = self.mount("--worker-timeout=1")
        worker = mount.worker()
        thread, outcome = self.hang(mount)
        mount.wait_for_log("request", "poison.skops", "the source does not answer")
        time.sleep(5)  # for what must not be
        self.assert_good()
        self.assertEqual(mount.workers(), [worker])
        self.shim.hang_at = 0
        thread.join()
        self.assertEqual(outcome, [archives.content(1)])
        self.assertNotIn("killed", mount.log())

    def requests(self, mount):
        """The numbers of those that threads of the worker are at: SessionState's table."""
        folder = f"/proc/{mount.pid}/fd"
        memory = next(path for path in (os.path.join(folder, fd) for fd in os.listdir(folder))
                      if "memfd:skopsfs-session" in os.readlink(path))
        with open(memory, "rb") as file:
            table = file.read()[_TABLE:]
        return [unique for unique, in struct.iter_unpack("<Q56x", table) if unique]

    def test_a_request_that_was_answered_in_the_end_is_forgotten(self):
        """By an upgrade that left it behind: the new worker is not held to account for it."""
        mount = self.mount()
        thread, outcome = self.hang(mount)
        until(lambda: self.shim.hanging, "a request is under way")
        old = mount.worker()
        mount.send(signal.SIGUSR2)
        until(lambda: old not in mount.workers() and mount.workers(), "another worker serves")
        self.shim.hang_at = 0
        thread.join()
        self.assertEqual(outcome, [archives.content(1)])
        until(lambda: not self.requests(mount), "no request is on record")

    def states(self, pid):
        """Of each thread of a process."""
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as file:
                yield file.read().rpartition(")")[2].split()[0]

    def test_a_worker_that_takes_no_requests_is_replaced(self):
        mount = self.mount("--worker-timeout=1", "--revalidate=0")
        self.assert_good()
        worker = mount.worker()
        os.kill(worker, signal.SIGSTOP)
        until(lambda: set(self.states(worker)) == {"T"}, "all of its threads have stopped")
        self.assert_good()
        # Or with a request that it had just answered.
        mount.wait_for_log("so ", "is killed")
        self.assertEqual(mount.stop(), 0)

    def test_an_archive_that_always_hangs_is_served_no_more(self):
        mount = self.mount("--worker-timeout=1")
        thread, outcome = self.be_stuck()
        mount.wait_for_log("poison.skops", "requests for it did not end, 3 times")
        thread.join()
        self.assertEqual(outcome, [errno.EIO])
        self.assert_good()


if __name__ == "__main__":
    main()
