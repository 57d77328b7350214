"""Completions: asked in a real bash and fish, and as zsh reads them."""

import os
import pty
import re
import shutil
import subprocess
import tempfile
import unittest

from mount import HANG, binary, run, until

FILES = {"bash": "bash-completion/completions/{}", "fish": "fish/vendor_completions.d/{}.fish",
         "zsh": "zsh/site-functions/_{}"}


def shell(name):
    if shutil.which(name) is None:
        raise unittest.SkipTest(f"{name} is not installed")
    return name


class Completions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="skopsfs-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run("cmake", "--install", os.environ["SKOPSFS_BUILD_FOLDER"], "--prefix", cls.folder)
        cls.path = {name: cls.file(name, "skopsfs") for name in FILES}
        usage = run(binary(), "--help").stdout
        cls.options = set(re.findall(r"^  (?:-\w, )?\s*(--[\w-]+)", usage, re.MULTILINE))
        cls.mount_options = set(re.findall(r"^  ([a-z_]+=?)", usage.split("mount options (-o):")[1],
                                           re.MULTILINE))
        assert len(cls.options) > 10 and len(cls.mount_options) > 4

    @classmethod
    def file(cls, name, program):
        return os.path.join(cls.folder, "share", FILES[name].format(program))

    def bash(self, *words, breaks=" \t\n\"'><=;|&(:"):
        """What bash offers for the last of the words, which it takes apart at what `breaks` has."""
        taken_apart = []
        for word in words:
            taken_apart += [x for x in re.split("(=)" if "=" in breaks else "$^", word) if x] or [""]
        if words[-1].endswith("=") and "=" in breaks:
            taken_apart[-1] = "="
        program = words[0]
        script = (f'. "{self.file("bash", program)}"\n'
                  f'function=$(complete -p {program} | sed "s/.*-F \\([^ ]*\\) .*/\\1/")\n'
                  'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
                  'compopt() { :; }\n'
                  f'"$function" {program} ' '"${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"\n'
                  'printf "%s\\n" "${COMPREPLY[@]}"\n')
        said = run(shell("bash"), "--norc", "-c", script, "bash", *taken_apart, cwd=self.folder)
        self.assertEqual(said.stderr, "")
        return set(said.stdout.split("\n")) - {""}

    def test_bash_options(self):
        offered = self.bash("skopsfs", "-")
        self.assertEqual({word.rstrip("=") for word in offered if word.startswith("--")}, self.options)
        self.assertLessEqual({"-f", "-o", "-d", "-h", "-V", "--revalidate=", "--foreground"}, offered)
        self.assertEqual(self.bash("skopsfs", "--ver"), {"--verify=", "--version"})
        self.assertEqual(self.bash("skopsfs", "/models", "--sand"), {"--sandbox="})

    def test_bash_values(self):
        for breaks in (" =", " "):
            front = "" if "=" in breaks else "--verify="
            self.assertEqual(self.bash("skopsfs", "--verify=", breaks=breaks),
                             {front + "passing", front + "read"})
            self.assertEqual(self.bash("skopsfs", "--verify=r", breaks=breaks), {front + "read"})
            front = "" if "=" in breaks else "--user="
            self.assertIn(front + "root", self.bash("skopsfs", "--user=ro", breaks=breaks))
            self.assertEqual(self.bash("skopsfs", "--revalidate=", breaks=breaks), set())
        self.assertEqual(self.bash("skopsfs", "--verify", "r"), {"read"})
        self.assertEqual(self.bash("skopsfs", "--revalidate", ""), set())

    def test_bash_mount_options(self):
        offered = self.bash("skopsfs", "-o", "")
        self.assertLessEqual(self.mount_options, offered)
        self.assertLessEqual({option[2:] for option in self.options}, {x.rstrip("=") for x in offered})
        self.assertEqual(self.bash("skopsfs", "-o", "allow_o"), {"allow_other"})
        self.assertEqual(self.bash("skopsfs", "-o", "noexec,allow_o"), {"noexec,allow_other"})
        self.assertEqual(self.bash("skopsfs", "-o", "noexec,ver"), {"noexec,verify=", "noexec,version"})
        for breaks, front in ((" =", ""), (" ", "noexec,verify=")):
            self.assertEqual(self.bash("skopsfs", "-o", "noexec,verify=r", breaks=breaks),
                             {front + "read"})
        self.assertEqual(self.bash("skopsfs", "-o", "verify=read,allow_o"), {"read,allow_other"})

    def test_bash_paths(self):
        os.makedirs(os.path.join(self.folder, "some models"), exist_ok=True)
        self.assertEqual(self.bash("skopsfs", "some"), {"some models"})
        self.assertEqual(self.bash("skopsfs", "-f", "some"), {"some models"})
        self.assertEqual(self.bash("skopsfs", "--foreground", "some"), {"some models"})
        self.assertEqual(self.bash("skopsfs", "-o", "noexec", "some"), {"some models"})

    def test_bash_at_a_terminal(self):
        """Typed, with the tabulator."""
        process, terminal = pty.fork()
        if process == 0:
            os.environ.update(TERM="dumb", PS1="$ ", INPUTRC="/dev/null", HOME=self.folder)
            os.execvp(shell("bash"), ["bash", "--norc", "--noprofile", "-i"])
        seen = b""
        try:
            def saw(what):
                nonlocal seen
                seen += os.read(terminal, 4096)
                return what in seen
            os.write(terminal, f'. "{self.path["bash"]}"\necho rea""dy\n'.encode())
            until(lambda: saw(b"\nready"), "bash is ready")
            seen = b""
            os.write(terminal, b"skopsfs --verify=r\t--dec\t7 -o noexec,allow_oth\t # end")
            until(lambda: saw(b"# end"), f"bash has completed {seen}")
        finally:
            os.close(terminal)
            os.waitpid(process, 0)
        self.assertIn(b"skopsfs --verify=read --decoder-memory=7 -o noexec,allow_other # end",
                      seen.replace(b"\r", b"").replace(b"\n", b""))

    def zsh_specifications(self):
        """What zsh hands to _arguments and _values, as it reads the file."""
        script = ('_arguments() { print -rl -- "$@"; state=list_o }\n'
                  '_values() { print -rl -- "$@" }\n'
                  'source "$1"')
        said = run(shell("zsh"), "-f", "-c", script, "zsh", self.path["zsh"])
        self.assertEqual(said.stderr, "")
        return said.stdout.splitlines()

    def test_zsh(self):
        run(shell("zsh"), "-n", self.path["zsh"])
        with open(self.path["zsh"], encoding="utf-8") as file:
            self.assertEqual(file.readline(), "#compdef skopsfs\n")
        said = self.zsh_specifications()
        self.assertIn("--verify=[compare a member's CRC-32 as it goes by, or before a byte is read]:passing|read:(passing read)", said)
        self.assertIn("(-f --foreground)-f[stay in front and log to stderr]", said)
        self.assertIn("--user=[serve as this user when started as root (the source's owner)]"
                      ":USER[\\:GROUP]:_users", said)
        self.assertIn("*-o+[mount options, see below]:OPT[,OPT...]:->list_o", said)
        self.assertIn("allow_other[other users may use the mount]", said)
        self.assertIn("fsname[the source's name in mount and df]:value: ", said)
        named = {re.match(r"(?:\(.*?\))?(--[\w-]+)", line).group(1) for line in said
                 if re.match(r"(?:\(.*?\))?--\w", line)}
        self.assertEqual(named, self.options)

    def fish(self, line):
        script = f'source "{self.file("fish", line.split()[0])}"; complete -C "{line}"'
        environment = dict(os.environ, HOME=self.folder, XDG_CONFIG_HOME=self.folder,
                           XDG_DATA_HOME=self.folder, TERM="dumb")
        said = run(shell("fish"), "--no-config", "-c", script, env=environment, cwd=self.folder)
        return {offer.split("\t")[0] for offer in said.stdout.splitlines()}

    def test_fish(self):
        run(shell("fish"), "-n", self.path["fish"])
        self.assertEqual({word.rstrip("=") for word in self.fish("skopsfs --")}, self.options)
        self.assertEqual(self.fish("skopsfs --verify="), {"--verify=passing", "--verify=read"})
        self.assertEqual(self.fish("skopsfs --verify "), {"passing", "read"})
        self.assertEqual(self.fish("skopsfs -o allow_o"), {"allow_other"})
        self.assertEqual(self.fish("skopsfs -o noexec,allow_o"), {"noexec,allow_other"})
        self.assertLessEqual(self.mount_options, self.fish("skopsfs -o "))

    def test_commands_of_skopsfsctl(self):
        """Those that it names in its help, and the options of each, in every shell."""
        program = os.path.join(self.folder, "bin", "skopsfsctl")

        def named(pattern, *words):
            return set(re.findall(pattern, run(program, *words, "--help").stdout, re.MULTILINE))
        commands = named(r"^  ([a-z]+) {2,}") - {"skopsfsctl"}
        self.assertGreater(len(commands), 3)
        for name in ("zsh", "fish"):
            run(shell(name), "-n", self.file(name, "skopsfsctl"))
        self.assertEqual(self.bash("skopsfsctl", ""), commands)
        self.assertEqual(self.fish("skopsfsctl "), commands)
        with open(self.file("zsh", "skopsfsctl"), encoding="utf-8") as file:
            zsh = file.read()
        for command in commands:
            options = named(r"^ +(?:-\w,)?(--[a-z]+)", command)
            self.assertIn("--help", options)
            for offered in (self.bash("skopsfsctl", command, "--"),
                            self.fish(f"skopsfsctl {command} --")):
                self.assertEqual({word.rstrip("=") for word in offered}, options, command)
            self.assertIn(f"        {command}) _arguments ", zsh)
        os.makedirs(os.path.join(self.folder, "some models"), exist_ok=True)
        self.assertEqual(self.bash("skopsfsctl", "check", "some"), {"some models"})
        self.assertEqual(self.bash("skopsfsctl", "status", "--watch", "some"), {"some models"})
        self.assertEqual(self.bash("skopsfsctl", "status", "--watch=", ""), set())

    def test_nothing_else_is_offered(self):
        """The generator knows its programs and shells, and nothing else."""
        generator = os.path.join(os.environ["SKOPSFS_BUILD_FOLDER"], "src", "skopsfs_completions")
        for words in ([], ["bash"], ["bash", "ls"], ["tcsh", "skopsfs"]):
            done = subprocess.run([generator, *words], capture_output=True, check=False, timeout=HANG)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(done.stdout, b"")


if __name__ == "__main__":
    unittest.main(verbosity=2)
