"""What --worker-timeout takes for a worker that hangs, and what not."""

import os
import threading
import time

import archives
from archives import MEMBER, PAGE
from mount import main
from shim import ShimTest


class WorkerTimeout(ShimTest):
    def setUp(self):
        super().setUp()
        self.slow = self.in_source("slow.skops")
        archives.write_version(self.slow, 1, pages=1 << 14)

    def test_a_proof_that_takes_long_goes_on(self):
        """Of a member of an archive that was touched, as --worker-timeout is meant for sources that are slow."""
        mount = self.mount("--worker-timeout=1")
        worker = mount.worker()
        with open(self.in_mount("slow.skops", MEMBER), "rb", buffering=0) as file:
            os.chmod(self.slow, 0o600)
            self.shim.slow_at = self.slow
            self.assertEqual(os.pread(file.fileno(), PAGE, 99 * PAGE), archives.page(1, 99))
        self.assertEqual(mount.workers(), [worker])
        self.assertEqual(mount.log().count("\n"), 1, mount.log())  # that it is up

    def test_a_worker_that_hangs_is_replaced_though_others_get_on(self):
        """With a proof under way that begins anew again and again, as the archive is touched meanwhile."""
        archives.write_version(self.in_source("stuck.skops"), 2, method=archives.DEFLATED)
        mount = self.mount("--worker-timeout=1")
        done = threading.Event()
        outcome = {}

        def touch():
            while not done.wait(0.1):
                os.chmod(self.slow, 0o600)

        def prove():
            outcome["slow"] = os.pread(file.fileno(), PAGE, 99 * PAGE) == archives.page(1, 99)

        def be_stuck():
            with open(self.in_mount("stuck.skops", MEMBER), "rb") as stuck:
                outcome["stuck"] = stuck.read() == archives.content(2)
        with open(self.in_mount("slow.skops", MEMBER), "rb", buffering=0) as file:
            os.chmod(self.slow, 0o600)
            self.shim.slow_at = self.slow
            threads = [threading.Thread(target=each) for each in (touch, prove, be_stuck)]
            threads[0].start()
            threads[1].start()
            time.sleep(2)  # longer than the timeout
            self.shim.stuck = 1
            threads[2].start()
            try:
                mount.wait_for_log("request", "stuck.skops", "so the worker is killed")
                self.assertNotIn("slow.skops", mount.log(), "as soon as that took 30 s, or ended")
            finally:
                self.shim.stuck = self.shim.slow_at = 0
                done.set()
                for thread in threads:
                    thread.join()
        self.assertEqual(outcome, {"slow": True, "stuck": True})
        self.assertNotIn("is no longer served", mount.log())


if __name__ == "__main__":
    main()
