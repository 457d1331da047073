"""Files that people upload, taken in the place of gradio: bounded as they come, each into a person's folder.

gradio (6.31) writes what comes into files without a name that a broken-off upload leaves behind, and puts all
in one folder. Starlette's own parser keeps it in files that are gone when they are closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from bertspace.data import tables
from bertspace.errors import DataError, ForbiddenError
from bertspace.ui.access import bodies, files, sites
from bertspace.ui.access.admission import UPLOAD_SECONDS, UPLOADS
from bertspace.ui.access.bodies import Receive, Refused
from bertspace.ui.access.sites import Scope

MAX_FILES = 20  # of one upload
AROUND = 64 * 1024  # bytes of one that are not of its files
# The page asks how far an upload is; it takes this for an answer, and shows the file when it is there.
PROGRESS = 'data: {"msg": "done"}\n\n'


def is_upload(scope: Scope) -> bool:
    return scope["method"] == "POST" and _path(scope) == "/upload"


def asks_for_progress(scope: Scope) -> bool:
    return _path(scope) == "/upload_progress"


def _path(scope: Scope) -> str:
    return str(scope["path"]).removeprefix("/gradio_api").rstrip("/")


async def take(scope: Scope, receive: Receive, key: str) -> list[str]:
    """Where the files are now; raises Refused where they are not taken, and Gone where they broke off."""
    if not UPLOADS.take(key):
        raise Refused(429, f"{UPLOADS.each} uploads of yours are at work, or too many of all; try again.")
    try:
        form = await _read(scope, receive)
        try:
            paths = [await _keep(each) for each in form.getlist("files") if isinstance(each, UploadFile)]
        finally:
            await form.close()
    finally:
        UPLOADS.free(key)
    scope["app"].get_blocks().upload_file_set.update(paths)  # gradio removes them when they are a day old
    return paths


async def _read(scope: Scope, receive: Receive) -> FormData:
    most = tables.MAX_FILE_BYTES + AROUND
    kind, options = parse_options_header(sites.header(scope, "content-type"))
    if kind != b"multipart/form-data" or not (boundary := options.get(b"boundary")):
        raise Refused(400, "That is not how files are uploaded.")
    # Without the caller's charset: starlette would decode by it, and some take the square of a name's length.
    headers = Headers({"content-type": f"multipart/form-data; boundary={boundary.decode('latin-1')}"})
    bodies.check_length(scope, most)
    stream: Any = bodies.chunks(receive, most, UPLOAD_SECONDS)
    parser = MultiPartParser(headers, stream, max_files=MAX_FILES, max_fields=MAX_FILES, max_part_size=AROUND)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise Refused(400, f"That is not how files are uploaded: {error.message[:200]}") from error


async def _keep(upload: UploadFile) -> str:
    size = upload.size or 0
    if size > tables.MAX_FILE_BYTES:
        raise bodies.too_large(tables.MAX_FILE_BYTES)
    try:
        return await asyncio.to_thread(files.taken, upload.file, upload.filename or "", size)
    except ForbiddenError as error:
        raise Refused(507, str(error)) from error
    except (DataError, OSError, ValueError) as error:
        raise Refused(400, "That is no name of a file.") from error
