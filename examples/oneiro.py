#!/usr/bin/env python3
"""Lets liveframe, a public measuring client, measure a world.

    cargo build --release
    pip install "liveframe[world]==0.3.1"
    liveframe world run examples/oneiro.py:Oneiro --python "$PWD/examples/oneiro.py" --suite quick --run-root runs

liveframe starts its worker with the Python of the model. This file stands in for both, and becomes `oneiro bridge`.
ONEIRO names another program, ONEIRO_WORLD another world.
"""

import os
import sys
from pathlib import Path


class Oneiro:
    """What liveframe asks a file to hold; nobody calls it."""


def main():
    # liveframe also asks a model's Python for its version of torch; there is none.
    if not (len(sys.argv) > 1 and sys.argv[1].endswith("liveframe_bridge_worker.py")):
        sys.exit("expected to be started by liveframe, as its --python")
    beside = Path(__file__).resolve().parent.parent / "target/release/oneiro"
    program = os.environ.get("ONEIRO", str(beside))
    world = os.environ.get("ONEIRO_WORLD", "doom-rooms")
    os.execvp(program, [program, "bridge", "--world", world])


if __name__ == "__main__":
    main()
