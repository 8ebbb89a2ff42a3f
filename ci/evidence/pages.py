"""What the evidence scripts share: keeping result files, and rendering claims as rows of a page.

A bar that was missed stays on its page, marked NO.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Evidence:
    """A page of docs/evidence, and the files beside it that it is made from."""

    def __init__(self, name):
        self.name = name
        self.files = ROOT / "docs/evidence" / name
        self.page = ROOT / f"docs/evidence/{name}.md"

    def load(self, name, default=None):
        """What is kept under a name; `default`, if there is one, where nothing is."""
        if default is not None and not self.there(name):
            return default
        return json.loads((self.files / f"{name}.json").read_text())

    def results(self):
        """All results that are kept, in the order of their files' names."""
        for file in sorted(self.files.glob("*.json")):
            yield from results_in(json.loads(file.read_text()))

    def save(self, name, value):
        self.files.mkdir(parents=True, exist_ok=True)
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        (self.files / f"{name}.json").write_text(text + "\n")

    def there(self, name):
        return (self.files / f"{name}.json").exists()

    def collect(self, kept):
        """Takes over what tests wrote under LANEBENCH_EVIDENCE; what they did not write this time stays."""
        (self.files / "tests").mkdir(parents=True, exist_ok=True)
        for file in pathlib.Path(kept).glob("*.json"):
            shutil.copy(file, self.files / "tests" / file.name)

    def tests(self):
        return {p.stem: json.loads(p.read_text()) for p in (self.files / "tests").glob("*.json")}

    def main(self, usage, text, measure):
        """The command line of every evidence script; `text` makes the page, `measure` the files."""
        flags = sys.argv[1:]
        if flags == ["--check"]:
            if self.page.read_text() != text():
                sys.exit(f"error: docs/evidence/{self.name}.md is not what its files say\n\n"
                         f"hint: run ci/evidence/{self.name}")
            return
        if flags[:1] == ["--measure"]:
            measure(flags[1:])
        elif flags[:1] == ["--collect"] and len(flags) == 2:
            self.collect(flags[1])
        elif flags:
            sys.exit(usage)
        self.page.write_text(text())
        misses = len(re.findall(r"\*\*NO\*\* \|$", self.page.read_text(), re.M))
        print(f"{self.page.relative_to(ROOT)}: {misses} bars missed")


def timed(command, **kw):
    """Exit code and seconds of a shell command, run from the root of the tree."""
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, shell=True, **kw)
    return done.returncode, time.monotonic() - begun


def clean_build(evidence, name):
    import tempfile

    with tempfile.TemporaryDirectory() as target:
        code, seconds = timed("cargo build --release --locked", env={**os.environ, "CARGO_TARGET_DIR": target})
    evidence.save(name, {"exit": code, "seconds": round(seconds, 1), "cores": os.cpu_count()})


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def estimate(e, unit=1.0):
    text = number(e["value"] / unit)
    if e["low"] is not None:
        text += f" ({number(e['low'] / unit)}–{number(e['high'] / unit)}, {e['confidence'] * 100:g} %)"
    return text


def trials(result):
    return [t for c in result["configurations"] for t in c["trials"]]


def total(result, key):
    return sum(t["verification"][key] for t in trials(result))


def pairs_of(verification):
    """Adjacent pairs at the place with the fewest. (`order_pairs_checked` was once their sum over the places.)"""
    places = verification.get("order_checks") or verification["order_by_gate"]  # as it was called once
    return min((place["pairs"] for place in places.values()), default=0)


def pairs_checked(result):
    return sum(pairs_of(t["verification"]) for t in trials(result))


def phase(trial, kind):
    """The phase of a kind, or None."""
    return next((p for p in trial["phases"] if p["kind"] == kind), None)


def phases(result, kind):
    return [p for t in trials(result) if (p := phase(t, kind))]


def compared(result, metric):
    """The comparison of a metric, or None. Files of schema 1 had one kind of throughput, that of the drain."""
    wanted = {metric, "throughput_per_s"} if result["schema_version"] == 1 and metric == "drain_per_s" else {metric}
    return next((c for c in result["comparisons"] if c["metric"] in wanted), None)


def shapes(result):
    """The shapes of the surge's lag, a configuration."""
    return {c["name"]: [p["peak"]["shape"] for t in c["trials"] if (p := phase(t, "surge"))] for c in result["configurations"]}


def slim(node, unwanted=("series", "histogram", "consumers", "partitions")):
    """A result without what no page shows: samples of lag, buckets, shares."""
    if isinstance(node, dict):
        return {k: slim(v, unwanted) for k, v in node.items() if k not in unwanted or not isinstance(v, list)}
    return [slim(v, unwanted) for v in node] if isinstance(node, list) else node


def row(claim, command, figure, n, holds):
    """A line of the table; `holds` is None where there is no bar."""
    mark = "—" if holds is None else "yes" if holds else "**NO**"
    cells = (str(cell).replace("|", "\\|") for cell in (claim, command, figure, n, mark))
    return f"| {' | '.join(cells)} |"


def head():
    return ["| claim | command | figure | n | holds |", "|---|---|---|--:|---|"]


def machine(result):
    e = result["environment"]
    return (f"{e['cpu']}, {e['cores']} cores, {e['memory_bytes'] / 2**30:.0f} GiB, Linux {e['kernel']}; "
            f"lanebench {e['version']} at {e['commit'][:12]}{' (dirty)' if e['dirty'] else ''}, {e['profile']} build")


def results_in(node):
    """Whatever says where it was measured."""
    if isinstance(node, dict) and "environment" in node and "stack" in node:
        yield node
    elif isinstance(node, (dict, list)):
        for part in node.values() if isinstance(node, dict) else node:
            yield from results_in(part)


def machines(results):
    """Where these were measured, and at which commit: all of them, where parts of a page were measured at different times."""
    return "; and ".join(dict.fromkeys(machine(result) for result in results))


def warned(result):
    return [f"- `{w['code']}`: {w['message']}" for w in result["warnings"]] or ["- nothing"]
