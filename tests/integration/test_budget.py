"""Descriptors are a budget: more archives than descriptors, and no open handle is ever lost."""

import errno
import os
import resource
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
            self.files.append(open(self.member(number), "rb", buffering=0))
        for number in held:  # their names now lead to others: they cannot be opened again
            archives.write_version(self.in_source(f"{number}.skops"), 10_000 + number, pages=1)
        for number in range(300, _ARCHIVES):
            self.assertEqual(self.read(number), number)
        for number in held:
            self.assertEqual(archives.version_of(self.files[number].read(), 0), number)
            self.assertEqual(self.read(number), 10_000 + number)

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
            mount.wait_for_log("more descriptors under way than the limit of 64 allows")

    def test_all_descriptors_held(self):
        """The next open fails with a clear error; everything open goes on; it recovers."""
        mount = self.mount(before=few_descriptors)
        with self.assertRaises(OSError) as caught:
            for number in range(_ARCHIVES):
                self.files.append(open(self.member(number), "rb", buffering=0))
        self.assertIn(caught.exception.errno, (errno.ENFILE, errno.EMFILE))
        self.assertGreater(len(self.files), 200)
        # An archive that is open already needs none.
        self.assertEqual(self.read(0), 0)
        self.assertEqual(len(os.listdir(self.mountpoint)), _ARCHIVES)
        for number, file in enumerate(self.files):
            self.assertEqual(archives.version_of(file.read(), 0), number)
            file.close()
        for number in range(_ARCHIVES):
            self.assertEqual(self.read(number), number)
        mount.wait_for_log("all 344 descriptors for archives are held by open files",
                           "ulimit -n, LimitNOFILE", guard=10)


if __name__ == "__main__":
    main()
