"""A server ends its own mount and no other: the kernel gives the numbers of mounts and devices again.

Each on this kernel, and as on one before 6.8, which has no numbers that are given once.
"""

import os
import signal

import archives
from archives import MEMBER
from mount import main, needs_root, run
from processes import Child, private_mounts
from shim import ShimTest


@needs_root
class MountIdentity(ShimTest):
    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)

    def assert_served(self):
        with open(self.in_mount("a.skops", MEMBER), "rb") as file:
            self.assertEqual(file.read(), archives.content(1))

    def in_its_place(self, old):
        """Another mount where `old`, which is stopped and does not notice, was."""
        old.send(signal.SIGSTOP)
        try:
            run("umount", self.mountpoint)
            return self.mount()
        finally:
            old.send(signal.SIGCONT)

    def test_unmounted_and_mounted_anew(self):
        for self.shim.old_kernel in (0, 1):
            with self.subTest(old_kernel=self.shim.old_kernel):
                old = self.mount()
                new = self.in_its_place(old)
                self.assertEqual(old.wait(), 0)
                self.assert_served()
                self.assertEqual(new.stop(), 0)

    def test_alive_in_another_namespace(self):
        """As when a container has got a copy of the mount: then unmounting here does not end it."""
        for self.shim.old_kernel in (0, 1):
            with self.subTest(old_kernel=self.shim.old_kernel):
                old = self.mount()
                read_end, write_end = os.pipe()
                ready, is_ready = os.pipe()

                def hold():
                    private_mounts()
                    os.write(is_ready, b"x")
                    os.close(write_end)
                    os.read(read_end, 1)

                with Child(hold):
                    os.close(read_end)
                    os.read(ready, 1)
                    new = self.in_its_place(old)
                    self.assertEqual(old.stop(), 0)
                    self.assert_served()
                    self.assertEqual(new.stop(), 0)
                for end in (write_end, ready, is_ready):
                    os.close(end)


if __name__ == "__main__":
    main()
