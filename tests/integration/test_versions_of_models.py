"""Saving models where they are mapped, and learning that there is a new version."""

import errno
import os
import stat

import numpy
import scipy.sparse

from mount import MountTest, main, needs_root
from processes import OTHER_USER, in_child
from test_loader import is_mapped, skops, skopsfs


def model_of(value):
    """A model with 2 MiB of weights."""
    from sklearn.linear_model import LinearRegression
    model = LinearRegression()
    model.coef_ = numpy.full(1 << 18, float(value))
    model.intercept_ = float(value)
    return model


class VersionsOfModels(MountTest):
    def setUp(self):
        super().setUp()
        self.plain, self.path = self.in_source("m.skops"), self.in_mount("m.skops")
        skopsfs.dump(model_of(1), self.plain)

    def test_dump_replaces_in_one_step(self):
        self.mount("--revalidate=0")
        one = skopsfs.load(self.path)
        os.chmod(self.plain, 0o640)
        with open(self.plain, "rb") as before:
            skopsfs.dump(model_of(2), self.plain, compression=8)
            self.assertEqual(skops.io.load(before).intercept_, 1)
        self.assertTrue(is_mapped(one.coef_))
        self.assertEqual(set(one.coef_), {1.0})
        self.assertEqual(set(skopsfs.load(self.path).coef_), {2.0})
        self.assertEqual(skops.io.load(self.plain).intercept_, 2)
        self.assertEqual(stat.S_IMODE(os.stat(self.plain).st_mode), 0o640)
        self.assertEqual(os.listdir(self.source), ["m.skops"])

    def test_dump_makes_files_as_open_does(self):
        before = os.umask(0o027)
        try:
            skopsfs.dump(model_of(1), self.in_source("new.skops"))
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(os.stat(self.in_source("new.skops")).st_mode), 0o640)

    def test_dump_replaces_what_a_link_leads_to(self):
        os.rename(self.plain, self.in_source("blob"))
        os.symlink("blob", self.plain)
        skopsfs.dump(model_of(2), self.plain)
        self.assertTrue(os.path.islink(self.plain))
        self.assertEqual(skops.io.load(self.in_source("blob")).intercept_, 2)

    def test_dump_that_fails_leaves_what_was_there(self):
        with self.assertRaises(Exception):
            skopsfs.dump({"a": (part for part in "abc")}, self.plain)
        self.assertEqual(skops.io.load(self.plain).intercept_, 1)
        os.mkdir(self.in_source("folder"))
        with self.assertRaises(IsADirectoryError):
            skopsfs.dump(model_of(2), self.in_source("folder"))
        with self.assertRaises(FileNotFoundError) as raised:
            skopsfs.dump(model_of(2), self.in_source("no", "m.skops"))
        self.assertEqual(raised.exception.filename, self.in_source("no", "m.skops"))
        self.assertEqual(sorted(os.listdir(self.source)), ["folder", "m.skops"])

    @needs_root
    def test_dump_keeps_the_owner(self):
        """Or the user who serves it might not be able to read it any more."""
        os.chown(self.plain, OTHER_USER, OTHER_USER + 1)
        os.chmod(self.plain, 0o640)
        skopsfs.dump(model_of(2), self.plain)
        found = os.stat(self.plain)
        self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o777), (OTHER_USER, OTHER_USER + 1, 0o640))
        os.chmod(self.source, 0o777)
        in_child(skopsfs.dump, model_of(3), self.plain, user=OTHER_USER + 1)  # who may not give it to another
        found = os.stat(self.plain)
        self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o777), (OTHER_USER + 1, OTHER_USER + 1, 0o640))

    @needs_root
    def test_dump_where_the_folder_cannot_be_synced(self):
        """As its user may not open it."""
        os.chown(self.source, OTHER_USER, OTHER_USER)
        os.chmod(self.source, 0o300)
        with self.assertRaises(PermissionError):
            in_child(skopsfs.dump, model_of(2), self.plain, user=OTHER_USER)
        self.assertEqual(skops.io.load(self.plain).intercept_, 1)
        self.assertEqual(os.listdir(self.source), ["m.skops"])

    def test_dump_into_a_mount(self):
        self.mount()
        with self.assertRaises(OSError) as raised:
            skopsfs.dump(model_of(2), self.path)
        self.assertEqual(raised.exception.errno, errno.EROFS)
        self.assertIn("save it in the source folder", str(raised.exception))

    def test_versions(self):
        self.mount("--revalidate=0")
        one = skopsfs.load(self.path)
        self.assertEqual(skopsfs.version(one), skopsfs.version(self.path))
        self.assertFalse(skopsfs.changed(one))
        skopsfs.dump(model_of(2), self.plain)
        self.assertTrue(skopsfs.changed(one))
        self.assertNotEqual(skopsfs.version(one), skopsfs.version(self.path))
        two = skopsfs.load(self.path)
        self.assertFalse(skopsfs.changed(two))
        self.assertTrue(skopsfs.changed(one))
        os.unlink(self.plain)
        with self.assertRaises(FileNotFoundError):
            skopsfs.changed(two)

    def test_versions_of_plain_files(self):
        with self.assertWarns(skopsfs.UnmappedWarning):
            one = skopsfs.load(self.plain)
        self.assertFalse(skopsfs.changed(one))
        skopsfs.dump(model_of(2), self.plain)
        self.assertTrue(skopsfs.changed(one))

    def test_what_cannot_be_known_again(self):
        skopsfs.dump({"a": numpy.zeros(3)}, self.plain)
        self.mount()
        for model in (skopsfs.load(self.path), model_of(1), None):
            for ask in (skopsfs.version, skopsfs.changed):
                with self.assertRaisesRegex(TypeError, "skopsfs.version\\(path\\) before loading"):
                    ask(model)

    def test_models_that_are_gone_are_forgotten(self):
        from skopsfs._versions import _loaded
        self.mount()
        before = len(_loaded)
        model = skopsfs.load(self.path)
        self.assertEqual(len(_loaded), before + 1)
        del model
        self.assertEqual(len(_loaded), before)

    def test_what_to_trust(self):
        matrix = scipy.sparse.eye(3, format="csr")
        skopsfs.dump({"X": matrix}, self.plain)
        self.mount()
        wanted = skops.io.get_untrusted_types(file=self.plain)
        self.assertEqual(wanted, ["scipy.sparse._csr.csr_matrix"])
        self.assertEqual(skopsfs.get_untrusted_types(self.path), wanted)
        self.assertEqual(skopsfs.get_untrusted_types(self.plain), wanted)
        self.assertEqual((skopsfs.load(self.path, wanted)["X"] != matrix).nnz, 0)


if __name__ == "__main__":
    main()
