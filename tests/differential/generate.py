#!/usr/bin/python3
"""Writes the generated archives of the differential test.

Each archive depends on the seed and on its own number alone, so that one that was found wanting
can be made again:  generate.py --seed SEED --only NUMBER FOLDER
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import damage
from recipes import RECIPES, Recipe

DEFAULT_SEED = 1
DEFAULT_COUNT = 2500


def chosen(number: int, rng: random.Random) -> Recipe:
    """The sweep over all fields first, then recipes by their weight."""
    swept = damage.sweep()
    if number < len(swept):
        return swept[number]
    weights, recipes = zip(*RECIPES)
    return rng.choices(recipes, weights)[0]


def generate(folder: Path, seed: int, numbers: range) -> None:
    for number in numbers:
        rng = random.Random(f"{seed}/{number}")
        made_by = chosen(number, rng)
        path = folder / f"generated-{seed}-{number:05}-{made_by.__name__}.skops"
        path.write_bytes(made_by(rng))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--count", type=int, default=DEFAULT_COUNT)
    parser.add_argument("--only", type=int, help="write the archive of this number alone")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    numbers = range(args.count) if args.only is None else range(args.only, args.only + 1)
    args.folder.mkdir(parents=True, exist_ok=True)
    generate(args.folder, args.seed, numbers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
