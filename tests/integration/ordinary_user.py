"""An ordinary user for tests, who mounts through fusermount3.

Where /dev/fuse is root's alone, a world-accessible node is put over it in a mount namespace that
only the test sees; so is an /etc/fuse.conf that allows nothing.
"""

import os
import shutil
import stat

from mount import MountTest, binary
from processes import OTHER_USER, become, bind, in_child, private_mounts


class OrdinaryUserTest(MountTest):
    """A test, to be run as root, with a user who owns source and mountpoint."""

    def setUp(self):
        super().setUp()
        if shutil.which("fusermount3") is None:
            self.skipTest("fusermount3 is not installed")
        if not os.stat(shutil.which("fusermount3")).st_mode & stat.S_ISUID:
            self.skipTest("fusermount3 is not setuid root")
        # The user may not be let in where the program was built.
        self.program = os.path.join(self.folder, "skopsfs")
        shutil.copy(binary(), self.program)
        os.chmod(self.program, 0o755)
        os.chown(self.source, OTHER_USER, OTHER_USER)
        os.chown(self.mountpoint, OTHER_USER, OTHER_USER)

    def _file_over(self, path, text):
        """Puts a file with `text` over the one at `path`."""
        if not os.path.exists(path):
            return
        name = os.path.join(self.folder, os.path.basename(path))
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
        bind(name, path)
        os.unlink(name)

    def as_user(self, function, *arguments):
        """Runs `function` as an ordinary user who may open /dev/fuse."""
        def prepared():
            private_mounts()
            node = os.path.join(self.folder, "fuse-node")
            os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 229))
            os.chmod(node, 0o666)
            bind(node, "/dev/fuse")
            os.unlink(node)
            # fusermount3 wants a user that has a name.
            with open("/etc/passwd", encoding="utf-8") as names:
                known = names.read()
            self._file_over("/etc/passwd",
                            f"{known}skopsfs-test:x:{OTHER_USER}:{OTHER_USER}::/:/bin/sh\n")
            self._file_over("/etc/fuse.conf", "")
            become(OTHER_USER)
            return function(*arguments)
        return in_child(prepared)
