"""The Python package as a wheel: built and installed without a network, used outside of the repository."""

import email
import os
import pathlib
import re
import shutil
import sys
import tempfile
import zipfile

import numpy

from mount import MountTest, main, run
from test_loader import skops

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class Wheel(MountTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.place = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="skopsfs-test-")))
        # In a copy, since it is built beside its source.
        shutil.copytree(REPOSITORY / "src" / "python", cls.place / "source",
                        ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        run(sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation",
            "-w", str(cls.place), str(cls.place / "source"))
        cls.wheel, = cls.place.glob("*.whl")

    def test_what_it_says_of_itself(self):
        version = os.environ["SKOPSFS_VERSION"]
        self.assertEqual(self.wheel.name, f"skopsfs-{version}-py3-none-any.whl")
        about = f"skopsfs-{version}.dist-info"
        with zipfile.ZipFile(self.wheel) as wheel:
            names = set(wheel.namelist())
            metadata = email.message_from_bytes(wheel.read(f"{about}/METADATA"))
            licence = wheel.read(f"{about}/LICENSE")
        self.assertEqual(licence, (REPOSITORY / "LICENSE").read_bytes())
        modules = {f"skopsfs/{path.name}" for path in (REPOSITORY / "src/python/skopsfs").glob("*.py")}
        self.assertEqual({name for name in names if not name.startswith(about)}, {*modules, "skopsfs/py.typed"})
        for field, value in (("Name", "skopsfs"), ("Version", version), ("Author", "The skopsfs authors"),
                             ("License-File", "LICENSE"), ("Requires-Python", ">=3.9")):
            self.assertEqual(metadata[field], value)
        self.assertIn("License :: OSI Approved :: MIT License", metadata.get_all("Classifier"))
        wanted = [re.sub(r"[ ()'\"]", "", what) for what in metadata.get_all("Requires-Dist")]
        self.assertEqual(wanted, ["numpy", "skops>=0.10;extra==load"])

    def test_installed(self):
        environment = self.place / "environment"
        run(sys.executable, "-m", "venv", "--system-site-packages", str(environment))
        python = str(environment / "bin" / "python")
        run(python, "-m", "pip", "install", "--no-index", str(self.wheel))
        skops.io.dump({"weights": numpy.arange(float(1 << 18))}, self.in_source("m.skops"))
        self.mount()
        done = run(python, "-c", f"""
import skopsfs
model = skopsfs.load({self.in_mount("m.skops")!r}, require_mapped=True)
print(skopsfs.__file__, skopsfs.__version__, model["weights"].sum(), skopsfs.report(model).saved)
""", cwd=self.folder, env={"PYTHONPATH": str(pathlib.Path(skops.__file__).parents[1])})
        self.assertEqual(done.stdout.split(), [
            str(next(environment.glob("lib/*/site-packages")) / "skopsfs" / "__init__.py"),
            os.environ["SKOPSFS_VERSION"], str(float(sum(range(1 << 18)))), str(1 << 21)])


if __name__ == "__main__":
    main()
