"""Ways to get at a member of an archive: skopsfs and its peers."""

import contextlib
import os
import shutil
import struct
import subprocess
import time
import zipfile

from machine import run

PATIENCE = 100  # seconds to mount
_REGULAR = 0o100644 << 16  # in a record's external attributes


class Skopsfs:
    """A mount of `source` while the context lasts; `path` is where, `pids` are its processes."""

    def __init__(self, program, source, point, *options):
        os.makedirs(point, exist_ok=True)
        self.path = point
        self._command = [program, "-f", *options, source, point]
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen(self._command)
        wait_for_mount(self.path, self._process)
        return self

    def __exit__(self, *_):
        if self._process.returncode is not None:  # another has its mount
            return
        run("umount", self.path)
        if self._process.wait() != 0:
            raise RuntimeError(f"{self._command}: exit {self._process.returncode}")

    def end(self):
        """Of a server that has handed its mount over."""
        self._process.terminate()
        if self._process.wait() != 0:
            raise RuntimeError(f"{self._command}: exit {self._process.returncode}")

    @property
    def worker(self):
        """Its process id; nothing while one follows another."""
        pid = self._process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return next(map(int, file.read().split()), None)

    @property
    def pids(self):
        return [self._process.pid, self.worker]


def wait_for_mount(path, process):
    end = time.monotonic() + PATIENCE
    while not os.path.ismount(path):
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(process.args)}: exit {process.returncode}")
        if time.monotonic() > end:
            raise TimeoutError(f"{' '.join(process.args)} did not mount in {PATIENCE} s")
        time.sleep(0.001)


@contextlib.contextmanager
def mounted_by(*command, point):
    """The folder `point` with what a peer, which stays in front, shows there."""
    if not shutil.which(command[0]):
        raise RuntimeError(f"{command[0]} is not installed")
    os.makedirs(point, exist_ok=True)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_mount(point, process)
            yield point
        finally:
            process.terminate()
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, check=False)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def unzip(archive, folder):
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder


@contextlib.contextmanager
def unzipped(archive, folder):
    """Extracted on the disk that the archive lies on."""
    target = os.path.join(folder, "unzipped")
    try:
        yield unzip(archive, target)
    finally:
        shutil.rmtree(target)


@contextlib.contextmanager
def in_shared_memory(archive, _):
    """Extracted on /dev/shm."""
    target = f"/dev/shm/skopsfs-benchmark-{os.getpid()}"
    try:
        yield unzip(archive, target)
    finally:
        shutil.rmtree(target)


def with_file_types(archive, copy):
    """A copy whose members say that they are regular files. Python writes none where skops gives it
    bytes; fuse-zip hands that on to the kernel, which answers EIO for each of them."""
    shutil.copyfile(archive, copy)
    with zipfile.ZipFile(copy) as opened:
        at, count = opened.start_dir, len(opened.infolist())
    with open(copy, "r+b") as file:
        for _ in range(count):
            file.seek(at + 28)
            sizes = struct.unpack("<HHH", file.read(6))
            file.seek(at + 38)
            file.write(struct.pack("<I", _REGULAR))
            at += 46 + sum(sizes)


@contextlib.contextmanager
def fuse_zip(archive, folder):
    copy = os.path.join(folder, "with-types.zip")
    with_file_types(archive, copy)
    point = os.path.join(folder, "fuse-zip")
    try:
        with mounted_by("fuse-zip", "-f", "-r", copy, point, point=point):
            yield point
    finally:
        os.remove(copy)


@contextlib.contextmanager
def archivemount(archive, folder):
    point = os.path.join(folder, "archivemount")
    with mounted_by("archivemount", "-f", "-o", "readonly", archive, point, point=point):
        yield point


@contextlib.contextmanager
def mount_zip(archive, folder):
    """Without the option, whoever opens a file has all of its pages dropped; for ratarmount likewise."""
    point = os.path.join(folder, "mount-zip")
    with mounted_by("mount-zip", "-f", "-o", "kernel_cache", archive, point, point=point):
        yield point


@contextlib.contextmanager
def ratarmount(archive, folder):
    point = os.path.join(folder, "ratarmount")
    with mounted_by("ratarmount", "-f", "--index-file", ":memory:", "-o", "kernel_cache", archive, point, point=point):
        yield point


@contextlib.contextmanager
def ziprofs(archive, folder):
    """It shows a folder, in which it expands what ends with .zip."""
    source, point = os.path.join(folder, "to-ziprofs"), os.path.join(folder, "ziprofs")
    os.mkdir(source)
    os.symlink(archive, os.path.join(source, "archive.zip"))
    try:
        with mounted_by("ziprofs", source, point, "-o", "foreground", point=point):
            yield os.path.join(point, "archive.zip")
    finally:
        shutil.rmtree(source)


@contextlib.contextmanager
def squashfuse(archive, folder):
    """A squashfs image of the members, not compressed."""
    image, point = os.path.join(folder, "members.squashfs"), os.path.join(folder, "squashfuse")
    if not shutil.which("mksquashfs"):
        raise RuntimeError("mksquashfs is not installed")
    content = unzip(archive, os.path.join(folder, "to-squash"))
    run("mksquashfs", content, image, "-noI", "-noD", "-noF", "-noX", "-quiet", "-no-progress")
    shutil.rmtree(content)
    try:
        with mounted_by("squashfuse", "-f", image, point, point=point):
            yield point
    finally:
        os.remove(image)


# By the names that tables have. Each is a context manager of (archive, folder for its own use) and
# gives a folder with the members. Debian has no mount-zip, ratarmount and ZipROFS: they are on PATH if you put them there.
PEERS = {"unzipped on ext4": unzipped, "fuse-zip": fuse_zip, "archivemount": archivemount,
         "squashfuse": squashfuse, "mount-zip": mount_zip, "ratarmount": ratarmount, "ZipROFS": ziprofs}
