"""Files that lie beside the archives are shown as they are, so that a folder can be mounted as a whole."""

import errno
import mmap
import os
import shutil
import signal

import archives
from archives import MEMBER, read
from ctl import ctl, NOT_DONE
from mount import MountTest, main, run, until
from processes import drop_pages

# What MLflow saves a scikit-learn model as.
FOLDER = {
    "MLmodel": b"flavors:\n  sklearn:\n    pickled_model: model.skops\n",
    "requirements.txt": b"scikit-learn==1.2.1\nskops\n",
    "conda.yaml": b"name: mlflow-env\n",
    "empty": b"",
    "metadata/input_example.json": b"{}" * 100_000,
    ".hidden": b"hidden",
    "._model.skops": b"of macOS",
    "model.skops.old": b"an upload that was given up",
}


class PlainFiles(MountTest):
    def setUp(self):
        super().setUp()
        for name, data in FOLDER.items():
            self.make_folder("source", "model", os.path.dirname(name))
            archives.write(self.in_source("model", name), data)
        archives.write_version(self.in_source("model", "model.skops"), 1, pages=4)

    def test_a_folder_as_mlflow_saves_it(self):
        self.mount()
        copy = os.path.join(self.folder, "copy")
        shutil.copytree(self.in_mount("model"), copy)
        for name, data in FOLDER.items():
            self.assertEqual(read(os.path.join(copy, name)), data, name)
            shown, source = os.stat(self.in_mount("model", name)), os.stat(self.in_source("model", name))
            for field in ("st_size", "st_mtime_ns", "st_uid", "st_gid", "st_nlink"):
                self.assertEqual(getattr(shown, field), getattr(source, field), (name, field))
            self.assertEqual(shown.st_mode, source.st_mode & ~0o333)
        self.assertEqual(sorted(os.listdir(self.in_mount("model"))),
                         sorted(os.listdir(self.in_source("model"))))
        self.assertIn(MEMBER, os.listdir(self.in_mount("model", "model.skops")))
        differences = run("diff", "-r", self.in_source("model"), self.in_mount("model"), check=False)
        self.assertEqual(len(differences.stdout.splitlines()), 1, "the archive, which is a directory")

    def test_they_can_be_hidden(self):
        self.mount("--others=hide")
        self.assertEqual(sorted(os.listdir(self.in_mount("model"))), ["metadata", "model.skops"])
        self.assert_errno(errno.ENOENT, os.stat, self.in_mount("model", "MLmodel"))

    def test_nothing_can_be_written(self):
        self.mount()
        path = self.in_mount("model", "MLmodel")
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            self.assert_errno(errno.EROFS, os.open, path, flags)
        self.assert_errno(errno.EROFS, os.unlink, path)
        self.assert_errno(errno.EROFS, os.chmod, path, 0o777)

    def test_what_is_open_stays_the_version_it_was(self):
        self.mount("--revalidate=0")
        path = self.in_mount("model", "MLmodel")
        with open(path, "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                self.assertEqual(mapped[:], FOLDER["MLmodel"])
                archives.write(self.in_source("model", "MLmodel"), b"another")
                self.assertEqual(read(path), b"another")
                self.advise_to_drop(file)
                self.assertEqual(mapped[:], FOLDER["MLmodel"])
                os.unlink(self.in_source("model", "MLmodel"))
                self.assert_errno(errno.ENOENT, os.stat, path)
                self.advise_to_drop(file)
                self.assertEqual(mapped[:], FOLDER["MLmodel"])

    @staticmethod
    def advise_to_drop(file):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def test_what_is_large_is_not_trusted_once_it_was_touched(self):
        """Unless it was read as a whole, as small ones are at first."""
        big = self.in_source("big.bin")
        archives.write(big, os.urandom(20 << 20))
        mount = self.mount("--revalidate=0")
        with open(self.in_mount("big.bin"), "rb", buffering=0) as file:
            self.assertEqual(len(file.read(4096)), 4096)
            os.chmod(big, 0o600)
            self.assert_errno(errno.EIO, os.pread, file.fileno(), 4096, 10 << 20)
        mount.wait_for_log('"big.bin": cannot be read', "before all of it was read")
        with open(self.in_mount("big.bin"), "rb", buffering=0) as file:
            self.assertEqual(len(os.pread(file.fileno(), 4096, 10 << 20)), 4096)

    def test_what_was_opened_can_be_read_once_it_was_replaced(self):
        self.mount()
        path = self.in_mount("model", "metadata", "input_example.json")
        data = FOLDER["metadata/input_example.json"]
        os.listdir(self.in_mount("model", "metadata"))
        for change in (lambda source: archives.write(source, b"another"), os.unlink):
            archives.write(self.in_source("model", "metadata", "input_example.json"), data)
            until(lambda: os.stat(path).st_size == len(data), "it is seen")
            with open(path, "rb", buffering=0) as file:
                change(self.in_source("model", "metadata", "input_example.json"))
                self.assertEqual(os.pread(file.fileno(), 100, 150_000), data[150_000:150_100])
                self.assertEqual(os.pread(file.fileno(), len(data), 0), data)

    def test_changed_in_place(self):
        mount = self.mount("--revalidate=0")
        path = self.in_mount("model", "conda.yaml")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), FOLDER["conda.yaml"])
            archives.rewrite(self.in_source("model", "conda.yaml"), b"NAME: mlflow-env\n")
            self.assertEqual(read(path), b"NAME: mlflow-env\n")
            drop_pages(file)
            self.assert_errno(errno.EIO, os.pread, file.fileno(), 4096, 0)
        mount.wait_for_log("conda.yaml", "was changed in place")

    def test_being_written(self):
        mount = self.mount("--revalidate=0")
        with open(self.in_source("model", "train.log"), "wb", buffering=0) as file:
            file.write(b"epoch 1\n")
            self.assert_errno(errno.EIO, read, self.in_mount("model", "train.log"))
        mount.wait_for_log("train.log", "somebody has it open for writing")
        self.assertEqual(read(self.in_mount("model", "train.log")), b"epoch 1\n")

    def test_after_a_takeover(self):
        mount = self.mount()
        path = self.in_mount("model", "metadata", "input_example.json")
        data = FOLDER["metadata/input_example.json"]
        for number in (signal.SIGKILL, signal.SIGUSR2):
            with open(path, "rb") as file:
                self.assertEqual(file.read(), data)
                before = mount.worker()
                if number == signal.SIGKILL:
                    os.kill(before, number)
                else:
                    mount.send(number)
                until(lambda: mount.workers() and before not in mount.workers(), "there is another one")
                drop_pages(file)
                file.seek(0)
                self.assertEqual(file.read(), data)
            self.assertEqual(read(self.in_mount("model", "MLmodel")), FOLDER["MLmodel"])

    def test_a_takeover_forgets_nothing(self):
        """What was touched before it is proven after it, or refused."""
        source = self.in_source("model", "metadata", "input_example.json")
        other = source + "~"
        mount = self.mount("--revalidate=0")
        data = FOLDER["metadata/input_example.json"]
        with open(self.in_mount("model", "metadata", "input_example.json"), "rb", buffering=0) as file:
            self.assertEqual(os.pread(file.fileno(), 100, 0), data[:100])
            os.link(source, other)
            os.chmod(source, 0o600)
            self.take_over(mount)
            drop_pages(file)
            self.assertEqual(os.pread(file.fileno(), len(data), 0), data)
            before = os.stat(other)
            os.unlink(source)
            archives.rewrite(other, b"[" * len(data))
            os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
            for _ in range(2):
                drop_pages(file)
                self.assert_errno(errno.EIO, os.pread, file.fileno(), 100, 0)
                self.take_over(mount)

    @staticmethod
    def take_over(mount):
        before = mount.worker()
        os.kill(before, signal.SIGKILL)
        until(lambda: mount.workers() and before not in mount.workers(), "there is another one")

    def test_what_nobody_uses_is_let_go_of(self):
        mount = self.mount()
        path = self.in_source("model", "MLmodel")
        self.assertEqual(read(self.in_mount("model", "MLmodel")), FOLDER["MLmodel"])
        self.assertIn(path, mount.descriptors())
        os.unlink(path)
        until(lambda: not any("MLmodel" in name for name in mount.descriptors()),
              "its descriptor is closed")

    def test_links(self):
        archives.write(os.path.join(self.folder, "secret"), b"secret")
        os.symlink("../../secret", self.in_source("model", "out"))
        os.symlink("MLmodel", self.in_source("model", "in"))
        os.symlink("nowhere", self.in_source("model", "dangling"))
        mount = self.mount()
        self.assertEqual(read(self.in_mount("model", "in")), FOLDER["MLmodel"])
        for name in ("out", "dangling"):
            self.assert_errno(errno.ENOENT, os.stat, self.in_mount("model", name))
        mount.wait_for_log('"model/out": not shown', "leads out of the source")

    def test_they_are_no_archives(self):
        self.mount()
        self.assertEqual(os.listxattr(self.in_mount("model", "MLmodel")), [])
        self.assertIn("1 archive", ctl("check", self.mountpoint)[0])
        _, refusal = ctl("check", self.in_mount("model", "MLmodel"), code=NOT_DONE)
        self.assertIn("it is not an archive", refusal)
        self.assertIn("1 archive", ctl("status", self.mountpoint)[0])


if __name__ == "__main__":
    main()
