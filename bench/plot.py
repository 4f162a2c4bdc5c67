"""The picture of the README: docs/ratios.svg from a record of compare.py.

usage: plot.py bench/results/workloads-3.11.json docs/ratios.svg
"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

COLOURS = {"uvloop": "#b0b7c3", "ouro": "#2f6f4f"}


def plot(record, path):
    table = record["workloads"]
    names = sorted(table, key=lambda name: table[name]["ouro"]["ratio"])
    height = 0.38
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(names) + 1.2))
    for offset, (implementation, colour) in enumerate(COLOURS.items()):
        axes.barh(
            [i + (offset - 0.5) * height for i in range(len(names))],
            [
                table[name].get(implementation, {}).get("ratio", 0)
                for name in names
            ],
            height,
            color=colour,
            label=implementation,
        )
    axes.axvline(1, color="#333", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(f"times less CPU than asyncio (Python {record['python']})")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    with open(sys.argv[1]) as file:
        plot(json.load(file), sys.argv[2])


if __name__ == "__main__":
    main()
