"""A native stack that is held up while several commands measure on it."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile

from pages import ROOT

BINARY = ROOT / "target/release/lanebench"


class Held:
    """`lanebench stack up` with these flags, until it is told to stop."""

    def __init__(self, *flags):
        self.process = subprocess.Popen([BINARY, "stack", "up", *map(str, flags)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = [self.process.stdout.readline().strip() for _ in range(3)]
        self.env = dict(line.split("=", 1) for line in lines)

    def run(self, command, result, *flags):
        """A command of lanebench on it; what it saved under the name of `result`."""
        with tempfile.TemporaryDirectory() as scratch:
            out = pathlib.Path(scratch) / "report"
            subprocess.run([BINARY, command, "--stack", "external", "--quiet", "--out", out, *map(str, flags)],
                           cwd=ROOT, env={**os.environ, **self.env}, stdout=subprocess.DEVNULL, check=True)
            return json.loads((out / result).read_text())

    def down(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
