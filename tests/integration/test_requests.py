"""What the kernel asks of a mount: each file that is opened once is opened again without a message."""

import os
import time

import numpy

import archives
from archives import MEMBER
from mount import MountTest, main, needs_root, until
from test_status import fetch, free_port, metrics_in

_NAME = 'skopsfs_requests_total{operation="'


class Requests(MountTest):
    def setUp(self):
        super().setUp()
        self.array = numpy.arange(100_000, dtype="f8")
        members = {"1.npy": archives.npy(self.array), MEMBER: archives.content(1, 4)}
        archives.write_members(self.in_source("a.skops"), members)
        archives.write_members(self.in_source("b.skops"), members, archives.DEFLATED)

    def mount(self, *options, **more):
        self.port = free_port()
        return super().mount(*options, f"--metrics-address={self.port}", **more)

    def counted(self):
        """How many requests of each kind there have been. That takes none itself: another process
        is asked. A request is counted once it has been answered, so a little later."""
        def now():
            found = metrics_in(fetch(self.port))
            return {name[len(_NAME):-2]: value for name, value in found.items()
                    if name.startswith(_NAME) and "forget" not in name}  # which nobody waits for

        def settled():
            seen = now()
            time.sleep(1)
            return seen if seen == now() else None
        return until(settled, "nothing more is counted")

    def asked_by(self, call):
        """The kinds of requests that `call` leads to, and how many."""
        before = self.counted()
        call()
        after = self.counted()
        return {kind: after[kind] - before[kind] for kind in after if after[kind] != before[kind]}

    def assert_asks_at_most(self, call, **most):
        """That `call` asks for no more of each kind than `most`. The kernel may take pages back when
        memory is short, which it then asks for again: one of three calls suffices."""
        for _ in range(3):
            asked = self.asked_by(call)
            if all(count <= most.get(kind, 0) for kind, count in asked.items()):
                return asked
        self.fail(f"asked for {asked}, and for no more than {most} is wanted")

    def load(self, name):
        found = numpy.load(self.in_mount(name, "1.npy"), mmap_mode="r")
        self.assertTrue(numpy.array_equal(found, self.array))

    def test_a_second_load_of_the_same_member_asks_for_nothing(self):
        """But whether it is a terminal, which Python asks of each file and the kernel does not know."""
        self.mount("--revalidate=86400")
        for name in ("a.skops", "b.skops"):
            self.load(name)
            asked = self.assert_asks_at_most(lambda n=name: self.load(n), other=3)
            print(f"{name}: {asked} ", end="", flush=True)

    def test_a_file_is_opened_and_closed_without_a_message(self):
        self.mount("--revalidate=86400")

        def use():
            for name in ("a.skops", "b.skops"):
                for member in ("1.npy", MEMBER):
                    file = os.open(self.in_mount(name, member), os.O_RDONLY)
                    os.fstat(file)
                    os.pread(file, 128, 0)
                    os.close(file)
        use()
        self.assert_asks_at_most(use)
        found = self.counted()
        self.assertLessEqual(found.get("open", 0), 1)
        self.assertEqual(found.get("release", 0), 0)

    def test_the_next_worker_is_not_asked_either(self):
        mount = self.mount("--revalidate=86400")
        self.load("a.skops")
        opens = self.counted().get("open", 0)
        os.kill(mount.worker(), 9)
        self.load("a.skops")
        self.assertEqual(self.asked_by(lambda: self.load("a.skops")).get("open", 0), 0)
        self.assertEqual(self.counted().get("open", 0), opens)
        self.assertEqual(self.counted().get("release", 0), 0)

    @needs_root
    def test_each_open_is_asked_for_where_one_user_is_let_in(self):
        self.mount("-o", "allow_root", "--revalidate=86400")
        self.load("a.skops")
        self.assertGreaterEqual(self.asked_by(lambda: self.load("a.skops")).get("open", 0), 1)


if __name__ == "__main__":
    main()
