"""Descriptors are a budget: more archives than descriptors, and nothing open is ever lost.

SKOPSFS_ARCHIVES (900 by default) is how many there are in one of the tests.
"""

import errno
import mmap
import os
import resource
import signal
import socket

import archives
from archives import MEMBER
from mount import MountTest, main, needs_root

_HARD = 600
_ARCHIVES = 900


def few_descriptors():
    """A low limit, and a lower one in force, which the program has to raise."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, _HARD))


class Budget(MountTest):
    def setUp(self):
        super().setUp()
        for number in range(_ARCHIVES):
            archives.write_version(self.in_source(f"{number}.skops"), number, pages=1)
        self.files = []
        self.addCleanup(lambda: [file.close() for file in self.files])

    def member(self, number):
        return self.in_mount(f"{number}.skops", MEMBER)

    def hold(self, number):
        """Keeps it open, with a byte read of it."""
        self.files.append(open(self.member(number), "rb", buffering=0))
        self.files[-1].read(1)

    def read_again(self, file):
        """The version that it is of, as the server says now."""
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return archives.version_of(os.pread(file.fileno(), archives.PAGE, 0), 0)

    def read(self, number):
        with open(self.member(number), "rb") as file:
            return archives.version_of(file.read(), 0)

    def test_more_archives_than_descriptors(self):
        mount = self.mount(before=few_descriptors)
        for _ in range(2):
            for number in range(_ARCHIVES):
                self.assertEqual(self.read(number), number)
                if number % 50 == 0:
                    self.assertLessEqual(len(mount.descriptors(mount.worker())), _HARD)
        for process in mount.processes():
            with open(f"/proc/{process}/limits", encoding="ascii") as limits:
                line = next(x for x in limits if x.startswith("Max open files"))
            self.assertEqual(line.split()[3:5], [str(_HARD), str(_HARD)])
        self.assertRegex(mount.log(), r"\A(skopsfs: serving .*\n)?\Z")

    def test_open_handles_are_never_closed(self):
        self.mount("--revalidate=0", before=few_descriptors)
        held = range(0, 300)
        for number in held:
            self.hold(number)
        for number in held:  # their names now lead to others: they cannot be opened again
            archives.write_version(self.in_source(f"{number}.skops"), 10_000 + number, pages=1)
        for number in range(300, _ARCHIVES):
            self.assertEqual(self.read(number), number)
        for number in held:
            self.assertEqual(self.read_again(self.files[number]), number)
            self.assertEqual(self.read(number), 10_000 + number)

    def test_opened_and_not_read_when_descriptors_ran_short(self):
        """What nobody has read is closed, and what is replaced then cannot be opened again."""
        mount = self.mount("--revalidate=0", before=few_descriptors)
        with open(self.member(0), "rb", buffering=0) as file:
            for number in range(1, _ARCHIVES):
                os.stat(self.member(number))
            archives.write_version(self.in_source("0.skops"), 10_000, pages=1)
            self.assert_errno(errno.EIO, file.read, 1)
        mount.wait_for_log('"0.skops": member', "cannot be read: replaced or removed before it was read")
        self.assertEqual(self.read(0), 10_000)

    def test_what_is_mapped_stays_while_many_others_are_read(self):
        """Each of which needs the descriptor of one before; and though all are replaced."""
        many = int(os.environ.get("SKOPSFS_ARCHIVES", str(_ARCHIVES)))
        mapped = {}
        for number in range(_ARCHIVES, many):
            archives.write_version(self.in_source(f"{number}.skops"), number, pages=1)
        mount = self.mount("--revalidate=0", before=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (256, 256)))

        def check(how):
            for number, (file, memory) in mapped.items():
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                self.assertEqual(os.pread(file, archives.PAGE, 0), archives.page(number, 0), how)
                self.assertEqual(memory[:], archives.page(number, 0), how)
        for number in range(0, many, many // 100):
            if len(mapped) == 100:
                break
            file = os.open(self.member(number), os.O_RDONLY)
            self.addCleanup(os.close, file)
            memory = mmap.mmap(file, 0, prot=mmap.PROT_READ)
            self.addCleanup(memory.close)
            self.assertEqual(memory[:], archives.page(number, 0))
            mapped[number] = file, memory
        self.assertEqual(len(mapped), 100)
        for number in range(many):
            self.assertEqual(self.read(number), number)
        check("all have been read")
        for number in mapped:
            archives.write_version(self.in_source(f"{number}.skops"), many + number, pages=1)
        check("they are replaced")
        for number in range(many):
            self.assertEqual(self.read(number), many + number if number in mapped else number)
        check("they are replaced and all have been read again")
        os.kill(mount.worker(), signal.SIGKILL)
        check("another worker serves")
        for number in range(many):
            self.assertEqual(self.read(number), many + number if number in mapped else number)
        check("it has read all")
        for process in mount.processes():
            self.assertLessEqual(len(mount.descriptors(process)), 256)
        self.assertNotIn("held by", mount.log())

    @needs_root
    def test_a_low_limit(self):
        """What comes of it is said at the start, and when the kernel refuses to hand over more."""
        sending, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with sending, receiving:
            # All of a user's that nobody has received count, whoever sent them.
            socket.send_fds(sending, [b"x"], [sending.fileno()] * 100)
            mount = self.mount(
                before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
            mount.wait_for_log("the limit of 64 descriptors is low, 32 archives")
            self.assertEqual(self.read(0), 0)
            mount.wait_for_log("more descriptors in flight than the limit of 64 allows")

    def test_all_descriptors_held(self):
        """The next open fails with a clear error; everything open goes on; it recovers."""
        mount = self.mount(before=few_descriptors)
        with self.assertRaises(OSError) as caught:
            for number in range(_ARCHIVES):
                self.hold(number)
        self.assertIn(caught.exception.errno, (errno.ENFILE, errno.EMFILE))
        self.assertGreater(len(self.files), 200)
        # An archive that is open already needs none.
        self.assertEqual(self.read(0), 0)
        self.assertEqual(len(os.listdir(self.mountpoint)), _ARCHIVES)
        for number, file in enumerate(self.files):
            self.assertEqual(self.read_again(file), number)
            file.close()
        for number in range(_ARCHIVES):
            self.assertEqual(self.read(number), number)
        mount.wait_for_log("all 344 descriptors for archives are held by open or mapped files",
                           "ulimit -n, LimitNOFILE", guard=10)


if __name__ == "__main__":
    main()
