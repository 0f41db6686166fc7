"""Request bodies, read no further than they may be long, and for no longer than they may take."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request

BODY_SECONDS = 60.0


async def read_body(request: Request, limit: int) -> bytes:
    """The body; 413 as soon as it is longer than `limit` bytes, whatever its header claims; 408 where it never ends."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise HTTPException(413, f"expected at most {limit} bytes")
    except TimeoutError:
        raise HTTPException(408, f"expected the whole body within {BODY_SECONDS:.0f} s") from None
    return bytes(body)
