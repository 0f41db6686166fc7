"""Request bodies, read no further than they may be long."""

from starlette.exceptions import HTTPException
from starlette.requests import Request


async def read_body(request: Request, limit: int) -> bytes:
    """The body; 413 as soon as it is longer than `limit` bytes, whatever its header claims."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"expected at most {limit} bytes")
    return bytes(body)
