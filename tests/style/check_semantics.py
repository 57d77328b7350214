"""Every test that docs/semantics.md names exists. Usage: check_semantics.py REPOSITORY"""

import pathlib
import re
import sys


def main() -> int:
    repository = pathlib.Path(sys.argv[1])
    tests = repository / "tests"
    text = (repository / "docs" / "semantics.md").read_text()
    named = re.findall(r"`([\w/]+(?:_test\.cc|\.py))(?:: (test_\w+))?`", text)
    missing = []
    for file, test in named:
        if file in ("test_*.py", "*_test.cc"):
            continue
        path = repository / file if "/" in file else next(tests.rglob(file), None)
        if path is None or not path.exists():
            missing.append(file)
        elif test and f"def {test}(" not in path.read_text():
            missing.append(f"{file}: {test}")
    for name in missing:
        print(f"named in docs/semantics.md, but not there: {name}")
    print(f"{len(named)} tests named")
    return 1 if missing or not named else 0


if __name__ == "__main__":
    sys.exit(main())
