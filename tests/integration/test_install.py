"""skopsfs.install(): programs that call skops.io.load map what lies in a mount."""

import concurrent.futures
import io
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import unittest

import numpy
import yaml

import archives
from mount import Mount, MountTest, is_served, main, needs_root, run, until
from processes import OTHER_USER, bind, in_child, private_mounts
from test_loader import PACKAGE, STAND_IN, is_mapped, skops, skopsfs
from skopsfs import _install, _mounts

COUNT = 1 << 18  # of numbers, 2 MiB


def model_of(value):
    return {"weights": numpy.full(COUNT, float(value))}


def loads_mapped(path):
    try:
        return is_mapped(skops.io.load(path)["weights"])
    except IsADirectoryError:  # as skops itself says
        return False


# As MLflow 3.11 writes it.
MLMODEL = """\
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.skops
    predict_fn: predict
    python_version: 3.11.2
  sklearn:
    code: null
    pickled_model: model.skops
    serialization_format: skops
    sklearn_version: 1.2.1
    skops_trusted_types:
    - unittest.case.TestCase
mlflow_version: 3.11.2
model_uuid: 42318b3ceeba4ca1b2fb367057700509
"""


def load_as_mlflow_does(folder):
    """What mlflow.sklearn.load_model does with a local folder."""
    with open(os.path.join(folder, "MLmodel"), encoding="utf-8") as file:
        flavor = yaml.safe_load(file)["flavors"]["sklearn"]
    assert flavor["serialization_format"] == "skops"
    return skops.io.load(os.path.join(folder, flavor["pickled_model"]), trusted=flavor["skops_trusted_types"])


