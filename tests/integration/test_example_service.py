"""The model server of packaging/kubernetes/examples, run by gunicorn as its manifests say."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess

import numpy

from manifests import REPOSITORY, container_of, pod_of, rendered
from mount import MountTest, main, until

MODEL = REPOSITORY / "tests" / "data" / "logistic_regression.skops"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


class ExampleService(MountTest):
    def command_of(self, manifest):
        """The command, with what is where the test has it."""
        container = container_of(pod_of(manifest), "workload")
        environment = {item["name"]: item["value"] for item in container["env"]}
        folder = self.make_folder("service")
        for thing in rendered(manifest):
            if thing["kind"] == "ConfigMap":
                for name, text in thing["data"].items():
                    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                        file.write(text)
        places = {"--chdir=/service": f"--chdir={folder}",
                  "--bind=0.0.0.0:8000": f"--bind=unix:{self.folder}/socket",
                  "--worker-tmp-dir=/tmp": f"--worker-tmp-dir={self.folder}"}
        for option in places:
            self.assertIn(option, container["command"])
        model = environment["MODEL"].replace("/skopsfs/models", self.mountpoint)
        return [places.get(word, word) for word in container["command"]], model

    def ask(self, path, body=None):
        connection = _Connection(f"{self.folder}/socket")
        try:
            connection.request("POST" if body is not None else "GET", path, body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def answers(self):
        try:
            return self.ask("/ready")[0] == 200
        except OSError:
            return False

    def check(self, manifest):
        command, model = self.command_of(manifest)
        with open(f"{self.folder}/log", "wb") as log:
            process = subprocess.Popen(command, env={**os.environ, "MODEL": model},
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or self.answers(), "it answers")
            self.assertIsNone(process.poll(), self.log())
            coefficients = numpy.load(f"{model}/by-name/coef_.npy")
            intercept = numpy.load(f"{model}/by-name/intercept_.npy")
            self.assertEqual(self.ask("/ready"),
                             (200, {"shape": list(coefficients.shape), "mapped": True}))
            row = numpy.arange(coefficients.shape[1], dtype=float)
            status, scores = self.ask("/", json.dumps([row.tolist()]))
            self.assertEqual(status, 200)
            self.assertTrue(numpy.allclose(scores, [row @ coefficients.T + intercept]))
            for bad in ("no json", "[[1, 2", '[["a"]]', json.dumps([[1.0]])):
                self.assertEqual(self.ask("/", bad)[0], 400)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(60), 0)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def log(self):
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def test_both_examples(self):
        shutil.copy(MODEL, self.in_source("model.skops"))
        self.mount()
        for manifest in ("examples/gunicorn-daemonset", "examples/gunicorn-sidecar"):
            with self.subTest(manifest):
                self.check(manifest)


if __name__ == "__main__":
    main()
