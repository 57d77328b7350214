"""Results as tables and pictures."""

import os
import statistics


def line(row):
    """One row, as it is printed while others are measured."""
    low, high = min(row.ratios), max(row.ratios)
    return (f"{row.number:>5}  {row.figure:10.3f}  ({low:.3f} to {high:.3f}; wanted {wanted(row.bound)})  "
            f"{'' if row.holds else 'FALLS SHORT  '}{row.what}")


def wanted(bound):
    """The bound of a row."""
    return "-" if bound is None else f"{bound[0]} {bound[1]:g}"


def value(number, unit):
    """As people read it."""
    if number is None:
        return "did not finish"
    if unit == "seconds":
        for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
            if number >= size:
                return f"{number / size:.3g} {name}"
        return f"{number * 1e9:.3g} ns"
    if unit == "bytes":
        return f"{number / (1 << 20):,.1f} MiB"
    return f"{number:,.0f} {unit}" if number >= 1000 else f"{number:.3g} {unit}"


def place(row):
    """By which rows are sorted: 2b is between 2 and 3."""
    digits = "".join(filter(str.isdigit, row["number"]))
    return int(digits), row["number"]


def figure(row, number):
    """A number of the row's figure: with its unit, unless that is a ratio."""
    is_ratio = row["ratios"] not in row["values"].values()
    return f"{number:.3g}" if is_ratio else value(number, row["unit"])


def tables(results):
    """The figures, and the medians that they were made of."""
    rows = sorted(results["rows"], key=place)
    lines = ["| # | what | wanted | measured | rounds | lowest, highest |", "|---|---|---|---|---|---|"]
    for row in rows:
        bound = row["bound"]
        lines.append(f"| {row['number']} | {row['what']} | "
                     f"{'-' if bound is None else f'{bound[0]} {figure(row, bound[1])}'} | "
                     f"{'' if row['holds'] else '**falls short** '}{figure(row, row['figure'])} | "
                     f"{len(row['ratios'])} | "
                     f"{figure(row, min(row['ratios']))}, {figure(row, max(row['ratios']))} |")
    lines += ["", "Medians of what was measured:", "", "| # | what | way: median |", "|---|---|---|"]
    for row, before in zip(rows, [None, *rows]):
        if before and row["values"] == before["values"]:
            continue  # two figures of the same
        ways = ", ".join(f"{way}: {value(median(found), row['unit'])}"
                         for way, found in row["values"].items() if found)
        lines.append(f"| {row['number']} | {row['what']} | {ways} |")
    return "\n".join(lines) + "\n"


def median(found):
    finished = [number for number in found if number is not None]
    return statistics.median(finished) if finished else None


def picture(curve, path):
    """Medians over the number of processes, a line a way."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "skopsfs"  # the same file for the same values
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(6.4, 4))
    for way, values in curve["values"].items():
        counts = sorted(int(count) for count in values)
        medians = [statistics.median(values[str(count)]) / 2**30 for count in counts]
        axes.plot(counts, medians, marker="o", label=way, linewidth=3 if way == "skopsfs" else 1.5)
    axes.set_xticks(counts)
    axes.set_xlabel("processes")
    axes.set_ylabel("GiB/s" if "second" in curve["unit"] else "GiB")
    axes.set_ylim(bottom=0)
    axes.set_title(curve["what"], fontsize=10)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def write(results, folder):
    """`results` is as it is in results.json."""
    with open(os.path.join(folder, "tables.md"), "w", encoding="utf-8") as file:
        file.write(tables(results))
    for curve in results["curves"]:
        try:
            picture(curve, os.path.join(folder, f"{curve['name']}.svg"))
        except ImportError as error:
            print(f"no picture of {curve['name']}: {error}")
