"""The Debian package: made by CPack as users would, judged by lintian, looked into."""

import glob
import gzip
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

from mount import run

ALWAYS = """
/usr/bin/skopsfs
/usr/bin/skopsfsctl
/lib/systemd/system/skopsfs@.service
/usr/libexec/skopsfs/detach_dead_mount
/usr/libexec/skopsfs/leave_to_next_start
/usr/share/man/man1/skopsfs.1.gz
/usr/share/man/man1/skopsfsctl.1.gz
/usr/share/bash-completion/completions/skopsfs
/usr/share/bash-completion/completions/skopsfsctl
/usr/share/zsh/vendor-completions/_skopsfs
/usr/share/fish/vendor_completions.d/skopsfs.fish
/usr/share/fish/vendor_completions.d/skopsfsctl.fish
/usr/share/doc/skopsfs/README.md
/usr/share/doc/skopsfs/copyright
/usr/share/doc/skopsfs/changelog.Debian.gz
/usr/share/doc/skopsfs/docs/operations.md
/usr/share/doc/skopsfs/packaging/systemd/fstab
/usr/share/doc/skopsfs/packaging/systemd/models.conf
/usr/lib/python3/dist-packages/skopsfs/__init__.py
/etc/skopsfs/README
""".split()


class DebianPackage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for program in ("lintian", "dpkg-shlibdeps", "cpack"):
            if shutil.which(program) is None:
                raise unittest.SkipTest(f"{program} is not installed")
        cls.folder = tempfile.mkdtemp(prefix="skopsfs-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.version = os.environ["SKOPSFS_VERSION"]
        run("cpack", "-G", "DEB", "-B", cls.folder, cwd=os.environ["SKOPSFS_BUILD_FOLDER"], guard=600)
        packages = glob.glob(os.path.join(cls.folder, "*.deb"))
        assert len(packages) == 1, packages
        cls.package = packages[0]
        cls.content = os.path.join(cls.folder, "content")
        run("dpkg-deb", "-x", cls.package, cls.content)

    def path(self, name):
        return os.path.join(self.content, name.lstrip("/"))

    def field(self, name):
        return run("dpkg-deb", "-f", self.package, name).stdout.strip()

    def test_lintian(self):
        # A first upload to Debian closes the bug that asked for it; this is none.
        done = run("lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0",
                   "--suppress-tags", "initial-upload-closes-no-bugs", "--info", self.package,
                   check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(glob.glob(self.path("/usr/share/lintian/overrides/*")), [],
                         "an override wants a reason, here")

    def test_name_and_version(self):
        machine = run("dpkg", "--print-architecture").stdout.strip()
        self.assertEqual(os.path.basename(self.package), f"skopsfs_{self.version}-1_{machine}.deb")
        self.assertEqual(self.field("Version"), f"{self.version}-1")
        with gzip.open(self.path("/usr/share/doc/skopsfs/changelog.Debian.gz"), "rt") as file:
            self.assertTrue(file.readline().startswith(f"skopsfs ({self.version}-1) "))
        said = run(self.path("/usr/bin/skopsfs"), "-V").stdout
        self.assertEqual(said.splitlines()[0], f"skopsfs {self.version}")
        page = self.path("/usr/share/man/man1/skopsfs.1.gz")
        with gzip.open(page, "rt") as file:
            self.assertIn(f'"skopsfs {self.version}"', file.readline())

    def test_files(self):
        listed = run("dpkg-deb", "-c", self.package).stdout.splitlines()
        owners = {line.split()[1] for line in listed}
        self.assertEqual(owners, {"root/root"})
        files = {line.split(None, 5)[5].split(" -> ")[0][1:] for line in listed if not line.startswith("d")}
        # Debian 12 has /lib as a link to /usr/lib.
        files |= {name.removeprefix("/usr") for name in files if name.startswith("/usr/lib/")}
        self.assertEqual(set(ALWAYS) - files, set())
        self.assertEqual([name for name in files if "__pycache__" in name], [])
        self.assertEqual({name.split("/")[1] for name in files}, {"etc", "lib", "usr"})

    def test_depends(self):
        depends = self.field("Depends")
        for name in ("fuse3", "libfuse3-3", "libzip4", "libc6", "libsystemd0", "libseccomp2"):
            self.assertIn(name, re.split(r"[ ,]+", depends))
        self.assertNotIn("python3", depends, "a server without Python is fine")
        self.assertIn("python3-numpy", self.field("Recommends"))

    def test_python_package(self):
        """Where Debian's Python looks for it."""
        installed = "/usr/lib/python3/dist-packages"
        self.assertIn(installed, run("/usr/bin/python3", "-c", "import sys; print(sys.path)").stdout)
        said = run("/usr/bin/python3", "-B", "-c", "import skopsfs; print(skopsfs.__version__, skopsfs.__file__)",
                   cwd="/", env={"PYTHONPATH": self.path(installed)}).stdout
        self.assertEqual(said.split(), [self.version, self.path(f"{installed}/skopsfs/__init__.py")])

    def test_no_path_of_this_machine(self):
        """What is installed names nothing of the folders that it was built in."""
        build = os.environ["SKOPSFS_BUILD_FOLDER"]
        found = run("grep", "-rlF", "--binary-files=text", build, self.content, check=False).stdout
        self.assertEqual(found, "")

    def test_conffiles_are_there(self):
        for name in run("dpkg-deb", "-I", self.package, "conffiles").stdout.split():
            self.assertTrue(os.path.isfile(self.path(name)), name)

    def test_links_between_documents(self):
        """Whatever a document refers to beside it came along."""
        check = pathlib.Path(__file__).parents[1] / "style" / "check_links.py"
        done = run(sys.executable, "-B", str(check), self.path("/usr/share/doc/skopsfs"), check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
