"""python -m skopsfs: what the arrays of a model take of memory."""

from __future__ import annotations

import argparse
import sys

from . import get_untrusted_types, load, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m skopsfs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("report", help="load a model, then show where its arrays lie")
    command.add_argument("model", help="an archive in a mount")
    command.add_argument("--trust", nargs="+", default=[], metavar="TYPE", help="types that may be loaded")
    options = parser.parse_args()
    try:
        untrusted = sorted(set(get_untrusted_types(options.model)) - set(options.trust))
        if untrusted:
            print(f"{options.model} has types that are not trusted; if they shall be: --trust {' '.join(untrusted)}",
                  file=sys.stderr)
            return 1
        print(report(load(options.model, options.trust)))
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
