"""The session: start, in front and in the background, and every way to end."""

import errno
import os
import resource
import signal
import subprocess
import threading
import time
import zipfile

import archives
from archives import MEMBER, PAGE, read
from mount import (Mount, MountTest, background_pid, become_subreaper, binary, detach, is_mounted,
                   main, mounts, needs_root, run, until)
from processes import lose_resource_power
from read_ahead import read_ahead
from test_status import free_port


# What ends a mount, and what is not for it. SIGKILL and those of a program that is broken (SIGABRT,
# SIGSEGV...) end the process and leave a dead mount; the others have to do with terminals.
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPWR, signal.SIGXCPU)
IGNORED = (signal.SIGUSR1, signal.SIGALRM, signal.SIGPIPE, signal.SIGIO, signal.SIGVTALRM,
           signal.SIGPROF, signal.SIGXFSZ, 16, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1))


def listing(folder):
    return sorted((path, sorted(folders), sorted(names))
                  for path, folders, names in os.walk(folder))


class Session(MountTest):
    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)
        self.member = self.in_mount("a.skops", MEMBER)

    def assert_ended(self, mount, code=0):
        self.assertEqual(mount.wait(), code)
        self.assertFalse(is_mounted(self.mountpoint))
        self.assertEqual(os.listdir(self.mountpoint), [])

    # Start.

    def test_in_the_background(self):
        """It returns 0 when the mount can be used, and not before."""
        for _ in range(10):
            with Mount(self.source, self.mountpoint, background=True) as mount:
                self.assertEqual(read(self.member), archives.content(1))
                self.assertNotEqual(os.getsid(mount.pid), os.getsid(0))
                for pid in mount.processes():
                    self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
                    for stream in range(3):
                        self.assertEqual(os.readlink(f"/proc/{pid}/fd/{stream}"), "/dev/null")
                self.assertEqual(mount.log(), "")

    def test_whoever_reads_its_output_is_not_kept_waiting(self):
        """As in $(skopsfs ...): the background process lets go of the pipe."""
        become_subreaper()
        script = 'out=$("$0" "$1" "$2" 2>&1) && echo "started:$out"'
        done = run("sh", "-c", script, binary(), self.source, self.mountpoint)
        self.addCleanup(detach, self.mountpoint)
        self.assertEqual(done.stdout, "started:\n")
        self.assertTrue(is_mounted(self.mountpoint))
        pid = until(lambda: background_pid(self.mountpoint), "its process is found")
        run("umount", self.mountpoint)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_relative_paths(self):
        for background in (False, True):
            with Mount("source", "mount", cwd=self.folder, background=background):
                self.assertEqual(read(self.member), archives.content(1))
                archives.write_version(self.in_source("later.skops"), 2)
                self.assertEqual(read(self.in_mount("later.skops", MEMBER)), archives.content(2))
            os.unlink(self.in_source("later.skops"))
            with Mount("source/../source/a.skops", "./mount/", cwd=self.folder,
                       background=background):
                self.assertEqual(read(self.in_mount(MEMBER)), archives.content(1))

    def test_dots_as_paths(self):
        with Mount(".", "../mount", cwd=self.source):
            self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])
        with Mount("../source", ".", cwd=self.mountpoint):
            self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])

    def test_odd_names(self):
        for name in ("with space", "comma,and\\backslash", "new\nline", "\u00fcml\u00e4ut", "a=b"):
            with self.subTest(name=name):
                source = self.make_folder("source of " + name)
                mountpoint = self.make_folder("mount of " + name)
                archives.write_version(os.path.join(source, "a.skops"), 1)
                with Mount(source, mountpoint):
                    self.assertEqual(os.listdir(mountpoint), ["a.skops"])
                    self.assertIn(source, [mount[2] for mount in mounts()])

    def test_archive_mounted_over_its_own_folder(self):
        """Its name now leads to the mount: it must not wait for itself."""
        deep = self.make_folder("source", "deep", "er")
        archives.write_version(os.path.join(deep, "b.skops"), 2)
        for archive, folder in ((self.in_source("a.skops"), self.source),
                                (os.path.join(deep, "b.skops"), self.source)):
            with self.subTest(archive=archive):
                # Either it works or it is refused; it does not hang.
                mount = Mount(archive, folder, "--revalidate=0", "-ononempty", guard=120)
                try:
                    mount.start()
                except AssertionError:
                    self.assertNotIn(mount.exit_code, (None, 0))
                    self.assertIn("skopsfs: ", mount.log())
                    continue
                with mount:
                    self.assertEqual(sorted(os.listdir(folder)), ["by-name", MEMBER, "schema.json"])
                    self.assertEqual(len(read(os.path.join(folder, MEMBER))),
                                     len(archives.content(1)))

    def test_folder_mounted_over_a_folder_above_it(self):
        deep = self.make_folder("source", "deep", "er")
        archives.write_version(os.path.join(deep, "b.skops"), 2)
        os.mkdir(os.path.join(deep, "sub"))
        os.symlink("../b.skops", os.path.join(deep, "sub", "link.skops"))
        os.symlink(os.path.join(deep, "b.skops"), os.path.join(deep, "absolute.skops"))
        with Mount(deep, self.source, "--revalidate=0", "-ononempty", guard=120):
            for name in ("b", "sub/link", "absolute"):
                self.assertEqual(read(self.in_source(name + ".skops", MEMBER)), archives.content(2))
            os.statvfs(self.source)
        self.assertTrue(os.path.isfile(self.in_source("a.skops")))

    def test_mounted_over_files(self):
        with open(self.in_mount("hidden"), "w", encoding="ascii") as file:
            file.write("under the mount")
        with Mount(self.source, self.mountpoint, "-ononempty"):
            self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])
        self.assertEqual(os.listdir(self.mountpoint), ["hidden"])
        os.unlink(self.in_mount("hidden"))

    def test_two_mounts_of_one_source(self):
        other = self.make_folder("other")
        with Mount(self.source, self.mountpoint) as one, Mount(self.source, other):
            self.assertEqual(one.stop(), 0)
            self.assertEqual(read(os.path.join(other, "a.skops", MEMBER)), archives.content(1))

    @needs_root
    def test_mount_options(self):
        for option, shown in (("allow_other", "allow_other"), ("ro,nosuid,nodev", "nosuid"),
                              ("noatime", "noatime"), ("noexec", "noexec"), ("defaults", "ro"),
                              ("default_permissions", "default_permissions"),
                              ("rw,suid,dev", "ro"), ("x-systemd.automount,_netdev", "nodev")):
            with self.subTest(option=option), Mount(self.source, self.mountpoint, "-o", option):
                options = [mount[3] for mount in mounts() if mount[0] == self.mountpoint][0]
                self.assertLessEqual({shown, "ro", "nosuid", "nodev", "default_permissions"},
                                     options)
                self.assertEqual("allow_other" in options, option == "allow_other")
                self.assertEqual(read(self.member), archives.content(1))

    def test_name_of_the_source_in_mount_and_df(self):
        for options, name in (([], self.source), (["-o", "fsname=my models"], "my models"),
                              (["-ofsname=x", "-oallow_other,revalidate=0"], "x")):
            with Mount(self.source, self.mountpoint, *options):
                found = [mount[1:3] for mount in mounts() if mount[0] == self.mountpoint]
                self.assertEqual(found, [("fuse.skopsfs", name)])

    # End.

    def test_signals(self):
        for background in (False, True):
            for number in ENDS:
                with self.subTest(signal=number, background=background):
                    mount = self.mount(background=background)
                    self.assertEqual(read(self.member), archives.content(1))
                    mount.send(number)
                    self.assert_ended(mount)

    def test_signals_that_change_nothing(self):
        """Of all processes, though most of them would end one that does not expect them."""
        port = free_port()
        mount = self.mount(f"--metrics-address={port}")
        processes = mount.processes()
        self.assertEqual(len(processes), 3)
        for number in IGNORED:
            for process in processes:
                os.kill(process, number)
        for number in (*ENDS, signal.SIGUSR2):
            for process in processes[1:]:
                os.kill(process, number)
        self.assertEqual(read(self.member), archives.content(1))
        self.assertEqual(mount.processes(), processes)
        self.assertEqual(mount.stop(), 0)

    def test_limit_of_stacks(self):
        """Reading a schema takes more than a shell may allow."""
        data = os.path.join(os.path.dirname(__file__), "..", "data", "arrays.deflated.skops")
        limit = lambda: resource.setrlimit(resource.RLIMIT_STACK, (128 << 10, 128 << 10))
        with zipfile.ZipFile(data) as archive, Mount(data, self.mountpoint, before=limit):
            self.assertTrue(os.listdir(self.in_mount("by-name")))
            for name in archive.namelist():
                self.assertEqual(read(self.in_mount(name)), archive.read(name))

    def test_limit_of_files(self):
        """Memory that processes share is a file to `ulimit -f`."""
        def limit(hard):
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
            if hard != resource.RLIM_INFINITY:
                lose_resource_power()  # with which it would be raised
        with Mount(self.source, self.mountpoint, before=lambda: limit(resource.RLIM_INFINITY)):
            self.assertEqual(read(self.member), archives.content(1))
        for hard in (4096, 512):
            for background in (False, True):
                with self.assertRaisesRegex(AssertionError, r"exit 1\n.*raise the limit \(ulimit -f"):
                    Mount(self.source, self.mountpoint, before=lambda size=hard: limit(size),
                          background=background).start()

    def test_signals_with_open_files(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(signal=number):
                mount = self.mount(background=number == signal.SIGTERM)
                # From the first close(2) on none asks the server.
                read(self.in_mount("a.skops", "schema.json"))
                with open(self.member, "rb", buffering=0) as file:
                    self.assertEqual(file.read(PAGE), archives.page(1, 0))
                    mount.send(number)
                    self.assert_ended(mount)
                    self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED, errno.EIO),
                                      os.pread, file.fileno(), PAGE, 100 * PAGE)

    def test_signal_with_a_working_directory_inside(self):
        mount = self.mount()
        with subprocess.Popen(["sleep", "1000"], cwd=self.in_mount("a.skops")) as sleeper:
            self.addCleanup(sleeper.kill)
            mount.send(signal.SIGTERM)
            self.assert_ended(mount)
            sleeper.kill()

    def test_signal_while_many_read(self):
        mount = self.mount("--revalidate=0")
        failed, wrong, reads = [], [], [0] * 8

        def work(number):
            while True:
                try:
                    if read(self.member) != archives.content(1):
                        wrong.append(number)
                except FileNotFoundError:
                    return  # unmounted
                except OSError as error:
                    failed.append(error)
                    if not is_mounted(self.mountpoint):
                        return
                reads[number] += 1

        readers = [threading.Thread(target=work, args=[n]) for n in range(8)]
        for reader in readers:
            reader.start()
        until(lambda: min(reads) > 5, "all of them have read")
        mount.send(signal.SIGTERM)
        self.assert_ended(mount)
        for reader in readers:
            reader.join()
        self.assertEqual(wrong, [])
        allowed = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENODEV}
        self.assertLessEqual({error.errno for error in failed}, allowed)

    def test_unmounted_by_others(self):
        for command in (["umount"], ["fusermount3", "-u"], ["umount", "-l"]):
            for background in (False, True):
                with self.subTest(command=command, background=background):
                    mount = self.mount(background=background)
                    self.assertEqual(read(self.member), archives.content(1))
                    run(*command, self.mountpoint)
                    self.assert_ended(mount)

    @needs_root
    def test_reads_ahead_as_the_disk_of_the_source_does(self):
        self.mount()
        wanted = max(read_ahead(self.source), 512)
        until(lambda: read_ahead(self.mountpoint) == wanted, f"it is {wanted} KiB")

    @needs_root
    def test_reads_ahead_as_told(self):
        self.mount("--readahead=256")
        until(lambda: read_ahead(self.mountpoint) == 256, "it is 256 KiB")

    def test_unmounted_at_once(self):
        for _ in range(20):
            mount = self.mount()
            mount.send(signal.SIGTERM)
            self.assert_ended(mount)

    def test_lazily_unmounted_with_open_files(self):
        """It goes on for those who have files open and ends after the last."""
        mount = self.mount()
        with open(self.member, "rb", buffering=0) as file:
            run("umount", "-l", self.mountpoint)
            self.assertFalse(is_mounted(self.mountpoint))
            self.assertEqual(file.read(), archives.content(1))
        self.assert_ended(mount)

    def test_another_has_taken_the_mountpoint(self):
        """Its end does not take the other's mount away."""
        old = self.mount()
        with open(self.member, "rb", buffering=0) as file:
            run("umount", "-l", self.mountpoint)
            with Mount(self.source, self.mountpoint):
                old.send(signal.SIGTERM)
                self.assertEqual(old.wait(), 0)
                self.assertEqual(read(self.member), archives.content(1))
            self.assertFalse(is_mounted(self.mountpoint))
            self.assertRaises(OSError, file.read)

    @needs_root
    def test_aborted(self):
        """The kernel fails everything, which is not what unmounting does: the exit code says so."""
        control = self.make_folder("control")  # not mounted everywhere
        run("mount", "-t", "fusectl", "none", control)
        self.addCleanup(run, "umount", control)

        def force(_):
            run("umount", "-f", self.mountpoint, check=False)

        def abort(device):
            with open(f"{control}/{device}/abort", "w", encoding="ascii") as file:
                file.write("1")
        for give_up in (force, abort):
            with self.subTest(by=give_up.__name__):
                mount = Mount(self.source, self.mountpoint).start()
                self.addCleanup(mount.clear)
                read(self.member)  # from the first close(2) on none asks the server
                with open(self.member, "rb"):
                    give_up(os.minor(os.stat(self.mountpoint).st_dev))
                    self.assertEqual(mount.wait(), 1)
                self.assertIn("the kernel has given the mount up", mount.log())
                self.assertFalse(is_mounted(self.mountpoint))

    def test_killed(self):
        """A dead mount stays, and the next start clears it."""
        for background in (False, True):
            mount = self.mount(background=background)
            self.addCleanup(mount.clear)
            self.assertEqual(mount.stop(signal.SIGKILL), -signal.SIGKILL)
            # ECONNABORTED: it was asked while the worker was dying.
            self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED), os.stat, self.mountpoint)
            self._cleanups.pop()
            self._cleanups.pop()  # it did not end well, as meant
            with Mount(self.source, self.mountpoint, background=background) as again:
                self.assertEqual(read(self.member), archives.content(1))
                self.assertEqual("dead mount" in again.log(), True)
                self.assertEqual(sum(m[0] == self.mountpoint for m in mounts()), 1)
            mount.clear()

    def test_killed_several_times_with_open_files(self):
        files = []
        for _ in range(3):
            mount = Mount(self.source, self.mountpoint)
            mount.start()
            self.addCleanup(mount.clear)
            read(self.member)
            files.append(open(self.member, "rb", buffering=0))
            mount.stop(signal.SIGKILL)
        with Mount(self.source, self.mountpoint):
            self.assertEqual(read(self.member), archives.content(1))
        for file in files:
            file.close()
        self.assertFalse(is_mounted(self.mountpoint))

    def test_nothing_is_left_anywhere(self):
        """No temporary files, no cache: not while it runs, not after, not after a crash."""
        temporary = self.make_folder("temporary")
        home = self.make_folder("home")
        archives.write_version(self.in_source("small.skops"), 1, method=archives.DEFLATED)
        before = listing(self.folder)
        places = {"TMPDIR": temporary, "HOME": home, "XDG_CACHE_HOME": home, "TMP": temporary}
        mount = Mount(self.source, self.mountpoint, env=places).start()
        self.addCleanup(mount.clear)
        for name in ("a.skops", "small.skops"):
            self.assertEqual(read(self.in_mount(name, MEMBER)), archives.content(1))
        self.assertEqual((listing(temporary), listing(home)),
                         ([(temporary, [], [])], [(home, [], [])]))
        stray = [name for name in mount.descriptors() if name.startswith("/")
                 and not name.startswith((self.folder, "/dev/", "/proc/", "/memfd:skopsfs-"))]
        self.assertEqual({name for name in stray if "(deleted)" not in name},
                         {os.path.realpath(binary())})
        mount.stop(signal.SIGKILL)
        mount.clear()
        with Mount(self.source, self.mountpoint, env=places):
            time.sleep(0)
        self.assertEqual(listing(self.folder), before)


if __name__ == "__main__":
    main()
