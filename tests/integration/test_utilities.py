"""The usual programs on the mount give what they give on an unzipped copy."""

import os
import re
import shutil
import struct
import subprocess
import time
import zipfile
import zlib

import archives
from mount import MountTest, main, run
from test_genuine import _DATA

_ODD_NAMES = {
    "plain.txt": b"needle in plain text\n",
    "empty": b"",
    "deep/er/and/deeper/still.txt": b"a needle, deep\n" * 1000,
    "deep/also empty": b"",
    "with space and 'quotes' \"too\".txt": b"needle\n",
    "\u00fcml\u00e4ut/\u65e5\u672c\u8a9e.txt": b"needle\n",
    "-dash": b"needle\n",
    "big.bin": bytes(range(256)) * 9999,
    "n" * 255: b"a long name\n",
}


def skips_without(*programs):
    def decorate(test):
        def wrapped(self):
            for program in programs:
                if shutil.which(program) is None:
                    self.skipTest(f"{program} is not installed")
            test(self)
        return wrapped
    return decorate


class Utilities(MountTest):
    def setUp(self):
        super().setUp()
        for name in os.listdir(_DATA):
            if name.endswith(".skops"):
                shutil.copy(os.path.join(_DATA, name), self.source)
        self.make_folder("source", "team", "models")
        for method, name in ((archives.STORED, "odd.skops"), (archives.DEFLATED, "small.skops")):
            archives.write_members(self.in_source("team", "models", name), _ODD_NAMES, method)
        for path, _, names in os.walk(self.source, topdown=False):
            # rsync takes times within one second for the same.
            for name in [*names, "."]:
                os.utime(os.path.join(path, name), ns=(10**18, 10**18 + 123_456_789))
        self.copy = self.make_folder("unzipped")
        for path, _, names in os.walk(self.source):
            for name in names:
                target = os.path.join(self.copy, os.path.relpath(path, self.source), name)
                os.makedirs(target)
                with zipfile.ZipFile(os.path.join(path, name)) as archive:
                    archive.extractall(target)
        self.target = self.make_folder("target")
        self.mount("-o", "noby-name")  # which unzip does not make

    def assert_same_trees(self, one, two):
        run("diff", "-r", one, two)
        self.assertEqual(self.facts(one), self.facts(two))

    def facts(self, folder):
        """Of each file and directory its type and, of files, size."""
        lines = run("find", ".", "-type", "f", "-printf", "f %P %s\\n", "-o",
                    "-printf", "%y %P\\n", cwd=folder).stdout.splitlines()
        return sorted(lines)

    def both(self, *command):
        """The program's output lines, sorted, in the copy and in the mount."""
        return [sorted(run(*command, cwd=folder).stdout.splitlines())
                for folder in (self.copy, self.mountpoint)]

    def assert_same_output(self, *command):
        expected, found = self.both(*command)
        self.assertEqual(found, expected)
        self.assertTrue(found)

    @skips_without("diff", "cmp")
    def test_diff_and_cmp(self):
        self.assert_same_trees(self.copy, self.mountpoint)
        run("cmp", os.path.join(self.copy, "team/models/odd.skops/big.bin"),
            self.in_mount("team/models/small.skops/big.bin"))

    def test_cp(self):
        run("cp", "-a", self.mountpoint + "/.", self.target)
        self.assert_same_trees(self.copy, self.target)
        self.assert_same_times()

    def assert_same_times(self):
        for path, folders, names in os.walk(self.mountpoint):
            for name in folders + names:
                full = os.path.join(path, name)
                copied = os.path.join(self.target, os.path.relpath(full, self.mountpoint))
                one, two = os.lstat(full), os.lstat(copied)
                self.assertEqual((one.st_mtime_ns, one.st_mode), (two.st_mtime_ns, two.st_mode),
                                 full)

    @skips_without("rsync")
    def test_rsync(self):
        run("rsync", "-a", self.mountpoint + "/", self.target)
        self.assert_same_trees(self.copy, self.target)
        self.assert_same_times()
        again = run("rsync", "-ai", "--checksum", self.mountpoint + "/", self.target)
        self.assertEqual(again.stdout, "")

    @skips_without("tar")
    def test_tar(self):
        archive = os.path.join(self.folder, "all.tar")
        run("tar", "-cf", archive, "-C", self.mountpoint, ".")
        run("tar", "-xf", archive, "-C", self.target)
        self.assert_same_trees(self.copy, self.target)
        run("tar", "--compare", "-f", archive, "-C", self.mountpoint)

    @skips_without("find")
    def test_find(self):
        self.assert_same_output("find", ".", "-printf", "%y %P\\n")
        self.assert_same_output("find", ".", "-type", "f", "-size", "+4k", "-printf", "%P %s\\n")
        self.assert_same_output("find", ".", "-type", "f", "-empty")
        self.assert_same_output("find", ".", "-noleaf", "-type", "d")

    def test_links_of_directories(self):
        """Either nobody has counted their sub-directories, or there are two less: nothing is left out."""
        archives.write_members(self.in_source("deep.skops"), {"a/b/c": b"c", "a/d/": b"", "a/e": b"e"})
        counted = 0
        for path, folders, _ in os.walk(self.mountpoint):
            links = os.stat(path).st_nlink
            counted += links > 1
            self.assertIn(links, (1, 2 + len(folders)), path)
        self.assertGreater(counted, 5)
        self.assertEqual(os.stat(self.in_mount("deep.skops", "a")).st_nlink, 4)

    def test_ls(self):
        def names_and_sizes(folder):
            lines = run("ls", "-lR", "-N", "--time-style=+", cwd=folder).stdout.splitlines()
            # type, size (of files), name; without modes, owners, links and totals
            found = []
            for line in lines:
                match = re.fullmatch(r"([-d])\S+ +\d+ +\S+ +\S+ +(\d+) +(.*)", line)
                if match:
                    kind, size, name = match.groups()
                    found.append((kind, size if kind == "-" else "", name))
                elif not line.startswith("total"):
                    found.append(line)
            return found

        expected = names_and_sizes(self.copy)
        self.assertEqual(names_and_sizes(self.mountpoint), expected)
        self.assertGreater(len(expected), 80)

    def test_du(self):
        expected = sum(os.stat(os.path.join(path, name)).st_size
                       for path, _, names in os.walk(self.copy) for name in names)
        apparent = run("du", "-sb", self.mountpoint).stdout.split()[0]
        self.assertEqual(int(apparent), expected)  # directories have no size
        # Stored members take their size; compressed ones what they take in the archive.
        stored, small = (
            int(run("du", "-s", "-B1", self.in_mount("team/models", name)).stdout.split()[0])
            for name in ("odd.skops", "small.skops"))
        total = sum(map(len, _ODD_NAMES.values()))
        self.assertTrue(total <= stored < total + 512 * len(_ODD_NAMES), stored)
        self.assertLess(small, total / 10)

    @skips_without("sha256sum")
    def test_sha256sum(self):
        self.assert_same_output("sh", "-c", "find . -type f -exec sha256sum {} +")

    @skips_without("rg")
    def test_ripgrep(self):
        self.assert_same_output("rg", "--count-matches", "--no-ignore", "needle", ".")
        self.assert_same_output("rg", "--files", "--no-ignore", "--hidden", ".")
        self.assert_same_output("rg", "--mmap", "--count", "needle", "./team")

    @skips_without("unzip")
    def test_times_are_those_of_unzip(self):
        """DOS times are local times, the time zone of whoever mounts."""
        name = "team/models/odd.skops"
        for zone in ("America/St_Johns", "Asia/Kolkata"):
            mountpoint = self.make_folder("mount-" + zone.replace("/", "-"))
            target = self.make_folder("target", zone)
            self.mount(mountpoint=mountpoint, env={"TZ": zone})
            run("unzip", "-q", self.in_source(name), "-d", target, env=dict(os.environ, TZ=zone))
            for path, _, names in os.walk(target):
                for file in names:
                    inside = os.path.relpath(os.path.join(path, file), target)
                    self.assertEqual(os.stat(os.path.join(mountpoint, name, inside)).st_mtime,
                                     os.stat(os.path.join(path, file)).st_mtime, inside)
            clock = time.strptime("2024-05-06 07:08:10", "%Y-%m-%d %H:%M:%S")
            shown = run("date", "-r", os.path.join(mountpoint, name, "plain.txt"), "+%F %T",
                        env=dict(os.environ, TZ=zone)).stdout.strip()
            self.assertEqual(shown, time.strftime("%Y-%m-%d %H:%M:%S", clock))

    @staticmethod
    def odd_times():
        """Of each member its DOS date and time, and what an extended timestamp says, if it has one.

        Left out is what unzip has from memory that is not its own (months 14 and 15), and that it takes
        2100 for a leap year.
        """
        def date(year, month, day):
            return (year - 1980) << 9 | month << 5 | day

        for month in range(14):
            for day in (0, 1, 28, 29, 30, 31):
                for year in (1980, 2023, 2024, 2099):
                    yield date(year, month, day), 5 << 11 | 2, None
        for hour in (0, 23, 24, 31):
            for minute in (0, 59, 60, 63):
                for second in (0, 29, 30, 31):
                    yield date(2024, 7, 7), hour << 11 | minute << 5 | second, None
        yield 0, 0, None
        for seconds in (-1 << 31, -5, -1, 0, 1, 1234567890, (1 << 31) - 1):
            for day in (date(1980, 1, 1), date(2024, 1, 1), date(2038, 1, 17), date(2038, 1, 18),
                        date(2099, 9, 9)):
                yield day, 0, seconds

    @skips_without("unzip")
    def test_odd_times_are_those_of_unzip(self):
        """What no calendar has, and what may be before 1970 or after 2038."""
        data, directory = b"", b""
        times = list(self.odd_times())
        for number, (date, clock, seconds) in enumerate(times):
            name = b"%d" % number
            extra = b"" if seconds is None else struct.pack("<HHBi", 0x5455, 5, 1, seconds)
            common = struct.pack("<HHHHHLLLHH", 20, 0, 0, clock, date, zlib.crc32(b"x"), 1, 1,
                                 len(name), len(extra))
            directory += (b"PK\1\2\x14\3" + common + struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16,
                                                                  len(data)) + name + extra)
            data += b"PK\3\4" + common + name + extra + b"x"
        archives.write(self.in_source("odd.skops"), data + directory + struct.pack(
            "<4sHHHHLLH", b"PK\5\6", 0, 0, len(times), len(times), len(directory), len(data), 0))
        for zone in ("America/St_Johns", "Asia/Kolkata", "UTC"):
            mountpoint = self.make_folder("mount-" + zone.replace("/", "-"))
            target = self.make_folder("target", zone)
            self.mount(mountpoint=mountpoint, env={"TZ": zone})
            run("unzip", "-q", self.in_source("odd.skops"), "-d", target, env=dict(os.environ, TZ=zone))
            for number, time_of in enumerate(times):
                self.assertEqual(os.stat(os.path.join(mountpoint, "odd.skops", str(number))).st_mtime,
                                 os.stat(os.path.join(target, str(number))).st_mtime,
                                 (zone, number, *map(str, time_of)))

    @skips_without("stat", "df")
    def test_stat_and_df(self):
        shown = run("stat", "-c", "%F %h %s %b %B", self.in_mount("team/models/odd.skops/big.bin"))
        size = len(_ODD_NAMES["big.bin"])
        self.assertEqual(shown.stdout.strip(), f"regular file 1 {size} {-(-size // 512)} 512")
        shown = run("df", "--output=source,target", self.mountpoint).stdout.splitlines()[1].split()
        self.assertEqual(shown, [self.source, self.mountpoint])

    @skips_without("getfattr")
    def test_attributes(self):
        def attributes(*parts):
            lines = run("getfattr", "-d", "--absolute-names", self.in_mount(*parts)).stdout
            return dict(re.findall(r'^user\.skopsfs\.(\w+)="(.*)"$', lines, re.MULTILINE))

        for name, method in (("odd.skops", "stored"), ("small.skops", "deflated")):
            with zipfile.ZipFile(self.in_source("team/models", name)) as archive:
                info = archive.getinfo("big.bin")
                data = info.header_offset + 30 + len(info.filename)
            found = attributes("team/models", name, "big.bin")
            self.assertEqual(found, {
                "archive": f"team/models/{name}", "member": "big.bin", "method": method,
                "offset": str(data), "compressed_size": str(info.compress_size),
                "crc32": f"{info.CRC:08x}"})
            self.assertEqual(attributes("team/models", name), {"archive": f"team/models/{name}"})
        deep = attributes("team/models/odd.skops/deep/er")
        self.assertEqual(deep, {"archive": "team/models/odd.skops", "member": "deep/er"})
        self.assertEqual(attributes("team"), {})

    def test_a_shell_in_the_mount(self):
        """Walking about, globs, pipes, wildcards; and nothing stays busy afterwards."""
        script = ("cd team/models/odd.skops && cat */er/and/*/still.txt | grep -c needle && "
                  "cd .. && ls")
        done = subprocess.run(["sh", "-c", script], cwd=self.mountpoint, check=True,
                              stdout=subprocess.PIPE)
        self.assertEqual(done.stdout, b"1000\nodd.skops\nsmall.skops\n")


if __name__ == "__main__":
    main()
