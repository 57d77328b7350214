"""The hidden directory .skopsfs at a mount's root, and the same metrics over HTTP."""

import contextlib
import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import archives
from children import METRICS, children_of
from mount import MountTest, binary, is_mounted, main, needs_root, run, until

CONTENT = archives.content(1)


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def metrics_in(text):
    """Of each sample of Prometheus' text format its value, by name and labels as they are written."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


def free_port():
    """Below those that the kernel gives to clients, so that none of them takes it meanwhile."""
    for port in random.SystemRandom().sample(range(20_000, 32_768), 1000):
        with socket.socket() as listening, contextlib.suppress(OSError):
            listening.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def fetch(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return answer.read().decode()


def fetched(port):
    """None when nobody answers yet."""
    try:
        return fetch(port)
    except OSError:
        return None


class Status(MountTest):
    def setUp(self):
        super().setUp()
        archives.write(self.in_source("a.skops"), archives.archive_of({"stored": CONTENT}))
        archives.write(self.in_source("b.skops"),
                       archives.archive_of({"deflated": CONTENT}, archives.DEFLATED))
        archives.write(self.in_source("bad.skops"), b"no archive")

    def metrics(self):
        return metrics_in(read(self.mountpoint, ".skopsfs", "metrics"))

    def status(self):
        return json.loads(read(self.mountpoint, ".skopsfs", "status.json"))

    def test_it_resolves_and_is_not_listed(self):
        self.mount()
        self.assertEqual(sorted(os.listdir(self.mountpoint)), ["a.skops", "b.skops", "bad.skops"])
        self.assertEqual(sorted(os.listdir(self.in_mount(".skopsfs"))),
                         ["health", "metrics", "status.json"])
        self.assertNotIn(".skopsfs", run("find", self.mountpoint, check=False).stdout)
        self.assertEqual(read(self.mountpoint, ".skopsfs", "health"), "ok\n")
        self.assertEqual(run("cat", self.in_mount(".skopsfs", "health")).stdout, "ok\n")

    def test_nothing_can_be_written(self):
        self.mount()
        for call in (lambda: open(self.in_mount(".skopsfs", "health"), "w"),
                     lambda: open(self.in_mount(".skopsfs", "new"), "w"),
                     lambda: os.remove(self.in_mount(".skopsfs", "health")),
                     lambda: os.mkdir(self.in_mount(".skopsfs", "folder"))):
            self.assert_errno(errno.EROFS, call)

    def test_bytes_and_requests_are_counted(self):
        self.mount()
        before = self.metrics()
        self.assertEqual(read_bytes(self.in_mount("a.skops", "stored")), CONTENT)
        self.assertEqual(read_bytes(self.in_mount("b.skops", "deflated")), CONTENT)
        self.assert_errno(errno.EIO, os.listdir, self.in_mount("bad.skops"))
        after = self.metrics()

        def grown(name):
            return after[name] - before.get(name, 0)
        self.assertEqual(grown('skopsfs_served_bytes_total{kind="stored"}'), len(CONTENT))
        self.assertEqual(grown('skopsfs_served_bytes_total{kind="decoded"}'), len(CONTENT))
        self.assertGreaterEqual(grown("skopsfs_source_read_bytes_total"), len(CONTENT))
        self.assertEqual(grown('skopsfs_request_errors_total{operation="opendir",error="EIO"}'), 1)
        self.assertEqual(after['skopsfs_archives{state="failed"}'], 1)
        for operation, least in (("read", 2), ("opendir", 1), ("lookup", 5)):
            # A request is counted once it has been answered, so a little later.
            label = f'{{operation="{operation}"}}'

            def counted(label=label, least=least):
                now = self.metrics()
                return (now[f"skopsfs_requests_total{label}"] >= least
                        and now[f"skopsfs_request_duration_seconds_count{label}"] >= least
                        and now[f"skopsfs_request_duration_seconds_sum{label}"] > 0)
            until(counted, f"{operation} is counted")

    def test_status_names_what_failed_and_why(self):
        mount = self.mount("-o", "noatime")
        self.assert_errno(errno.EIO, os.listdir, self.in_mount("bad.skops"))
        with open(self.in_mount("a.skops", "stored"), "rb") as file:
            file.read(1)
            status = self.status()
        self.assertEqual(status["pid"], mount.pid)
        self.assertEqual(status["worker_pid"], mount.worker())
        self.assertEqual(status["source"], self.source)
        self.assertEqual(status["mountpoint"], self.mountpoint)
        self.assertEqual(status["options"], ["-f", "-o", "noatime"])
        self.assertEqual(status["restarts"], 0)
        self.assertGreaterEqual(status["uptime_seconds"], 0)
        found = {archive["path"]: archive for archive in status["archives"]}
        self.assertEqual(found["bad.skops"]["state"], "failed")
        self.assertIn("no end of central directory record", found["bad.skops"]["reason"])
        self.assertEqual(found["a.skops"]["state"], "open")
        self.assertTrue(found["a.skops"]["current"])
        self.assertEqual(status["counts"]["failed"], 1)

    def test_counts_go_on_with_the_next_worker(self):
        mount = self.mount()
        read_bytes(self.in_mount("a.skops", "stored"))
        before = self.metrics()
        with open(self.in_mount(".skopsfs", "status.json"), encoding="utf-8") as opened:
            os.kill(mount.worker(), signal.SIGKILL)
            # What the worker had made for this reader is gone with it.
            self.assert_errno(errno.EIO, opened.read)
        after = self.metrics()
        self.assertEqual(after["skopsfs_worker_restarts_total"], 1)
        self.assertEqual(self.status()["restarts"], 1)
        name = 'skopsfs_served_bytes_total{kind="stored"}'
        self.assertEqual(after[name], before[name])
        self.assertEqual(after["skopsfs_start_time_seconds"], before["skopsfs_start_time_seconds"])
        self.assertGreater(after["skopsfs_worker_start_time_seconds"],
                           before["skopsfs_worker_start_time_seconds"])

    def test_health_fails_with_the_source(self):
        archive = self.in_source("a.skops")
        self.mount(source=archive)
        self.assertEqual(read(self.mountpoint, ".skopsfs", "health"), "ok\n")
        os.rename(archive, archive + ".gone")
        self.assert_errno(errno.ENOENT, read, self.mountpoint, ".skopsfs", "health")
        self.assertNotEqual(run("cat", self.in_mount(".skopsfs", "health"), check=False).returncode, 0)
        os.rename(archive + ".gone", archive)
        self.assertEqual(read(self.mountpoint, ".skopsfs", "health"), "ok\n")

    @needs_root
    def test_others_see_numbers_but_no_names(self):
        self.mount("-o", "allow_other")

        def as_nobody(name):
            return run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat",
                       self.in_mount(".skopsfs", name), check=False)
        self.assertEqual(as_nobody("health").stdout, "ok\n")
        self.assertIn("skopsfs_info", as_nobody("metrics").stdout)
        refused = as_nobody("status.json")
        self.assertEqual(refused.stdout, "")
        self.assertIn("Permission denied", refused.stderr)

    def test_how_many_may_have_it_open_is_bounded(self):
        self.mount()
        with contextlib.ExitStack() as stack:
            with self.assertRaises(OSError) as caught:
                for _ in range(1001):
                    stack.enter_context(open(self.in_mount(".skopsfs", "metrics"), "rb"))
            self.assertEqual(caught.exception.errno, errno.ENFILE)
            with open(self.in_mount("a.skops", "stored"), "rb") as file:
                self.assertEqual(file.read(), CONTENT)

        def answer():
            try:
                return self.status()
            except OSError as error:  # they are given back later
                self.assertEqual(error.errno, errno.ENFILE)
                return None
        self.assertEqual(until(answer, "it can be opened again")["restarts"], 0)

    def test_many_read_it_at_the_same_time(self):
        self.mount()
        failed = []

        def look():
            try:
                for _ in range(20):
                    self.assertIn("skopsfs_info", read(self.mountpoint, ".skopsfs", "metrics"))
                    self.status()
            except Exception as error:  # pylint: disable=broad-except
                failed.append(error)
        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])


class Http(MountTest):
    def metrics_process(self, mount):
        return until(lambda: children_of(mount.pid, METRICS),
                     "there is a process that serves metrics")[0]

    def test_the_same_as_in_the_mount(self):
        port = free_port()
        self.mount(f"--metrics-address={port}")
        info = f'source="{self.source}",mountpoint="{self.mountpoint}"}} 1\n'
        self.assertIn(info, fetch(port))
        self.assertIn(info, read(self.mountpoint, ".skopsfs", "metrics"))
        names = {re.sub(r"\{.*", "", name) for name in metrics_in(fetch(port))}
        own = {re.sub(r"\{.*", "", name)
               for name in metrics_in(read(self.mountpoint, ".skopsfs", "metrics"))}
        self.assertEqual(own, {name for name in names if name.startswith("skopsfs_")})
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch(port, "/status.json")
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()

    def test_it_answers_while_no_worker_does(self):
        """And tells since when."""
        port = free_port()
        mount = self.mount(f"--metrics-address=127.0.0.1:{port}")
        server = self.metrics_process(mount)
        worker = mount.worker()

        def updated():
            return metrics_in(fetch(port))["skopsfs_last_update_seconds"]
        until(updated, "it has counted for the first time")
        os.kill(worker, signal.SIGSTOP)
        try:
            stopped = updated()
            self.assertEqual(updated(), stopped)
        finally:
            os.kill(worker, signal.SIGCONT)
        until(lambda: updated() > stopped, "it counts again")

    def test_it_tells_of_a_request_that_hangs(self):
        """Of a source that does not answer: another skopsfs, which is stopped."""
        below = self.make_folder("below")
        archives.write_members(self.in_source("outer.skops"), {"a.skops": b"no archive"})
        lower = self.mount("--revalidate=0", mountpoint=below)
        port = free_port()
        self.mount("--revalidate=0", f"--metrics-address={port}",
                   source=os.path.join(below, "outer.skops"))

        def oldest():
            return metrics_in(fetch(port))["skopsfs_oldest_request_seconds"]
        until(lambda: oldest() == 0, "what the mount began with is done")
        os.kill(lower.worker(), signal.SIGSTOP)
        try:
            looking = subprocess.Popen(["ls", self.mountpoint], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            first = until(oldest, "a request is under way")
            until(lambda: oldest() > first, "it goes on being that")
        finally:
            os.kill(lower.worker(), signal.SIGCONT)
        looking.wait()
        until(lambda: oldest() == 0, "it has ended")

    def test_it_comes_back_and_keeps_no_powers(self):
        port = free_port()
        mount = self.mount(f"--metrics-address=localhost:{port}")
        server = self.metrics_process(mount)
        status = read(f"/proc/{server}/status")
        if os.geteuid() == 0:
            self.assertRegex(status, r"Uid:\t65534\t65534\t65534\t65534")
        self.assertRegex(status, r"CapEff:\t0000000000000000")
        self.assertRegex(status, r"NoNewPrivs:\t1")
        self.assertFalse([name for name in mount.descriptors(server) if "/dev/fuse" in name])
        os.kill(server, signal.SIGKILL)
        mount.wait_for_log("the metrics server at", "has ended")
        until(lambda: self.metrics_process(mount) != server, "there is another one")

        def answer():
            try:
                return fetch(port)
            except urllib.error.URLError:  # it does not listen yet
                return None
        self.assertIn("skopsfs_info", until(answer, "it answers"))

    def test_it_is_started_from_the_program_that_serves_after_an_upgrade(self):
        """Not from what has got the descriptor of the program from before."""
        archives.write(self.in_source("a.skops"), archives.archive_of({"m": CONTENT}))
        program = os.path.join(self.folder, "skopsfs")
        shutil.copy(binary(), program)
        port = free_port()
        mount = self.mount(f"--metrics-address={port}", command=[program])
        before = self.metrics_process(mount)
        first = mount.worker()
        os.rename(shutil.copy(binary(), program + ".new"), program)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("the upgrade is done")
        second = until(lambda: [p for p in mount.workers() if p != first], "it serves")
        mount.wait_for_log("the supervisor is the new program, too")
        server = until(lambda: next((p for p in children_of(mount.pid, METRICS) if p != before), None),
                       "who is that has one of its own")
        os.kill(second[0], signal.SIGKILL)
        mount.wait_for_log("another one takes over")
        opened = [open(self.in_mount("a.skops", "m"), "rb") for _ in range(3)]
        os.kill(server, signal.SIGKILL)
        again = until(lambda: self.metrics_process(mount) != server and self.metrics_process(mount),
                      "there is another one")
        self.assertEqual(os.readlink(f"/proc/{again}/exe"), program)
        for file in opened:
            file.close()

    def test_nothing_of_who_started_it_is_kept(self):
        """Whoever waits for the end of the output gets it."""
        port = free_port()
        done = run(binary(), f"--metrics-address={port}", self.source, self.mountpoint)
        self.assertEqual(done.stdout + done.stderr, "")
        self.addCleanup(run, "umount", self.mountpoint)
        self.assertIn("skopsfs_info", fetch(port))

    @needs_root
    def test_a_root_that_may_not_become_another_user_keeps_no_powers_either(self):
        port = free_port()
        mount = self.mount(f"--metrics-address={port}",
                           command=["setpriv", "--bounding-set=-setuid,-setgid", binary()])
        server = self.metrics_process(mount)
        self.assertRegex(read(f"/proc/{server}/status"), r"CapEff:\t0000000000000000")

    def test_half_requests_do_not_keep_others_waiting(self):
        port = free_port()
        self.mount(f"--metrics-address={port}")
        with contextlib.ExitStack() as stack:
            halves = []
            for _ in range(200):
                half = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                half.sendall(b"GET /metrics HTTP/1.1\r\n")
                halves.append(half)
            self.assertIn("skopsfs_info", fetch(port))
            # Not because the server has given them up meanwhile.
            for half in halves:
                with self.assertRaises(BlockingIOError):
                    half.recv(1, socket.MSG_DONTWAIT)

    def test_connections_that_do_nothing_go_when_there_are_too_many(self):
        port = free_port()
        self.mount(f"--metrics-address={port}")
        with contextlib.ExitStack() as stack:
            for _ in range(600):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            self.assertIn("skopsfs_info", fetch(port))

    def test_an_address_in_use_is_said_before_anything_is_mounted(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = subprocess.run([binary(), "-f", f"--metrics-address={port}", self.source,
                                   self.mountpoint], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"listening for metrics at 127.0.0.1:{port}: Address already in use",
                      done.stderr)
        self.assertFalse(is_mounted(self.mountpoint))

    def test_it_ends_with_the_mount(self):
        port = free_port()
        mount = self.mount(f"--metrics-address={port}", background=True)
        server = self.metrics_process(mount)
        run("umount", self.mountpoint)
        self.assertEqual(mount.wait(), 0)
        self.assertFalse(os.path.exists(f"/proc/{server}"))


if __name__ == "__main__":
    main()
