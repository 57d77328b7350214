"""The unit and the lines for fstab, as systemd's own tools read them."""

import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

from installed import Installed
from mount import run

MOST_EXPOSED = 5.0  # of 10, as systemd-analyze security counts
GENERATOR = "/lib/systemd/system-generators/systemd-fstab-generator"

# Each gives the service a mount namespace of its own, in which its mount would be alone.
NAMESPACES = ("PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateNetwork", "PrivateIPC",
              "ProtectSystem", "ProtectHome", "ProtectKernelTunables", "ProtectKernelModules",
              "ProtectKernelLogs", "ProtectControlGroups", "ProtectProc", "ProcSubset",
              "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths",
              "BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem", "RootDirectory", "RootImage",
              "MountImages", "ExtensionImages", "MountFlags", "DynamicUser", "LogNamespace",
              "NetworkNamespacePath", "IPCNamespacePath", "MountAPIVFS")


class Units(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for program in ("systemd-analyze", GENERATOR):
            if shutil.which(program) is None:
                raise unittest.SkipTest(f"{program} is not installed")
        cls.folder = tempfile.mkdtemp(prefix="skopsfs-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.installed = Installed(os.path.join(cls.folder, "installed"))

    def settings(self):
        with open(self.installed.unit(), encoding="utf-8") as file:
            return re.findall(r"^(\w+)=(.*)$", file.read(), re.MULTILINE)

    def verify(self, *units):
        """Systemd complains about nothing in them, nor about what they want."""
        done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units, check=False)
        self.assertEqual((done.stdout + done.stderr, done.returncode), ("", 0))

    def test_verify(self):
        instance = os.path.join(self.folder, "skopsfs@models.service")
        shutil.copy(self.installed.unit(), instance)
        self.verify(instance)

    def test_verify_would_complain(self):
        wrong = os.path.join(self.folder, "skopsfs@wrong.service")
        with open(self.installed.unit(), encoding="utf-8") as unit, \
                open(wrong, "w", encoding="utf-8") as file:
            file.write(unit.read().replace("KillMode=mixed", "KillMode=kindly"))
        with self.assertRaises(AssertionError):
            self.verify(wrong)

    def test_hardened(self):
        done = run("systemd-analyze", "security", "--offline=true", "--no-pager",
                   f"--threshold={int(MOST_EXPOSED * 10)}", self.installed.unit(), check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        print(done.stdout.strip().splitlines()[-1])

    def test_the_mount_is_for_everybody(self):
        found = {name for name, _ in self.settings()} & set(NAMESPACES)
        self.assertEqual(found, set(), "would hide the mount")

    def test_the_documents_that_it_names(self):
        """They are there, and so is all that they lead to."""
        settings = [value for name, value in self.settings() if name == "Documentation"]
        page = pathlib.Path(re.search(r"file:(\S+)", settings[0])[1])
        self.assertTrue(page.is_relative_to(self.installed.prefix) and page.is_file(), page)
        check = pathlib.Path(__file__).parents[1] / "style" / "check_links.py"
        done = run(sys.executable, "-B", str(check), str(page.parents[1]), check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_example_names_what_the_unit_reads(self):
        path = os.path.join(self.installed.prefix, "share/doc/skopsfs/examples/systemd/models.conf")
        with open(path, encoding="utf-8") as file:
            variables = dict(re.findall(r"^(\w+)=(.*)$", file.read(), re.MULTILINE))
        wanted = {name for key, value in self.settings() if key.startswith("Exec")
                  for name in re.findall(r"\$\{?(\w+)", value)} - {"MAINPID"}
        self.assertEqual(set(variables), wanted)
        self.assertEqual(
            self.installed.command("ExecStart", variables),
            [self.installed.binary, "-f", "-o", "allow_other", "--", "/models", "/mnt/skops"])

    def test_fstab(self):
        """What systemd makes of each line of the example."""
        example = os.path.join(self.installed.prefix, "share/doc/skopsfs/examples/systemd/fstab")
        with open(example, encoding="utf-8") as file:
            lines = [line for line in file if line.strip() and not line.startswith("#")]
        for number, line in enumerate(lines):
            with self.subTest(line=line):
                fstab = os.path.join(self.folder, "fstab")
                with open(fstab, "w", encoding="utf-8") as file:
                    file.write(line)
                made = os.path.join(self.folder, str(number))
                os.mkdir(made)
                run(GENERATOR, made, made, made, env=dict(os.environ, SYSTEMD_FSTAB=fstab))
                mount = os.path.join(made, "mnt-skops.mount")
                with open(mount, encoding="utf-8") as file:
                    text = file.read()
                source, place, kind, options = line.split()[:4]
                self.assertIn(f"\nWhat={source}\nWhere={place}\nType={kind}\nOptions={options}\n", text)
                automount = os.path.join(made, "mnt-skops.automount")
                self.assertEqual(os.path.exists(automount), "x-systemd.automount" in options)
                self.verify(mount, *([automount] if os.path.exists(automount) else []))


if __name__ == "__main__":
    unittest.main(verbosity=2)
