"""Completions: asked in a real bash, fish and zsh, held against --help of the programs."""

import collections
import os
import pty
import re
import shutil
import tempfile
import unittest

from mount import binary, run, until

FILES = {"bash": "bash-completion/completions/{}", "fish": "fish/vendor_completions.d/{}.fish",
         "zsh": "zsh/site-functions/_skopsfs"}

Option = collections.namedtuple("Option", "value help")  # value: as --help has it; empty: none


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
        os.mkdir(os.path.join(cls.folder, "some models"))
        # What --help says of each command line: its options, and its mount options or subcommands.
        cls.options, cls.words = {}, {}
        cls.read_help("skopsfs")
        cls.read_help("skopsfsctl")
        for command in cls.words["skopsfsctl"]:
            cls.read_help(f"skopsfsctl {command}")
        assert len(cls.options["skopsfs"]) > 15 and len(cls.words["skopsfs"]) > 4
        assert len(cls.options) > 5

    @classmethod
    def read_help(cls, line):
        program, *words = line.split()
        said = run(os.path.join(os.path.dirname(binary()), program), *words, "--help").stdout
        options, others = {}, {}
        for names, text in re.findall(r"^ {2,6}(\S.*?) {2,}(\S.*)$", re.sub(r"\n {20,}", " ", said),
                                      re.MULTILINE):
            option = re.fullmatch(r"((?:(?:, ?)?--?\w[\w-]*)+)[ =]?(.*)", names)
            if option:
                for name in re.split(", ?", option[1]):
                    options[name] = Option(option[2], text)
            elif re.fullmatch("[a-z_]+=?", names):
                others[names] = text
        cls.options[line], cls.words[line] = options, others

    @classmethod
    def file(cls, name, program):
        return os.path.join(cls.folder, "share", FILES[name].format(program))

    def valued(self, line):
        """Of each option that needs a value, what may be offered; None: users."""
        for name, option in self.options[line].items():
            if option.value and not option.value.startswith("[=") and name != "-o":
                yield name, (None if option.value.startswith("USER") else
                             set(option.value.split("|")) if "|" in option.value else set())

    def assert_offers(self, offered, expected):
        """As valued() has it: root is a user everywhere."""
        if expected is None:
            self.assertIn("root", offered)
        else:
            self.assertEqual(offered, expected)

    def in_mount_options(self):
        """What may stand in the list of -o, a value left out."""
        return ({word.rstrip("=") for word in self.words["skopsfs"]}
                | {name[2:] for name in self.options["skopsfs"] if name.startswith("--")})

    # --- bash --------------------------------------------------------------------------------------

    def bash(self, line, breaks=" \t\n\"'><=;|&(:"):
        """What bash offers at the end of a line, which it takes apart at what `breaks` has."""
        words = []
        for word in line.split(" "):
            words += [x for x in re.split("(=)" if "=" in breaks else "$^", word) if x] or [""]
        program = words[0]
        last = "" if words[-1] == "=" else words[-1]
        script = (f'. "{self.file("bash", program)}"\n'
                  f'function=$(complete -p {program} | sed "s/.*-F \\([^ ]*\\) .*/\\1/")\n'
                  'COMP_LINE=$1 COMP_POINT=${#1} last=$2; shift 2\n'
                  'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
                  'compopt() { :; }\n'
                  f'"$function" {program} "$last" "${{COMP_WORDS[COMP_CWORD-1]}}"\n'
                  'printf "%s\\n" "${COMPREPLY[@]}"\n')
        said = run(shell("bash"), "--norc", "-c", script, "bash", line, last, *words, cwd=self.folder)
        self.assertEqual(said.stderr, "")
        return set(said.stdout.split("\n")) - {""}

    def test_bash_options(self):
        for line, options in self.options.items():
            expected = set(options)
            for name, _ in self.valued(line):
                if name.startswith("--"):
                    expected = expected - {name} | {name + "="}
            self.assertEqual(self.bash(f"{line} -"), expected, line)
        self.assertEqual(self.bash("skopsfs --ver"), {"--verify=", "--version"})
        self.assertEqual(self.bash("skopsfs /models --sand"), {"--sandbox="})

    def test_bash_values(self):
        for line in self.options:
            for name, expected in self.valued(line):
                self.assert_offers(self.bash(f"{line} {name} "), expected)
                if not name.startswith("--"):
                    continue
                self.assert_offers(self.bash(f"{line} {name}="), expected)
                front = {word.replace(name + "=", "", 1)
                         for word in self.bash(f"{line} {name}=", breaks=" ")}
                self.assert_offers(front, expected)
        self.assertEqual(self.bash("skopsfs --verify=r"), {"read"})
        self.assertEqual(self.bash("skopsfs --verify=r", breaks=" "), {"--verify=read"})
        self.assertEqual(self.bash("skopsfs --verify r"), {"read"})
        self.assertEqual(self.bash("skopsfsctl status --watch="), set())

    def test_bash_mount_options(self):
        self.assertEqual({word.rstrip("=") for word in self.bash("skopsfs -o ")},
                         self.in_mount_options())
        self.assertLessEqual(set(self.words["skopsfs"]), self.bash("skopsfs -o "))
        self.assertEqual(self.bash("skopsfs -o allow_o"), {"allow_other"})
        self.assertEqual(self.bash("skopsfs -o noexec,allow_o"), {"noexec,allow_other"})
        self.assertEqual(self.bash("skopsfs -o noexec,ver"), {"noexec,verify=", "noexec,version"})
        for breaks, front in ((" =", ""), (" ", "noexec,verify=")):
            self.assertEqual(self.bash("skopsfs -o noexec,verify=r", breaks=breaks), {front + "read"})
        self.assertEqual(self.bash("skopsfs -o verify=read,allow_o"), {"read,allow_other"})

    def test_bash_words_and_paths(self):
        self.assertEqual(self.bash("skopsfsctl "), set(self.words["skopsfsctl"]))
        for line in ("skopsfs", "skopsfs -f", "skopsfs --foreground", "skopsfs -o noexec",
                     "skopsfsctl check", "skopsfsctl status --watch"):
            self.assertEqual(self.bash(f"{line} some"), {"some models"}, line)

    # --- fish --------------------------------------------------------------------------------------

    def fish(self, line):
        """What fish offers at the end of a line, with its description."""
        script = f'source "{self.file("fish", line.split()[0])}"; complete -C "{line}"'
        environment = dict(os.environ, HOME=self.folder, XDG_CONFIG_HOME=self.folder,
                           XDG_DATA_HOME=self.folder, TERM="dumb")
        said = run(shell("fish"), "--no-config", "-c", script, env=environment, cwd=self.folder)
        return {offer: text for offer, _, text in
                (line.partition("\t") for line in said.stdout.splitlines())}

    def test_fish(self):
        run(shell("fish"), "-n", self.file("fish", "skopsfs"))
        for line, options in self.options.items():
            self.assertEqual(self.fish(f"{line} -"), {name: x.help for name, x in options.items()}, line)
            for name, expected in self.valued(line):
                self.assert_offers(set(self.fish(f"{line} {name} ")), expected)
        self.assertEqual(set(self.fish("skopsfs --verify=")), {"--verify=passing", "--verify=read"})
        self.assertEqual({word.rstrip("=") for word in self.fish("skopsfs -o ")},
                         self.in_mount_options())
        self.assertLessEqual(set(self.words["skopsfs"]), set(self.fish("skopsfs -o ")))
        self.assertEqual(set(self.fish("skopsfs -o noexec,allow_o")), {"noexec,allow_other"})
        self.assertEqual(self.fish("skopsfsctl "), self.words["skopsfsctl"])
        self.assertIn("some models/", self.fish("skopsfsctl check some"))

    # --- zsh ---------------------------------------------------------------------------------------

    def zsh(self, line, state):
        """What zsh hands to _arguments, _values and _describe, as it reads the file."""
        script = ('_arguments() { print -rl -- "$@"; state=$wanted }\n'
                  '_values() { print -rl -- "$@" }\n'
                  '_describe() { print -rl -- ${(P)2} }\n'
                  'it() { source "$file" }\n'
                  'file=$1 wanted=$2 service=$3; shift 3; words=("$@"); it')
        said = run(shell("zsh"), "-f", "-c", script, "zsh", self.file("zsh", ""), state, *line.split())
        self.assertEqual(said.stderr, "")
        return said.stdout.splitlines()

    def zsh_options(self, line, state="arguments"):
        """Of each option its description, and what is offered as its value."""
        found = {}
        for said in self.zsh(line, state):
            option = re.fullmatch(r"(?:\(.*?\)|\*)?(--?\w[\w-]*|[a-z_-]+)(?:\+|=-?)?"
                                  r"\[((?:[^\\\]]|\\.)*)\](?::.*?(?<!\\):(.*))?", said)
            if option:
                found[option[1]] = re.sub(r"\\(.)", r"\1", option[2]), option[3]
        return found

    def test_zsh(self):
        run(shell("zsh"), "-n", self.file("zsh", ""))
        with open(self.file("zsh", ""), encoding="utf-8") as file:
            self.assertEqual(file.readline(), "#compdef skopsfs skopsfsctl\n")
        for line, options in self.options.items():
            found = self.zsh_options(line)
            if line.startswith("skopsfsctl "):  # after the subcommand it does not ask for the first
                for name in set(self.options["skopsfsctl"]) - set(options):
                    del found[name]
            self.assertEqual({name: text for name, (text, _) in found.items()},
                             {name: option.help for name, option in options.items()}, line)
            for name, option in options.items():
                self.assertEqual(found[name][1] is not None, option.value != "", name)
            for name, expected in self.valued(line):
                self.assertEqual(found[name][1], "_users" if expected is None else
                                 f"({' '.join(options[name].value.split('|'))})" if expected else " ")
        found = {word: text for word, (text, _) in self.zsh_options("skopsfs", "mount_options").items()
                 if not word.startswith("-")}
        self.assertEqual(set(found), self.in_mount_options())
        for word, text in self.words["skopsfs"].items():
            self.assertEqual(found[word.rstrip("=")], text)
        self.assertLessEqual({f"{word}:{text}" for word, text in self.words["skopsfsctl"].items()},
                             set(self.zsh("skopsfsctl", "command")))

    # --- typed, with the tabulator -----------------------------------------------------------------

    def typed(self, words, start, lines):
        """Of each line that is typed in an interactive shell the arguments that a program gets."""
        process, terminal = pty.fork()
        if process == 0:
            os.environ.update(TERM="dumb", INPUTRC="/dev/null", HOME=self.folder)
            os.execvp(words[0], words)
        seen = b""

        def saw(what):
            nonlocal seen
            seen += os.read(terminal, 4096)
            return re.search(what, seen)
        try:
            start += '; skopsfs() { printf "%s " go""t: "$@"; echo .; }; skopsfsctl() { skopsfs "$@"; }'
            os.write(terminal, f'cd "{self.folder}"; {start}; echo rea""dy\n'.encode())
            until(lambda: saw(rb"\nready"), "the shell is ready")
            said = []
            for line in lines:
                seen = b""
                os.write(terminal, line.encode() + b"\n")
                said.append(until(lambda: saw(rb"\ngot: (.*) \."), f"{line} is completed")[1].decode())
            return said
        finally:
            os.close(terminal)
            os.waitpid(process, 0)

    LINES = {"skopsfs --verify=r\t--dec\t7 -o noexec,allow_oth\t -f":
             "--verify=read --decoder-memory=7 -o noexec,allow_other -f",
             "skopsfs -o noexec,verify=re\t": "-o noexec,verify=read",
             "skopsfsctl stat\t--proc\tsome\t": "status --processes some models/",
             "skopsfsctl warm --jo\t2 some\t": "warm --jobs=2 some models/"}

    def test_typed_in_bash(self):
        start = f'. "{self.file("bash", "skopsfs")}"'
        self.assertEqual(self.typed([shell("bash"), "--norc", "--noprofile", "-i"], start, self.LINES),
                         list(self.LINES.values()))

    def test_typed_in_zsh(self):
        folder = os.path.dirname(self.file("zsh", ""))
        start = f'fpath=("{folder}" $fpath); autoload -U compinit; compinit -D -u'
        self.assertEqual([line.replace("models/", "models") for line in
                          self.typed([shell("zsh"), "-f", "-i"], start, self.LINES)],
                         [line.replace("models/", "models") for line in self.LINES.values()])


if __name__ == "__main__":
    unittest.main(verbosity=2)
