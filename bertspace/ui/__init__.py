"""The page: `app.build_app()`, one build function a tab, and pure drawing beside them."""
