"""The recipes of docs/serving.md: its blocks, as they are, with real servers and workers. /mnt/skops stands for
the mount."""

import http.client
import importlib
import json
import logging
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import unittest

import numpy
from sklearn.kernel_ridge import KernelRidge

import archives
from mount import HANG, MountTest, main, until
from processes import in_child
from test_loader import PACKAGE, STAND_IN, is_mapped, skopsfs

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "serving.md"
BLOCKS = dict(re.findall(r"^<!-- run by test_serving\.py: (\S+) -->\n```python\n(.*?)^```$",
                         PAGE.read_text(encoding="utf-8"), re.M | re.S))
ROWS = 1 << 17  # of the model, 2 MiB and 1 MiB

# What the servers run: the page's application, which also says who answers.
SEEN = {"service": """
import os
from service import app as answer

def app(environ, start_response):
    def start(status, headers):
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))])
    return answer(environ, start)
""", "api": """
import os
from api import app

@app.middleware("http")
async def add_worker(request, call_next):
    answer = await call_next(request)
    answer.headers["X-Worker"] = str(os.getpid())
    return answer
"""}

# Runs a block, then again when it is told to.
TWICE = """
import runpy, sys
for _ in range(2):
    found = runpy.run_path(sys.argv[1])["found"]
    print(sorted({float(number) for part in found for number in part}), sum(map(len, found)), flush=True)
    sys.stdin.readline()
"""


def model_of(version):
    """Two arrays, whose product is an answer: of two versions, it would be that of neither."""
    model = KernelRidge().fit(numpy.eye(2), [0, 1])
    model.X_fit_ = numpy.full((ROWS, 2), float(version))
    model.dual_coef_ = numpy.full(ROWS, float(version))
    return model


def answer_of(version):
    """For a row of two ones."""
    return 2.0 * ROWS * version ** 2


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=HANG)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(HANG)
        self.sock.connect(self._path)


def ask(path):
    """Who answers, and what."""
    connection = _Connection(path)
    try:
        connection.request("POST", "/", json.dumps([[1, 1]]), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {body[:1000]}")
        [number] = json.loads(body)
        return int(answer.headers["X-Worker"]), number
    finally:
        connection.close()


class Asking:
    """Threads that ask a server without a pause, until the end of the context."""

    def __init__(self, path, threads=3):
        self.last = {}  # answer, by worker
        self.answers = set()
        self.failures = []
        self._path = path
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self):
        while not self._end.is_set():
            try:
                worker, number = ask(self._path)
            except Exception as error:  # whatever it is, a request failed
                self.failures.append(repr(error))
                return
            self.last[worker] = number
            self.answers.add(number)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def all_say(self, version, workers):
        return self.failures or (set(self.last) >= workers
                                 and {self.last[worker] for worker in workers} == {answer_of(version)})


