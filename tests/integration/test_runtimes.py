"""The runtimes of MLServer and KServe in packaging/examples, with stand-ins for both: they are type-checked, and they load a
model, answer, and follow the archive."""

import asyncio
import importlib
import json
import logging
import os
import pathlib
import pickle
import subprocess
import sys

import archives
from mount import MountTest, main, run, until
from processes import in_child
from test_loader import PACKAGE, STAND_IN, is_mapped, skopsfs
from test_serving import answer_of, model_of

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "packaging" / "examples"
STUBS = str(REPOSITORY / "tests" / "support" / "stubs")


class Runtimes(MountTest):
    def setUp(self):
        super().setUp()
        self.plain, self.path = self.in_source("model.skops"), self.in_mount("model.skops")
        skopsfs.dump(model_of(1), self.plain)

    def check_types(self, example, mistake):
        """It passes, and with a mistake it does not."""
        text = (EXAMPLES / example).read_text(encoding="utf-8")
        self.assertIn(mistake[0], text)
        wrong = os.path.join(self.folder, "wrong.py")
        archives.write(wrong, text.replace(*mistake).encode())
        for path, code in ((EXAMPLES / example, 0), (wrong, 1)):
            done = run("mypy", "--strict", "--ignore-missing-imports", "--cache-dir=/dev/null", path, check=False,
                       env={**os.environ, "MYPYPATH": os.pathsep.join([STUBS, PACKAGE])})
            self.assertEqual(done.returncode, code, done.stdout)

    def test_types(self):
        self.check_types("mlserver/skops_runtime.py", ("get_model_uri(self.settings)", "get_model_uri(self.name)"))
        self.check_types("kserve/skops_model.py", ("rows), self.name)", "rows))"))

    def in_place(self, example, function):
        """Calls it with the example's module, in a process of its own."""
        def call():
            folder, name = os.path.split(example)
            sys.path[:0] = [str(EXAMPLES / folder), STUBS]
            return function(importlib.import_module(name))
        return in_child(call)

    def follow(self, model, answer):
        """`answer` gives that of each version, whatever lies there in between; `model` is the one that answers."""
        self.assertTrue(is_mapped(model().X_fit_))
        self.assertEqual(answer(), answer_of(1))
        for version in (2, 3):
            skopsfs.dump(model_of(version), self.plain)
            self.assertEqual(answer(), answer_of(version))
            self.assertTrue(is_mapped(model().X_fit_))
        logging.disable()
        for change in (lambda: archives.write(self.plain, b"no archive"), lambda: os.unlink(self.plain)):
            change()
            self.assertEqual(answer(), answer_of(3))
        skopsfs.dump(model_of(4), self.plain)
        until(lambda: answer() == answer_of(4), "it has the new version")

    def test_mlserver(self):
        self.mount("--revalidate=0")
        settings = json.loads((EXAMPLES / "mlserver" / "model-settings.json").read_text(encoding="utf-8"))
        self.assertEqual(settings["implementation"], "skops_runtime.SkopsModel")
        uri = settings["parameters"]["uri"].replace("/mnt/skops", self.mountpoint)
        self.assertEqual(uri, self.path)

        def use(module):
            from mlserver import ModelParameters, ModelSettings
            from mlserver.types import InferenceRequest, RequestInput
            served = module.SkopsModel(ModelSettings(settings["name"], ModelParameters(uri)))
            self.assertTrue(asyncio.run(served.load()))

            def answer():
                response = asyncio.run(served.predict(InferenceRequest([RequestInput("rows", [1, 2], "FP64", [1, 1])])))
                self.assertEqual(response.model_name, "model")
                return response.outputs[0].data[0]
            self.follow(lambda: served._model, answer)
        self.in_place("mlserver/skops_runtime", use)

    def test_kserve(self):
        self.mount("--revalidate=0")

        def use(module):
            served = module.SkopsModel("model", self.path)
            self.assertTrue(served.load() and served.ready)
            # As it comes to a worker, without the arrays.
            pickled = pickle.dumps(served)
            self.assertLess(len(pickled), 10_000)
            served = pickle.loads(pickled)
            self.assertTrue(served.ready)
            self.follow(lambda: served._model, lambda: asyncio.run(served.predict({"instances": [[1, 1]]}))["predictions"][0])
        self.in_place("kserve/skops_model", use)

    def test_kserve_as_a_program(self):
        self.mount()
        modules = [STUBS, PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")]), STAND_IN]
        done = subprocess.run([sys.executable, EXAMPLES / "kserve" / "skops_model.py", "--model_name=iris", f"--model_path={self.path}"],
                              env=dict(os.environ, PYTHONPATH=os.pathsep.join(modules)), capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.stdout, f"iris True {{'predictions': [{answer_of(1)}]}}\n", done.stderr)


if __name__ == "__main__":
    main()
