"""Builds the app and launches it: on GRADIO_SERVER_NAME (127.0.0.1) and GRADIO_SERVER_PORT (7860)."""

import argparse
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from bertspace import hardware, processes  # noqa: E402
from bertspace.ui.access import connections  # noqa: E402
from bertspace.ui.app import build_app, launch_options, owner_address, start_in_background  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", action="store_true", help="give the page a public address for visitors")
    options = launch_options(parser.parse_args().share)
    hardware.share_cores()
    processes.bars_in_terminals_only()
    app = build_app()
    app.launch(prevent_thread_lock=True, **options)
    connections.watch(app.server)
    print(owner_address(app), flush=True)
    start_in_background()
    app.block_thread()


if __name__ == "__main__":
    main()