class Serving(MountTest):
    def setUp(self):
        super().setUp()
        self.plain, self.path = self.in_source("model.skops"), self.in_mount("model.skops")
        self.place = self.make_folder("place")
        self.socket = os.path.join(self.folder, "socket")
        for name, text in BLOCKS.items():
            self.write(name, text.replace("/mnt/skops", self.mountpoint))
        modules = [self.place, PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")]), STAND_IN]
        self.environment = dict(os.environ, PYTHONPATH=os.pathsep.join(modules))
        self.save(1)

    def write(self, name, text):
        archives.write(os.path.join(self.place, name), text.encode())

    def save(self, version):
        skopsfs.dump(model_of(version), self.plain)

    def save_shown(self, version):
        """Until the mount shows it."""
        before = skopsfs.version(self.path)
        self.save(version)
        until(lambda: skopsfs.version(self.path) != before, "the new version is shown")

    def start(self, *command):
        """A program, until the test ends; returns it with what it prints."""
        log = open(os.path.join(self.folder, "log-" + os.path.basename(command[0])), "w+b")
        self.addCleanup(log.close)
        process = subprocess.Popen(command, cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
        self.addCleanup(self.end, process)
        return process, lambda: os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(HANG)
            finally:
                process.kill()
                process.wait()

    def serve(self, module, *options, command=None):
        """Starts the command that the block's first line has, or another; returns it and its workers."""
        self.write("seen.py", SEEN[module])
        command = shlex.split(command or BLOCKS[module + ".py"].splitlines()[0].partition(": ")[2])
        self.assertEqual(command[-1], module + ":app")
        process, log = self.start(command[0], *options, *command[1:-1], "seen:app")
        count = int(command[command.index("--workers") + 1])
        workers = set()

        def all_answer():
            self.assertIsNone(process.poll(), log())
            try:
                worker, number = ask(self.socket)
            except OSError:  # it starts
                return False
            self.assertEqual(number, answer_of(1))
            workers.add(worker)
            return len(workers) == count
        until(all_answer, "all workers answer")
        return process, workers

    def check_replacing(self, workers):
        with Asking(self.socket) as asking:
            for version in range(2, 5):
                self.save(version)
                until(lambda: asking.all_say(version, workers), f"all workers answer with version {version}")
        self.assertEqual(asking.failures, [])
        self.assertEqual(asking.answers, {answer_of(version) for version in range(1, 5)})
        self.assertEqual(set(asking.last), workers, "none was started anew")

    def test_gunicorn(self):
        self.mount()
        process, workers = self.serve("service", f"--bind=unix:{self.socket}", f"--worker-tmp-dir={self.folder}")
        self.check_replacing(workers)
        process.terminate()
        self.assertEqual(process.wait(HANG), 0)

    def test_gunicorn_preload(self):
        self.mount()
        process, before = self.serve("service", f"--bind=unix:{self.socket}", f"--worker-tmp-dir={self.folder}", "--preload")
        with Asking(self.socket) as asking:
            until(lambda: asking.all_say(1, before), "all workers answer")
            self.save(2)

            def new_workers_say_so():
                """Whether the master had the new one when it was told."""
                known = set(asking.last) | before
                process.send_signal(signal.SIGHUP)
                until(lambda: asking.failures or len(set(asking.last) - known) >= len(before), "there are new workers")
                return asking.failures or answer_of(2) in asking.answers
            until(new_workers_say_so, "workers have the new version")
        self.assertEqual(asking.failures, [])
        self.assertEqual(asking.answers, {answer_of(1), answer_of(2)})
        self.assertEqual({asking.last[worker] for worker in before}, {answer_of(1)})

    def test_uwsgi(self):
        self.mount()
        [command] = re.findall("`(uwsgi .*?)`", PAGE.read_text(encoding="utf-8"))
        _, workers = self.serve("service", "--plugin=python3", f"--http-socket={self.socket}", "--die-on-term", command=command)
        self.check_replacing(workers)

    def test_uvicorn(self):
        self.mount()
        process, workers = self.serve("api", "--uds", self.socket)
        self.check_replacing(workers)
        process.terminate()
        process.wait(HANG)

    def in_place(self, function):
        """In a process of its own that has the blocks as modules."""
        def call():
            sys.path.insert(0, self.place)
            return function()
        return in_child(call)

    def current(self):
        return importlib.import_module("current").Current(self.path, seconds=0.01)

    def test_a_request_in_flight(self):
        mount = self.mount("--revalidate=0")

        def replaced_files():
            return [name for name in mount.descriptors() if name.endswith("model.skops (deleted)")]

        def request():
            current = self.current()
            model = current.model
            self.assertTrue(is_mapped(model.X_fit_) and is_mapped(model.dual_coef_))
            self.save(2)
            until(lambda: current.model is not model, "there is a new model")
            self.assertEqual(current.model.predict([[1, 1]]), answer_of(2))
            self.assertTrue(replaced_files())
            self.assertEqual(model.predict([[1, 1]]), answer_of(1))  # of pages that nobody has read before
            del model
            until(lambda: not replaced_files(), "the old archive is let go of")
            self.assertEqual(current.model.predict([[1, 1]]), answer_of(2))
        self.in_place(request)

    def test_what_cannot_be_loaded(self):
        self.mount("--revalidate=0")

        def serve():
            logged = []
            handler = logging.Handler()
            handler.emit = lambda record: logged.append(f"{record.getMessage()}: {record.exc_info[1]}")
            logging.getLogger().addHandler(handler)
            current = self.current()
            model = current.model
            for change, why in ((lambda: archives.write(self.plain, b"PK no archive"), "no end of central directory"),
                                (lambda: skopsfs.dump({"a": unittest.TestCase}, self.plain), "unittest.case.TestCase"),
                                (lambda: os.unlink(self.plain), "No such file")):
                change()
                until(lambda: why in logged[-1] if logged else False, f"it is logged: {why}")
                self.assertIn(f"{self.path}: there is no new model: ", logged[-1])
                self.assertIs(current.model, model)
                self.assertEqual(current.model.predict([[1, 1]]), answer_of(1))
            self.save(2)
            until(lambda: current.model is not model, "there is a new model")
            self.assertEqual(current.model.predict([[1, 1]]), answer_of(2))
        self.in_place(serve)

    def test_a_worker_of_batches_loads_once(self):
        self.mount()

        def batch():
            work, loads = importlib.import_module("work"), []
            load = skopsfs.load
            skopsfs.load = lambda *arguments, **more: loads.append(1) or load(*arguments, **more)
            for version in (1, 2):
                for _ in range(3):
                    self.assertEqual(work.predict([[1, 1]]), answer_of(version))
                self.assertEqual(len(loads), version)
                if version == 1:
                    self.save_shown(2)
        self.in_place(batch)

    def check_twice(self, block):
        """It gives the new version's answers when it is run again, in the same process."""
        with subprocess.Popen([sys.executable, "-c", TWICE, block], cwd=self.place, env=self.environment,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                for version in (1, 2):
                    self.assertEqual(process.stdout.readline(), f"[{answer_of(version)}] 80\n")
                    if version == 1:
                        self.save_shown(2)
                    print(file=process.stdin, flush=True)
                self.assertEqual(process.wait(HANG), 0)
            finally:
                process.kill()

    def test_joblib(self):
        self.mount()
        self.check_twice("with_joblib.py")

    def test_dask(self):
        self.mount()
        file = os.path.join(self.folder, "scheduler.json")
        _, log = self.start("dask-scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={file}")
        until(lambda: os.path.exists(file) and os.path.getsize(file), f"there is a scheduler: {log()}")
        self.start("dask-worker", f"--scheduler-file={file}", "--nworkers=2", "--nthreads=1", "--no-dashboard",
                   f"--local-directory={self.folder}/dask")
        with open(file, encoding="utf-8") as opened:
            address = json.load(opened)["address"]
        text = BLOCKS["with_dask.py"]
        self.assertIn("scheduler:8786", text)
        self.write("with_dask.py", text.replace("scheduler:8786", address))
        self.check_twice("with_dask.py")

    def test_all_blocks_are_run(self):
        self.assertEqual(set(BLOCKS), {"current.py", "service.py", "api.py", "work.py", "with_joblib.py", "with_dask.py"})


if __name__ == "__main__":
    main()
