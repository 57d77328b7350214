"""What can be done with a model that skopsfs.load has loaded: trained on, saved, copied, handed to other
processes, beside everything else that a process does.

skops is the real one or a stand-in, as in test_loader.py.
"""

import copy
import multiprocessing
import os
import pickle
import resource
import socket
import subprocess
import warnings

import joblib
import numpy

from mount import MountTest, main
from processes import in_child
from test_loader import is_mapped, skops, skopsfs

MODES = ("r", "c")


def first_weight(model):
    return float(model.coef_[0, 0])


class LoadedModels(MountTest):
    def write_linear(self):
        """A fitted linear model with 1 MiB of weights; returns it and data like it was fitted to."""
        from sklearn.linear_model import SGDClassifier
        data = numpy.random.default_rng(1).standard_normal((20, 1 << 17))
        labels = [0, 1] * 10
        model = SGDClassifier(random_state=1, max_iter=2, tol=None).fit(data, labels)
        skops.io.dump(model, self.in_source("m.skops"))
        return model, data, labels

    def test_maps_hold_no_descriptor(self):
        """300 maps leave a process of 256 descriptors what it had."""
        skops.io.dump([numpy.full(9, float(number)) for number in range(300)], self.in_source("m.skops"))
        self.mount()

        def load():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
            before = os.listdir("/proc/self/fd")
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                model = skopsfs.load(self.in_mount("m.skops"), min_bytes=1)
            after = os.listdir("/proc/self/fd")
            connections = [socket.socketpair() for _ in range(5)]
            subprocess.run(["true"], check=True)
            return sum(map(is_mapped, model)), len(connections), len(after) - len(before)
        self.assertEqual(in_child(load), (300, 5, 0))

    def test_unmapped_when_the_last_array_goes(self):
        self.write_linear()
        mount = self.mount()
        for mode in MODES:
            with self.subTest(mode=mode):
                model = skopsfs.load(self.in_mount("m.skops"), mmap_mode=mode)
                part = model.coef_[0, 5:9]
                wanted = part.copy()
                del model
                self.assertTrue(is_mapped(part))
                self.assertTrue(numpy.array_equal(part, wanted))
                del part
        with open("/proc/self/maps", encoding="utf-8") as lines:
            self.assertNotIn(self.mountpoint, lines.read())
        self.assertEqual(mount.stop(), 0)

    def test_maps_that_can_be_written_reserve_no_memory(self):
        """Or models of more than the machine's memory could not be mapped so."""
        self.write_linear()
        self.mount()
        model = skopsfs.load(self.in_mount("m.skops"))
        with open("/proc/self/smaps", encoding="utf-8") as lines:
            own = lines.read().partition(self.mountpoint)[2]
        self.assertIn(" nr ", own[own.index("VmFlags"):].split("\n")[0])
        self.assertTrue(is_mapped(model.coef_))

    def test_trained_on_saved_loaded(self):
        wanted, data, labels = self.write_linear()
        self.mount()
        model = skopsfs.load(self.in_mount("m.skops"))
        self.assertTrue(is_mapped(model.coef_))
        model.partial_fit(data, labels)
        wanted.partial_fit(data, labels)
        skops.io.dump(model, self.in_source("again.skops"))
        for again in (skops.io.load(self.in_source("again.skops")),
                      skopsfs.load(self.in_mount("again.skops"))):
            self.assertTrue(numpy.array_equal(again.coef_, wanted.coef_))
            self.assertTrue(numpy.array_equal(again.predict(data), wanted.predict(data)))
        self.assertEqual(skops.io.get_untrusted_types(file=self.in_source("again.skops")), [])

    def test_masked_arrays_and_models_are_copied(self):
        model, data, _ = self.write_linear()
        masked = numpy.ma.masked_less(numpy.arange(float(1 << 17)), 5)
        skops.io.dump({"m": masked}, self.in_source("masked.skops"))
        self.mount()
        ways = {"copy": copy.copy, "deepcopy": copy.deepcopy,
                "pickle": lambda value: pickle.loads(pickle.dumps(value))}
        for mode in MODES:
            for way, of in ways.items():
                with self.subTest(mode=mode, way=way):
                    found = of(skopsfs.load(self.in_mount("masked.skops"), mmap_mode=mode)["m"])
                    self.assertTrue(numpy.array_equal(found.mask, masked.mask))
                    self.assertEqual(found.sum(), masked.sum())
                    found = of(skopsfs.load(self.in_mount("m.skops"), mmap_mode=mode))
                    self.assertTrue(numpy.array_equal(found.predict(data), model.predict(data)))

    def test_what_was_written_reaches_other_processes(self):
        self.write_linear()
        self.mount()
        model = skopsfs.load(self.in_mount("m.skops"))
        self.assertNotEqual(first_weight(model), 77)
        model.coef_[0, 0] = 77
        self.assertTrue(is_mapped(model.coef_))
        self.assertEqual(joblib.Parallel(n_jobs=2)(joblib.delayed(first_weight)(model) for _ in "ab"),
                         [77, 77])
        for method in ("fork", "spawn"):
            with self.subTest(method=method):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    self.assertEqual(pool.apply(first_weight, (model,)), 77)
        self.assertEqual(in_child(lambda: first_weight(model)), 77)


if __name__ == "__main__":
    main()
