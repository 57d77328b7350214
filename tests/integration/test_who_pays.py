"""Which control group the pages of a mapped member count against: that of whoever needs them first.

What docs/kubernetes.md says under "Who pays for memory".
"""

import hashlib
import os

import archives
from archives import MEMBER, PAGE
from control_groups import new_group
from mount import MountTest, main, needs_root, until
from processes import Child, resident_pages

PAGES = 16384  # 64 MiB


@needs_root
class WhoPays(MountTest):
    def read_in(self, group, path):
        """Reads a file to its end in a process of the group, and hands its hash back."""
        def read():
            group.take(os.getpid())
            digest = hashlib.sha256()
            with open(path, "rb", buffering=0) as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
            return digest.hexdigest()
        with Child(read) as child:
            return child.result()

    def test_the_first_reader_pays(self):
        archives.write_version(self.in_source("a.skops"), 1, PAGES)
        os.sync()
        with open(self.in_source("a.skops"), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        server, first, second = (new_group(self, name) for name in ("server", "first", "second"))
        mount = self.mount()
        for process in mount.processes():
            server.take(process)
        member = self.in_mount("a.skops", MEMBER)
        expected = hashlib.sha256(archives.content(1, PAGES)).hexdigest()
        self.assertEqual(self.read_in(first, member), expected)
        self.assertEqual(self.read_in(second, member), expected)
        self.assertGreater(resident_pages(member), 0.8 * PAGES)  # but for what was reclaimed
        size = PAGES * PAGE
        until(lambda: server.file_bytes() < size // 8, "the server has dropped the archive's pages")
        print(f"\nof {size >> 20} MiB: first {first.file_bytes() >> 20}, second "
              f"{second.file_bytes() >> 20}, server {server.file_bytes() >> 20} MiB")
        self.assertGreater(first.file_bytes(), size * 0.9)
        self.assertLess(second.file_bytes(), size // 8)


if __name__ == "__main__":
    main()
