"""Everything that is measured: `make bench`.

Writes workloads-3.X.json, echo-3.X.json, udp-3.X.json and tls-3.X.json into
bench/results, and with Python 3.11 the picture of the README.
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"
VERSION = "%d.%d" % sys.version_info[:2]


def run(script, *arguments):
    print(f"\n{script}", flush=True)
    subprocess.check_call(
        [sys.executable, str(HERE / script), *map(str, arguments)]
    )


def main():
    RESULTS.mkdir(exist_ok=True)
    workloads = RESULTS / f"workloads-{VERSION}.json"
    run("compare.py", "--json", workloads)
    run("echo.py", "--json", RESULTS / f"echo-{VERSION}.json")
    run("udp.py", "--json", RESULTS / f"udp-{VERSION}.json")
    run("tls_echo.py", "--json", RESULTS / f"tls-{VERSION}.json")
    run("threads.py")
    run("memory.py")
    if VERSION == "3.11":
        run("plot.py", workloads, HERE.parent / "docs" / "ratios.svg")


if __name__ == "__main__":
    main()
