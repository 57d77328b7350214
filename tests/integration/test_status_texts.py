"""The texts of the hidden directory .skopsfs: one for each who looks it up."""

import errno
import json
import os
import signal

import archives
from mount import MountTest, main
from processes import drop_pages
from test_status import read, read_bytes


class StatusTexts(MountTest):
    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)

    def status(self):
        return json.loads(read(self.mountpoint, ".skopsfs", "status.json"))

    def test_a_reader_in_small_pieces_gets_one_text(self):
        """However what it says changes meanwhile; its size is true."""
        self.mount("--revalidate=0")
        for name in ("metrics", "status.json", "health"):
            path = self.in_mount(".skopsfs", name)
            with open(path, "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                data = b""
                while piece := file.read(7):
                    data += piece
                    if len(data) % 700 == 0:  # so that another text is longer
                        archives.write(self.in_source(f"{len(data)}.{name}.skops"),
                                       archives.archive_of({"m": b"m"}))
                        read_bytes(self.in_mount(f"{len(data)}.{name}.skops", "m"))
                        read_bytes(path)
                self.assertEqual(len(data), size)
                self.assertEqual(os.pread(file.fileno(), size + 1, 0), data)
                self.assertEqual(os.pread(file.fileno(), 10, size), b"")
            if name == "status.json":
                self.assertEqual(json.loads(data)["source"], self.source)
                self.assertNotEqual(read_bytes(path), data)
            elif name == "metrics":
                self.assertTrue(data.endswith(b"\n"))
                self.assertIn("skopsfs_info", data.decode())
        self.assertEqual(os.stat(self.in_mount(".skopsfs", "health")).st_size, 3)

    def test_what_a_worker_before_had_made_says_so(self):
        mount = self.mount()
        path = self.in_mount(".skopsfs", "status.json")
        with open(path, "rb", buffering=0) as old:
            self.assertEqual(old.read(1), b"{")
            os.kill(mount.worker(), signal.SIGKILL)
            drop_pages(old)
            self.assert_errno(errno.EIO, os.pread, old.fileno(), 10, 0)
            mount.wait_for_log(".skopsfs: a file opened before another worker took over can no longer be "
                               "read")
            self.assertEqual(self.status()["restarts"], 1)
            self.assert_errno(errno.EIO, os.pread, old.fileno(), 10, 0)


if __name__ == "__main__":
    main()