class Install(MountTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(skopsfs.uninstall)
        self.make_folder("source", "mlflow")
        archives.write(self.in_source("mlflow", "MLmodel"), b"flavors:\n  sklearn:\n    pickled_model: model.skops\n")
        self.plain, self.shown = self.in_source("mlflow", "model.skops"), self.in_mount("mlflow", "model.skops")
        skopsfs.dump(model_of(1), self.plain)

    def assert_loads(self, path, value, mapped):
        loaded = skops.io.load(path)["weights"]
        self.assertEqual(set(loaded), {float(value)})
        self.assertEqual(is_mapped(loaded), mapped, path)

    def test_paths_in_a_mount_and_in_its_source(self):
        self.mount()
        os.symlink("model.skops", self.in_source("mlflow", "latest.skops"))
        os.symlink(self.source, os.path.join(self.folder, "alias"))
        skopsfs.install()
        for path in (self.shown, self.plain, self.in_source("mlflow", "latest.skops"),
                     os.path.join(self.folder, "alias", "mlflow", "model.skops")):
            self.assert_loads(path, 1, True)
        before = os.getcwd()
        os.chdir(self.in_source("mlflow"))
        try:
            self.assert_loads("model.skops", 1, True)
        finally:
            os.chdir(before)

    def test_paths_of_every_kind(self):
        for name, value in (("m", 1.0), ("deep/m", 2.0)):
            os.makedirs(os.path.dirname(self.in_source(name)), exist_ok=True)
            skops.io.dump(numpy.full(1 << 18, value), self.in_source(name + ".skops"))
        os.makedirs(self.in_source("deep", "er"))
        os.symlink("deep/er", self.in_source("link"))
        os.symlink("mount/deep", os.path.join(self.folder, "alias"))
        self.mount()

        def check():
            os.chdir(self.in_source("link"))
            for path, value in ((self.in_mount("m.skops"), 1), (os.fsencode(self.in_mount("m.skops")), 1),
                                (pathlib.Path(self.in_mount("m.skops")), 1), ("../../../mount/./m.skops", 1),
                                (self.in_mount("m.skops") + "/", 1),
                                (os.path.join(self.folder, "alias/../m.skops"), 1)):
                model = skopsfs.load(path)
                self.assertEqual((is_mapped(model), set(model)), (True, {value}), path)
                self.assertEqual(skopsfs.get_untrusted_types(path), [])
                self.assertEqual(skopsfs.version(model), skopsfs.version(path))
            skopsfs.install()
            for path, value in (("../m.skops", 2), ("../../m.skops", 1), (self.in_source("link/../m.skops"), 2)):
                model = skops.io.load(path)
                self.assertEqual((is_mapped(model), set(model)), (True, {value}), path)
        in_child(check)

    def test_a_source_that_is_one_archive(self):
        self.mount(source=self.plain)
        skopsfs.install()
        self.assert_loads(self.plain, 1, True)
        self.assert_loads(self.mountpoint, 1, True)

    def test_white_space_in_names(self):
        """The kernel escapes some of it, and Python knows more."""
        for name in ("a b", "a\nb", "a\u3000b", "a\u2028b", b"a\xffb".decode(errors="surrogateescape")):
            with self.subTest(name):
                source, mountpoint = self.make_folder(name), self.make_folder("mount " + name)
                plain = os.path.join(source, "m.skops")
                skopsfs.dump(model_of(1), plain)
                self.mount(source=source, mountpoint=mountpoint)
                skopsfs.install()
                self.assertGreater(skopsfs.report(skops.io.load(plain)).saved, 0)

    @needs_root
    def test_a_part_of_a_mount_that_is_bound_elsewhere(self):
        self.mount()
        bound = self.make_folder("bound")

        def check():
            private_mounts()
            bind(self.in_mount("mlflow"), bound)
            with skopsfs.installed():
                self.assert_loads(self.plain, 1, True)
            shown = os.path.join(bound, "model.skops")
            run("umount", "-l", self.mountpoint)  # of which is then no other way to the part
            return _mounts.file_of_archive(shown), _mounts.mounted_archive(self.plain) == shown
        self.assertEqual(in_child(check), (self.plain, True))

    def test_a_mount_of_another_name(self):
        """Its server says what the source is."""
        self.mount("-o", "fsname=models")
        skopsfs.install()
        self.assert_loads(self.plain, 1, True)

    def test_a_mount_that_cannot_be_used(self):
        """skops loads the file, and a warning says what is wrong with the mount."""
        def check():
            skopsfs.install()
            with self.assertWarnsRegex(skopsfs.UnmappedWarning, "cannot be used: ") as seen:
                skops.io.load(self.plain)
            return seen.filename == __file__
        mount = Mount(self.source, self.mountpoint).start()
        self.addCleanup(mount.clear)
        if os.geteuid() == 0:  # which has mounted, and let nobody else in
            self.assertTrue(in_child(check, user=OTHER_USER))
        os.kill(mount.pid, signal.SIGKILL)  # its worker ends with it
        until(lambda: not is_served(self.mountpoint), "it is dead")
        self.assertTrue(in_child(check))

    def test_another_mount_at_the_same_place(self):
        """Which the kernel may give the numbers of the one before."""
        other = os.path.join(self.make_folder("other"), "model.skops")
        skopsfs.dump(model_of(2), other)
        skopsfs.install()
        for plain, value in ((self.plain, 1), (other, 2), (self.plain, 1)):
            mount = self.mount("-o", "fsname=models", source=os.path.dirname(plain))
            self.assert_loads(plain, value, True)
            self.assertEqual(mount.stop(), 0)

    def test_what_lies_in_no_mount_goes_to_skops(self):
        other = os.path.join(self.folder, "other.skops")
        skopsfs.dump(model_of(2), other)
        skopsfs.install()
        self.assert_loads(self.plain, 1, False)
        self.mount()
        self.assert_loads(other, 2, False)
        with open(self.plain, "rb") as file:
            self.assert_loads(file, 1, False)
            file.seek(0)
            self.assert_loads(io.BytesIO(file.read()), 1, False)
        with self.assertRaises(FileNotFoundError):
            skops.io.load(self.in_source("nowhere.skops"))

    def test_another_file_at_the_same_place_goes_to_skops(self):
        """As when something else is mounted over the source: here the mount is given the name of another one."""
        other = self.make_folder("other", "mlflow")
        skopsfs.dump(model_of(2), os.path.join(other, "model.skops"))
        self.mount("-o", f"fsname={os.path.dirname(other)}")
        skopsfs.install()
        self.assert_loads(os.path.join(other, "model.skops"), 2, False)

    def test_a_version_that_the_mount_does_not_know_yet(self):
        self.mount("--revalidate=3600")
        skopsfs.install()
        self.assert_loads(self.plain, 1, True)
        for value in range(2, 6):
            skopsfs.dump(model_of(value), self.plain)
            self.assertEqual(set(skops.io.load(self.plain)["weights"]), {float(value)})

    def test_replaced_archives(self):
        self.mount("--revalidate=0")
        skopsfs.install()
        for value in range(2, 6):
            skopsfs.dump(model_of(value), self.plain)
            self.assert_loads(self.plain, value, True)

    def test_undone(self):
        self.mount()
        functions = [getattr(skops.io, name) for name in ("load", "get_untrusted_types", "visualize")]
        skopsfs.install()
        skopsfs.install()
        self.assertEqual(skops.io.load.__name__, "load")
        with skopsfs.installed():
            skopsfs.uninstall()
            with skopsfs.installed():
                self.assert_loads(self.shown, 1, True)
            self.assert_loads(self.shown, 1, True)
        self.assertEqual([getattr(skops.io, name) for name in ("load", "get_untrusted_types", "visualize")], functions)
        self.assert_loads(self.plain, 1, False)
        skopsfs.uninstall()

    def test_in_threads(self):
        self.mount()
        def use(_):
            with skopsfs.installed():
                self.assert_loads(self.plain, 1, True)
        before = skops.io.load
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            list(threads.map(use, range(40)))
        self.assertIs(skops.io.load, before)

    def test_skopsfs_itself_is_as_before(self):
        self.mount()
        skopsfs.install()
        self.assertTrue(is_mapped(skopsfs.load(self.shown)["weights"]))
        with self.assertWarns(skopsfs.UnmappedWarning):
            skopsfs.load(self.plain)
        self.assertEqual(skopsfs.get_untrusted_types(self.plain), [])

    def test_what_else_skops_says_of_a_path(self):
        self.mount()
        skopsfs.install()
        seen = []
        def sink(nodes, *_, **__):
            seen.append(len(list(nodes)))
        for path in (self.shown, self.plain):
            self.assertEqual(skops.io.get_untrusted_types(file=path), [])
            skops.io.visualize(path, sink=sink)
        self.assertEqual(seen[0], seen[1])

    def test_a_child_that_is_forked_while_another_thread_installs(self):
        """Which that may do for as long as it imports skops."""
        self.mount()

        def check():
            with skopsfs.installed():
                return is_mapped(skops.io.load(self.plain)["weights"])
        with _install._lock:
            self.assertTrue(in_child(check))

    def test_processes_that_are_started_afterwards(self):
        """A forked one has it from its parent. One that is spawned begins anew, so a module says it."""
        self.mount()
        skopsfs.install()
        for method, is_known in (("fork", True), ("spawn", False)):
            with self.subTest(method=method):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    self.assertEqual(pool.apply(loads_mapped, (self.shown,)), is_known)
                    pool.apply(skopsfs.install)
                    self.assertTrue(pool.apply(loads_mapped, (self.shown,)))

    def test_a_folder_of_mlflow(self):
        for name, text in (("MLmodel", MLMODEL), ("conda.yaml", "name: mlflow-env\n"),
                           ("requirements.txt", "scikit-learn==1.2.1\nskops\n")):
            archives.write(self.in_source("mlflow", name), text.encode())
        skopsfs.dump({**model_of(1), "untrusted": unittest.TestCase}, self.plain)
        self.mount()
        with self.assertRaises(IsADirectoryError):
            load_as_mlflow_does(self.in_mount("mlflow"))
        skopsfs.install()
        for folder in (self.in_mount("mlflow"), self.in_source("mlflow")):
            model = load_as_mlflow_does(folder)
            self.assertTrue(is_mapped(model["weights"]), folder)
            self.assertEqual(set(model["weights"]), {1.0})
            self.assertIs(model["untrusted"], unittest.TestCase)

    def test_a_cache_of_a_hub(self):
        """By the path that hf_hub_download gives, also where the cache is known by another name."""
        repository = os.path.join("models--team--iris", "snapshots", "abc")
        os.makedirs(self.in_source(repository))
        os.rename(self.plain, os.path.join(self.make_folder("source", "models--team--iris", "blobs"), "5e1f"))
        os.symlink("../../blobs/5e1f", self.in_source(repository, "model.skops"))
        os.symlink(self.source, os.path.join(self.folder, "cache"))
        self.mount()
        skopsfs.install()
        for cache in (self.mountpoint, self.source, os.path.join(self.folder, "cache")):
            self.assert_loads(os.path.join(cache, repository, "model.skops"), 1, True)

    def test_a_program_that_knows_nothing_of_it(self):
        """As mlflow.sklearn.load_model does, in a folder that is mounted as a whole."""
        self.mount()
        archives.write(os.path.join(self.folder, "serve.py"), f"""
import os, sys, skops.io
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
folder = sys.argv[1]
with open(os.path.join(folder, "MLmodel")) as file:
    name = file.read().split()[-1]
weights = skops.io.load(os.path.join(folder, name))["weights"]
with open("/proc/self/maps") as maps:
    print(__name__, sys.argv[1:], sum(weights), any(line.rstrip().endswith(".npy") for line in maps))
""".encode())
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([PACKAGE, os.environ.get("PYTHONPATH", ""), STAND_IN]))
        for folder in (self.in_mount("mlflow"), self.in_source("mlflow")):
            for run in (["run", "serve.py"], ["run", "-m", "serve"]):
                done = subprocess.run([sys.executable, "-m", "skopsfs", *run, folder, "--port=1"], cwd=self.folder,
                                      env=environment, capture_output=True, text=True, timeout=120, check=False)
                self.assertEqual(done.stdout, f"__main__ ['{folder}', '--port=1'] {float(COUNT)} True\n", done.stderr)

    def test_modules_are_found_where_python_finds_them(self):
        """Also of a program that a link leads to, and where a program's folder is not to be looked in."""
        text = b"import sys\nprint([path for path in sys.path if path])\n"
        archives.write(os.path.join(self.make_folder("program"), "serve.py"), text)
        os.symlink("program/serve.py", os.path.join(self.folder, "link.py"))
        modules = os.pathsep.join([PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")]), STAND_IN])
        for words in (["link.py"], ["-m", "program.serve"]):
            for more in ({}, {"PYTHONSAFEPATH": "1"}):
                environment = {**os.environ, "PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1", **more}
                if more and "-m" in words:
                    environment["PYTHONPATH"] += os.pathsep + self.folder
                with self.subTest(words, more=more):
                    wanted, found = (run(sys.executable, *before, *words, cwd=self.folder, env=environment).stdout
                                     for before in ([], ["-m", "skopsfs", "run"]))
                    self.assertEqual(found, wanted)


if __name__ == "__main__":
    main()
