"""Builds the app and launches it: on GRADIO_SERVER_NAME (127.0.0.1) and GRADIO_SERVER_PORT (7860)."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from bertspace import hardware  # noqa: E402
from bertspace.ui.app import build_app, launch_options, start_in_background  # noqa: E402


def main() -> None:
    hardware.share_cores()
    app = build_app()
    app.launch(
        server_name=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        server_port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        prevent_thread_lock=True,
        **launch_options(),
    )
    start_in_background()
    app.block_thread()


if __name__ == "__main__":
    main()
