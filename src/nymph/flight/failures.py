"""What went wrong on the wire, in both directions: errors that say so without traceback or path, and their meaning.

The server marks each error it raises (`extra_info`), so that a client need not guess from gRPC's wording.
"""

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError

REFUSED = b"nymph:refused"
"""The request can never succeed as it is."""
BUSY = b"nymph:busy"
"""Too many streams, or the server is closing: ask again later."""
PREPARING = b"nymph:preparing"
"""The table is being cached: ask again later, however long it takes."""

WIRE_ERRORS = (fl.FlightError, pa.ArrowException, OSError)
"""Everything a Flight call raises for what happens at the other end."""
_PASSING = (fl.FlightUnavailableError, fl.FlightTimedOutError, fl.FlightCancelledError, fl.FlightInternalError)

_HUNG_UP = ("Socket closed", "Connection reset", "Broken pipe")
"""How gRPC words it that the other end accepted the connection, and ended it before it answered."""


def refusal(message: str) -> fl.FlightServerError:
    """The error for a request that cannot be served."""
    return fl.FlightServerError(message, extra_info=REFUSED)


def passing(error: Exception) -> bool:
    """Whether asking again may help: the server is down, restarting, silent, busy or preparing."""
    if certificate_problem(error) or isinstance(error, pa.ArrowInvalid):
        return False
    return isinstance(error, _PASSING) or (isinstance(error, OSError) and not isinstance(error, fl.FlightError))


def preparing(error: Exception) -> bool:
    """Whether the server is up and making the table's cache."""
    return getattr(error, "extra_info", b"") == PREPARING


def certificate_problem(error: Exception) -> bool:
    """Whether TLS failed; gRPC reports it as an unavailable server."""
    text = str(error)
    return any(sign in text for sign in ("Ssl handshake failed", "SSL_ERROR", "CERTIFICATE_VERIFY", "Peer name"))


def advice(error: Exception) -> str:
    """What to do about a server that could not be reached."""
    text = str(error)
    if "failed to connect" in text and any(sign in text for sign in _HUNG_UP):
        return (
            "it hangs up on strangers: where it uses TLS, the address begins with grpc+tls://, and where it asks for a "
            "certificate, certificate_file is one that it trusts and that has not expired"
        )
    return "start `kedro serve` there, or check the address and the network"


def describe(server: str, error: Exception) -> NymphError:
    """One line for a user, naming the server."""
    if certificate_problem(error):
        return NymphError(
            f"{server}: the TLS handshake failed; check ca_file, the host name and the expiry of the server's "
            "certificate, and certificate_file where the server asks for one"
        )
    if isinstance(error, fl.FlightUnauthenticatedError):
        return NymphError(f"{server}: the token was refused; set the token, or the file that holds it")
    return NymphError(f"{server}: {reason(error)}")


def reason(error: Exception) -> str:
    """The other end's own words, without gRPC's context."""
    text = str(error).split(". Detail:")[0].split(". gRPC client debug context")[0].splitlines()
    return text[0][:500] if text else type(error).__name__
