"""python -m skopsfs: what a model takes of memory, and programs that map their models."""

from __future__ import annotations

import argparse
import io
import os
import runpy
import signal
import sys
import zipfile

from . import get_untrusted_types, install, load, report
from ._load_test import load_test


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m skopsfs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of_model = argparse.ArgumentParser(add_help=False)
    of_model.add_argument("model", help="an archive in a mount")
    of_model.add_argument("--trust", nargs="+", default=[], metavar="TYPE", help="types that may be loaded")
    commands.add_parser("report", parents=[of_model], help="load a model, then show where its arrays lie")
    command = commands.add_parser("load-test", parents=[of_model],
                                  help="show what several processes that load a model take of time and memory")
    command.add_argument("-n", type=_count, default=4, dest="count", metavar="N", help="how many; 4 if not given")
    command = commands.add_parser("run", help="run a Python program whose skops.io.load maps what lies in mounts")
    command.add_argument("-m", action="store_true", dest="is_module", help="SCRIPT is the name of a module")
    command.add_argument("script", metavar="SCRIPT")
    command.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    options = parser.parse_args()
    if options.command == "run":
        _run(options.script, options.arguments, options.is_module)
        return 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # paths need not be text
    try:
        untrusted = sorted(set(get_untrusted_types(options.model)) - set(options.trust))
        if untrusted:
            print(f"{options.model} has types that are not trusted; if they shall be: --trust {' '.join(untrusted)}",
                  file=sys.stderr)
            return 1
        if options.command == "load-test":
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that its processes are ended
            print(load_test(options.model, options.trust, options.count))
        else:
            print(report(load(options.model, options.trust)))
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    except zipfile.BadZipFile as error:  # a plain file
        print(f"{options.model}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def _run(script: str, arguments: list[str], is_module: bool) -> None:
    """As python does with SCRIPT or -m SCRIPT."""
    install()
    sys.argv = [script, *arguments]
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):  # as by python -P, since 3.11
        sys.path[0] = os.getcwd() if is_module else os.path.dirname(os.path.realpath(script))
    if is_module:
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    sys.exit(main())
