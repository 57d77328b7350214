"""Rule 2 of the contract, case by case: one version or an error, never zeros, never a mix.

{what happens to the archive} x {how its member is in use} x {stored, deflated} x {how often names
are looked at}. Every page that is read afterwards must be of the version that was opened, or fail.
"""

import ctypes
import errno
import mmap
import os
import time
import zipfile

import archives
from archives import MEMBER, PAGE
from mount import HANG, MountTest, main
from processes import SIGBUS, touch

_PAGES = 80  # more than twice what the kernel reads ahead in these mounts
_PER_PAGE = range(_PAGES)


# --- what happens to the archive, which holds version 1 -------------------------------------------

def rename_over(path, method):
    archives.write_version(path, 2, _PAGES, method)


def unlink(path, _):
    os.unlink(path)


def truncate_to_half(path, _):
    os.truncate(path, os.stat(path).st_size // 2)


def truncate_to_nothing(path, _):
    os.truncate(path, 0)


def append_zeros(path, _):
    with open(path, "ab") as file:
        file.write(bytes(5000))


def append_a_member(path, _):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("one more", "member")


def rewrite_in_place(path, method):
    archives.rewrite(path, archives.version_bytes(2, _PAGES, method))


def rewrite_same_size_and_mtime(path, method):
    before = os.stat(path)
    rewrite_in_place(path, method)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(path)
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def rewrite_through_a_mapping(path, method):
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[:] = archives.version_bytes(2, _PAGES, method)


def start_again(path, method):
    """As open(path, "w") does: empty first, then written."""
    with open(path, "wb") as file:
        file.write(archives.version_bytes(2, _PAGES, method))


def punch_holes(path, _):
    """Zeros for data, with size and modification time as before."""
    keep_size, punch_hole = 1, 2
    before = os.stat(path)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    with open(path, "r+b") as file:
        if libc.fallocate(file.fileno(), keep_size | punch_hole, 0, before.st_size) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rewrite_what_lost_a_name(path, method):
    """The name goes; another name of the same file is then rewritten, its times put back."""
    before = os.stat(path)
    os.unlink(path)
    archives.rewrite(path + ".backup", archives.version_bytes(2, _PAGES, method))
    os.utime(path + ".backup", ns=(before.st_atime_ns, before.st_mtime_ns))


_KEEPING = [rename_over, unlink]  # old handles and mappings live on
_CHANGING = [truncate_to_half, truncate_to_nothing, append_zeros, append_a_member,
             rewrite_in_place, rewrite_same_size_and_mtime, rewrite_through_a_mapping,
             start_again, punch_holes, rewrite_what_lost_a_name]


# --- how the member is in use meanwhile -----------------------------------------------------------

class Use:
    """An open member, and what its pages read as later: bytes, or None for a failure."""

    cached = range(0)  # pages surely in the page cache when the archive changes

    def __init__(self, path):
        self.file = open(path, "rb", buffering=0)
        self.status = os.fstat(self.file.fileno())

    def pages(self):
        return [self._page(number) for number in _PER_PAGE]

    def _page(self, number):
        try:
            return os.pread(self.file.fileno(), PAGE, number * PAGE)
        except OSError as error:
            assert error.errno == errno.EIO, error
            return None

    def close(self):
        self.file.close()


class Open(Use):
    pass


class Read(Use):
    cached = _PER_PAGE

    def __init__(self, path):
        super().__init__(path)
        assert self.file.read() == archives.content(1, _PAGES)


class PartlyRead(Use):
    cached = range(1)

    def __init__(self, path):
        super().__init__(path)
        assert os.pread(self.file.fileno(), PAGE, 0) == archives.page(1, 0)


class Mapped(Use):
    def __init__(self, path):
        super().__init__(path)
        self.mapping = mmap.mmap(self.file.fileno(), 0, prot=mmap.PROT_READ)
        self.file.close()

    def pages(self):
        return [None if data is SIGBUS else data for data in touch(self.mapping, _PER_PAGE)]

    def close(self):
        self.mapping.close()


class MappedAndCached(Mapped):
    cached = _PER_PAGE

    def __init__(self, path):
        super().__init__(path)
        assert self.mapping[:] == archives.content(1, _PAGES)


_USES = [Open, Read, PartlyRead, Mapped, MappedAndCached]


class Case:
    def __init__(self, test, number, method, change, use):
        self.method = method
        self.change = change
        self.label = f"{'stored' if method == archives.STORED else 'deflated'}, " \
                     f"{change.__name__}, {use.__name__}"
        self.name = f"case-{number}.skops"
        self.path = test.in_source(self.name)
        archives.write_version(self.path, 1, _PAGES, method)
        if change is rewrite_what_lost_a_name:
            os.link(self.path, self.path + ".backup")
        self.member = test.in_mount(self.name, MEMBER)
        self.make = use
        self.use = None


class VersionMatrix(MountTest):
    pages = wrong = refused = 0

    def check_old(self, case):
        """Returns how many pages were right."""
        found = case.use.pages()
        self.pages += len(found)
        versions = [data and archives.version_of(data, n) for n, data in enumerate(found)]
        self.refused += found.count(None)
        wrong = [n for n, data in enumerate(found) if data is not None and versions[n] != 1]
        self.wrong += len(wrong)
        self.assertFalse(wrong, f"pages that are zeroed, torn or of {set(versions) - {1, None}}")
        return versions.count(1)

    def check_kept(self, case):
        right = self.check_old(case)
        if case.change in _KEEPING:
            self.assertEqual(right, _PAGES, "an old mapping or handle must stay whole")
        elif not case.use.cached:
            self.assertEqual(right, 0, "what was not in memory must fail after a change in place")
        elif case.make is PartlyRead:
            self.assertLess(right, _PAGES // 2 + 1)

    def check_new(self, case):
        """A new open shows what zipfile makes of the archive now."""
        if not os.path.exists(case.path):
            self.assert_errno(errno.ENOENT, os.stat, case.member)
            return
        try:
            expected = archives.members_of(case.path)[MEMBER]
        except zipfile.BadZipFile:
            self.assert_errno(errno.EIO, open, case.member, "rb")
            return
        with open(case.member, "rb") as file:
            self.assertEqual(file.read(), expected)
            status = os.fstat(file.fileno())
        self.assertEqual(status.st_size, len(expected))
        self.assertNotEqual(status.st_ino, case.use.status.st_ino)
        self.assertEqual(os.stat(case.member).st_ino, status.st_ino)

    def run_matrix(self, revalidate, *options):
        changes = _KEEPING + _CHANGING
        cases = [Case(self, i, method, change, use) for i, (method, change, use) in enumerate(
            (method, change, use) for method in (archives.STORED, archives.DEFLATED)
            for change in changes for use in _USES)]
        self.mount_reading_little_ahead(*options, guard=3 * HANG)
        for case in cases:
            case.use = case.make(case.member)
            self.addCleanup(case.use.close)
        for case in cases:
            case.change(case.path, case.method)
            if revalidate == 0:  # at once
                with self.subTest(case.label + ", new open"):
                    self.check_new(case)
        for case in cases:
            with self.subTest(case.label):
                self.check_kept(case)
        time.sleep(1.5 * revalidate)  # more time can only help
        for case in cases:
            with self.subTest(case.label + ", new open later"):
                self.check_new(case)
                # A new open leaves the old ones as they are.
                self.check_kept(case)
        mixed = f"{self.wrong} mixed or zeroed pages"
        print(f"version matrix: {len(cases)} cases, {self.pages} page reads "
              f"({self.refused} refused), {mixed} ", end="", flush=True)
        self.assertEqual(self.wrong, 0)

    def test_with_the_default_revalidation(self):
        self.run_matrix(1)

    def test_with_revalidation_at_once(self):
        self.run_matrix(0, "--revalidate=0")


if __name__ == "__main__":
    main()
