"""python -m skopsfs load-test: what several processes that load one model take."""

import contextlib
import os
import signal
import subprocess
import sys
import zipfile
from unittest import mock

import numpy

from mount import MountTest, main, until
from test_loader import PACKAGE, STAND_IN, skops, skopsfs
from skopsfs import _load_test
from skopsfs._load_test import load_test

MIB = 1 << 20
SIZE = 64 * MIB


def is_running(pid):
    """Whether a process is there that has not ended."""
    with contextlib.suppress(FileNotFoundError):
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


class LoadTest(MountTest):
    def setUp(self):
        super().setUp()
        self.plain, self.shown = self.in_source("m.skops"), self.in_mount("m.skops")
        skops.io.dump({"large": numpy.ones(SIZE // 8), "small": numpy.ones(5)}, self.plain)

    def start(self, *words, text=True):
        process = subprocess.Popen(
            [sys.executable, "-B", "-m", "skopsfs", "load-test", *words], text=text, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(
                [PACKAGE, os.environ.get("PYTHONPATH", ""), STAND_IN])})
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def command(self, *words):
        """Its exit code, and what it prints and complains of."""
        process = self.start(*words)
        output, errors = process.communicate(timeout=600)
        return process.returncode, output, errors

    def child_of(self, process):
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            return int(next(iter(file.read().split()), 0))

    def assert_both(self, path, count):
        found = load_test(path, [], count)
        self.assertEqual(found.left_out, [])
        copied, mapped = found.ways
        self.assertEqual((copied.name, mapped.name), ("skops.io.load", "skopsfs.load"))
        for way in found.ways:
            self.assertEqual(way.arrays, SIZE + 40)
            self.assertEqual(len(way.seconds), count)
            self.assertGreater(min(way.seconds), 0)
            self.assertGreater(way.python, count * MIB)
        self.assertEqual((copied.own, mapped.own), (SIZE + 40, 40))
        # Those of a copy each, and those of one for all.
        self.assertGreater(copied.memory - copied.python, count * SIZE * 0.9)
        self.assertGreater(mapped.memory - mapped.python, SIZE * 0.9)
        self.assertLess(mapped.memory - mapped.python, SIZE * 1.5)
        return str(found)

    def test_either_way(self):
        self.mount()
        text = self.assert_both(self.shown, 3)
        self.assertIn("3 processes", text)
        self.assertIn("times less", text)
        self.assertIn("64.0 MiB", text)
        self.assert_both(self.plain, 2)
        code, output, errors = self.command(self.shown, "-n", "1")
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual([line.split()[0] for line in output.splitlines()[3:6]],
                         ["skops.io.load", "skopsfs.load", "times"])

    def test_a_source_that_is_one_archive(self):
        self.mount(source=self.plain)
        self.assert_both(self.mountpoint, 2)

    def assert_one(self, path, name, why):
        found = load_test(path, [], 1)
        self.assertEqual([way.name for way in found.ways], [name])
        self.assertEqual(len(found.left_out), 1)
        self.assertIn(why, found.left_out[0])
        self.assertIn(found.left_out[0], str(found))
        self.assertNotIn("times less", str(found))

    def test_a_file_that_no_mount_shows(self):
        self.assert_one(self.plain, "skops.io.load", "mount its folder")

    def test_an_archive_whose_file_is_not_found(self):
        self.mount("-o", "fsname=/nowhere")
        self.assert_one(self.shown, "skopsfs.load", "not found")
        folder = self.make_folder("unzipped")
        with zipfile.ZipFile(self.plain) as archive:
            archive.extractall(folder)
        self.assert_one(folder, "skopsfs.load", "not found")

    def test_another_version_is_no_file_of_it(self):
        self.mount("--revalidate=3600")
        os.stat(self.shown)
        os.utime(self.plain, (1, 1))
        self.assert_one(self.shown, "skopsfs.load", "not found")

    def test_copies_that_would_not_fit(self):
        self.mount()
        with mock.patch.object(_load_test, "_free_memory", return_value=2 * SIZE):
            self.assert_one(self.shown, "skopsfs.load", "smaller -n")

    def test_errors_on_one_line(self):
        with open(self.plain, "rb") as file:
            data = file.read()
        last = data.rindex(numpy.ones(5).tobytes())
        with open(self.in_source("damaged.skops"), "wb") as file:
            file.write(data[:last] + b"\1" + data[last + 1:])
        skops.io.dump({"type": numpy.random.RandomState}, self.in_source("type.skops"))
        self.mount()
        for words, why in (([self.in_mount("damaged.skops")], "CRC-32"), ([self.in_mount("none.skops")], "none.skops"),
                           ([self.mountpoint], "give one of its archives"),
                           ([self.in_mount("m.skops", "schema.json")], "schema.json: "),
                           ([self.in_mount("type.skops")], "--trust numpy.random.mtrand.RandomState")):
            with self.subTest(words=words):
                code, output, errors = self.command(*words, "-n", "1")
                self.assertEqual((code, output, errors.count("\n")), (1, "", 1), errors)
                self.assertIn(why, errors)
        self.assertEqual(self.command(self.shown, "-n", "0")[0], 2)

    def test_a_path_that_is_no_text(self):
        path = self.in_source(b"\xff.skops".decode(errors="surrogateescape"))
        os.link(self.plain, path)
        with mock.patch.dict(os.environ, PYTHONIOENCODING="utf-8:strict"):
            process = self.start(path, "-n", "1", text=False)
        output, errors = process.communicate(timeout=600)
        self.assertEqual((process.returncode, output.splitlines()[0].split(b": ")[0]), (0, os.fsencode(path)), errors)

    def test_a_process_that_is_killed(self):
        self.mount()
        process = self.start(self.shown)
        os.kill(until(lambda: self.child_of(process), "it has started one"), signal.SIGKILL)
        output, errors = process.communicate(timeout=600)
        self.assertEqual((process.returncode, output), (1, ""))
        self.assertIn("SIGKILL", errors)

    def test_interrupted(self):
        self.mount()
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)):
            with self.subTest(number=number):
                process = self.start(self.shown)
                child = until(lambda process=process: self.child_of(process), "it has started one")
                self.assertTrue(is_running(child))
                process.send_signal(number)
                self.assertEqual(process.wait(600), code)
                self.assertNotIn("Traceback", process.stderr.read())
                until(lambda child=child: not is_running(child), "its process has ended")


if __name__ == "__main__":
    main()
