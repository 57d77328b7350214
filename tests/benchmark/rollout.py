"""What a rollout of a large model to many nodes asks of its source: a simulation, nothing is read.

Usage: rollout.py [--nodes N] [--model GIB] [--pods N] [--source GBIT] [--node GBIT] [--spread S] ...

Nodes fetch a model at the same time and share what the source can give in equal parts, each up to what
its own network takes. Something happens only when a fetch begins or ends; in between rates are constant.
So the simulation goes from one of these to the next. It knows nothing of lost packets, of a source that
gets slower under load, or of disks, all of which make a crowd worse than is said here.
"""

import argparse
import heapq
import random
import statistics

GIB = 1 << 30
GBIT = 1e9 / 8  # bytes a second
READ = 1 << 20  # bytes; a read as large as the kernel reads ahead


class Rollout:
    """The times at which fetches end, and the worst that the source and its users saw meanwhile."""

    def __init__(self, starts, size, source, node, at_once=None):
        """`starts`: when each fetch would begin. `at_once`: how many may be under way; the others wait."""
        self.ends = []
        self.most_at_once = 0
        self.bytes = len(starts) * size
        self.slowest_read = 0.0
        limit = at_once or len(starts)
        starts = sorted(starts)
        begun = waiting = 0
        now = served = 0.0  # `served`: bytes that a fetch would have that is under way since the beginning
        goals = []  # of the fetches under way: the value of `served` at which each ends
        while len(self.ends) < len(starts):
            rate = min(node, source / len(goals)) if goals else 0.0
            end = now + (goals[0] - served) / rate if goals else float("inf")
            start = starts[begun] if begun < len(starts) else float("inf")
            served += rate * (min(end, start) - now)
            now = min(end, start)
            if end <= start:
                served = heapq.heappop(goals)
                self.ends.append(now)
            else:
                begun += 1
                waiting += 1
            while waiting and len(goals) < limit:
                heapq.heappush(goals, served + size)
                waiting -= 1
            self.most_at_once = max(self.most_at_once, len(goals))
            if goals:
                self.slowest_read = max(self.slowest_read, READ * len(goals) / source, READ / node)


def rows(options):
    """(what is done, its Rollout) for each way."""
    dice = random.Random(0)
    model, source, node = options.model * GIB, options.source * GBIT, options.node * GBIT
    fitting = max(1, round(source / node))
    crowd = [dice.uniform(0, options.spread) for _ in range(options.nodes)]
    pods = [start for start in crowd for _ in range(options.pods)]

    def way(starts, size, at_once=None):
        return Rollout(starts, size, source, node, at_once)

    # The pods of a node share its network, which is no limit while the source is one.
    yield f"each of {options.pods} pods a node fetches its own copy", \
        Rollout(pods, model, source, node / options.pods)
    yield "skopsfs, a copy a node, all nodes at once", way(crowd, model)
    yield f"the same, {10 * fitting} nodes at a time", way(crowd, model, 10 * fitting)
    yield f"the same, {fitting} nodes at a time", way(crowd, model, fitting)
    yield f"the same, {max(1, fitting // 2)} at a time, half of the source left to others", \
        way(crowd, model, max(1, fitting // 2))
    yield f"skopsfs, all at once, {options.touched:.0%} of the model is ever touched", \
        way(crowd, model * options.touched)


def duration(seconds):
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def table(options):
    yield (f"{options.nodes} nodes, {options.model:g} GiB; the source gives {options.source:g} Gbit/s, a node "
           f"takes {options.node:g}; pods start within {options.spread:g} s; late: after "
           f"{options.deadline:g} s.")
    yield ""
    yield ("| way | read from the source | wanted at the worst, of what it has | first ready | half | last | "
           "late | 1 MiB at the worst |")
    yield "|---|---|---|---|---|---|---|---|"
    for name, rollout in rows(options):
        wanted = min(rollout.most_at_once, options.nodes) * options.node / options.source
        late = sum(end > options.deadline for end in rollout.ends) / len(rollout.ends)
        yield (f"| {name} | {rollout.bytes / 1e12:.1f} TB | {wanted:,.1f} x | {duration(rollout.ends[0])} | "
               f"{duration(statistics.median(rollout.ends))} | {duration(rollout.ends[-1])} | {late:.0%} | "
               f"{rollout.slowest_read * 1000:,.1f} ms |")


def check():
    """The simulation against what can be worked out by hand."""
    def equal(found, expected):
        assert abs(found - expected) < 1e-6 * max(1, expected), (found, expected)

    alone = Rollout([3.0], 100, source=10, node=5)
    equal(alone.ends[0], 3 + 100 / 5)
    crowd = Rollout([0.0] * 8, 100, source=10, node=5)
    for end in crowd.ends:
        equal(end, 8 * 100 / 10)
    pairs = Rollout([0.0] * 8, 100, source=10, node=5, at_once=2)
    for index, end in enumerate(pairs.ends):
        equal(end, (index // 2 + 1) * 100 / 5)
    assert pairs.most_at_once == 2 and crowd.most_at_once == 8
    # The second one comes when the first has half of it, and they share from then on.
    two = Rollout([0.0, 10.0], 100, source=5, node=5)
    equal(two.ends[0], 10 + 50 / 2.5)
    equal(two.ends[1], 200 / 5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000, help="that get the model (1000)")
    parser.add_argument("--model", type=float, default=10, metavar="GIB", help="its size (10)")
    parser.add_argument("--pods", type=int, default=4, help="on each node that use it (4)")
    parser.add_argument("--source", type=float, default=20, metavar="GBIT",
                        help="what the source can give, in Gbit/s (20: two ports of a filer)")
    parser.add_argument("--node", type=float, default=10, metavar="GBIT",
                        help="what a node can take, in Gbit/s (10)")
    parser.add_argument("--spread", type=float, default=60, metavar="SECONDS",
                        help="within which all pods are started (60)")
    parser.add_argument("--touched", type=float, default=0.2, help="share of a model that is used (0.2)")
    parser.add_argument("--deadline", type=float, default=600, metavar="SECONDS",
                        help="after which a node is late (600: progressDeadlineSeconds)")
    parser.add_argument("--check", action="store_true", help="only check the simulation itself")
    options = parser.parse_args()
    check()
    if not options.check:
        print("\n".join(table(options)))


if __name__ == "__main__":
    main()
