"""`make hub`: the tests' Hub at a port of this machine, to try pulls, pushes and sign-in by hand.

Everything on it is gone when it ends.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
import threading
from pathlib import Path

from bertspace import models
from tests.support.hub import Hub


def main() -> None:
    parser = argparse.ArgumentParser(prog="make hub", description=__doc__)
    parser.add_argument("--port", type=int, default=7870)
    port = parser.parse_args().port
    with tempfile.TemporaryDirectory() as folder, Hub(Path(folder), port) as hub:
        token, _ = hub.user("alice", orgs=("team",)), hub.user("bob")
        hub.put("alice/minilm", models.locate("starter").path)
        print(
            f"A Hub at {hub.url}, with the model alice/minilm and the accounts alice (of the team) and bob."
        )
        print("For the app as the owner's, with alice's login, start it with:\n")
        print(f"  export HF_ENDPOINT={hub.url} HF_TOKEN={token}\n")
        print("and for an app as on a Space, where people sign in:\n")
        space = " ".join(f"{name}={shlex.quote(value)}" for name, value in hub.oauth_environment().items())
        print(f"  export HF_ENDPOINT={hub.url} {space}\n\nCtrl-C ends it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
