"""The man page of skopsfsctl and --help of each of its subcommands name the same options.
Usage: check_ctl_man_page.py SKOPSFSCTL MAN_PAGE"""

import re
import subprocess
import sys


def usage_of(*words: str) -> str:
    return subprocess.run([*words, "--help"], check=True, capture_output=True, text=True).stdout


def options_in(text: str) -> "set[str]":
    return set(re.findall(r"(?<![\w-])(--[a-z]+(?:-[a-z]+)*|-[a-zA-Z])(?![\w-])", text))


def main() -> int:
    program = sys.argv[1]
    with open(sys.argv[2]) as page:
        text = re.sub(r"\\f[RBI]", "", page.read().replace("\\-", "-"))
    listed = usage_of(program).split("Subcommands:")[1]
    commands = re.findall(r"^  (\w+)", listed, re.MULTILINE)
    # Of each subcommand its part of the page, and of all of them the part OPTIONS.
    parts = dict(re.findall(r"^\.SS (\w+)\n(.*?)(?=^\.S[SH] |\Z)", text, re.MULTILINE | re.DOTALL))
    general = re.search(r"^\.SH OPTIONS\n(.*?)^\.SH ", text, re.MULTILINE | re.DOTALL).group(1)
    faults = [f"{name} is in the man page but no subcommand" for name in parts if name not in commands]
    count = 0
    for name, usage, part in [("", usage_of(program).split("Subcommands:")[0], general)] + [
            (name, usage_of(program, name), parts.get(name)) for name in commands]:
        if part is None:
            faults.append(f"{name} is not in the man page")
            continue
        taken = options_in(usage) - ({"-h", "--help"} if name else set())
        count += len(taken)
        faults += [f"{name} {option} is not in the man page" for option in taken - options_in(part)]
        faults += [f"{name} {option} is in the man page but no option"
                   for option in options_in(part) - taken]
    for fault in faults:
        print(fault.strip())
    print(f"{len(commands)} subcommands, {count} options")
    return 1 if faults or len(commands) < 4 or count < 8 else 0


if __name__ == "__main__":
    sys.exit(main())
