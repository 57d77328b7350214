"""What a row of the tables is, and how its values come about."""

import dataclasses
import statistics


@dataclasses.dataclass
class Row:
    """One figure. `values` has, for each way, what each round measured (None where it did not finish);
    `ratios` what each round makes of them, or the one number that is asked for. `bound` is
    (comparison, number); None where there is nothing to hold it to."""

    number: str
    what: str
    unit: str
    bound: "tuple[str, float] | None"
    values: "dict[str, list[float | None]]" = dataclasses.field(default_factory=dict)
    ratios: "list[float]" = dataclasses.field(default_factory=list)

    @property
    def figure(self):
        return statistics.median(self.ratios)

    @property
    def holds(self):
        if self.bound is None:
            return True
        comparison, number = self.bound
        return self.figure <= number if comparison == "<=" else self.figure >= number

    def as_json(self):
        return dict(dataclasses.asdict(self), figure=self.figure, holds=self.holds)


@dataclasses.dataclass
class Curve:
    """What a picture shows: for each way, by the number of processes, what each round measured."""

    name: str
    what: str
    unit: str
    values: "dict[str, dict[int, list[float]]]"


def interleaved(ways, rounds):
    """For each way, what its callable returned in each round. The order is turned round every time,
    so that what changes with time meets all alike. A way that fails or takes too long is left out of
    the rounds to come: its value is then None."""
    found = {name: [] for name in ways}
    for number in range(rounds):
        names = list(ways)
        for name in names if number % 2 == 0 else reversed(names):
            failed = None in found[name]
            try:
                found[name].append(None if failed else ways[name]())
            except (OSError, RuntimeError, TimeoutError) as error:
                print(f"       {name}: {error}")
                found[name].append(None)
    return found


def ratios(above, below):
    """Of each round that both have finished."""
    return [a / b for a, b in zip(above, below) if None not in (a, b)]
