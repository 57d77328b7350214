"""The man page and --help name the same options. Usage: check_man_page.py SKOPSFS MAN_PAGE"""

import re
import subprocess
import sys


def main() -> int:
    usage = subprocess.run([sys.argv[1], "--help"], check=True, capture_output=True, text=True).stdout
    with open(sys.argv[2]) as page:
        text = page.read().replace("\\-", "-").replace("\\fR", "").replace("\\fB", "")
    in_usage = set(re.findall(r"^  (?:(-\w)(?:, )?)? *(--[\w-]+)?", usage, re.MULTILINE))
    options = {option for pair in in_usage for option in pair if option}
    mount_options = set(re.findall(r"^  ([a-z_]+=?)", usage.split("mount options (-o):")[1],
                                   re.MULTILINE))
    missing = [option for option in options | mount_options if option not in text]
    in_page = set(re.findall(r"(?<![\w-])(--[a-z]+(?:-[a-z]+)*|-[a-zA-Z])\b", text.split(".SH OPTIONS")[1]
                             .split(".SS Mount options")[0]))
    unknown = sorted(in_page - options - {"-f"})
    for option in missing:
        print(f"{option} is not in the man page")
    for option in unknown:
        print(f"{option} is in the man page but not an option")
    print(f"{len(options)} options, {len(mount_options)} mount options")
    return 1 if missing or unknown or not options or not mount_options else 0


if __name__ == "__main__":
    sys.exit(main())
