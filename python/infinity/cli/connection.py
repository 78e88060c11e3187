"""The way from a command to the running daemon.

Every command that needs the daemon calls ``connect``. What the daemon refuses ends the command with the
daemon's own words and an exit code that scripts can rely on. The token goes to this machine only, and
through no proxy (S7).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from infinity.errors import InfinityError

from .exits import FAILED, NOT_FOUND, NOT_RUNNING, REFUSED, Failure, from_error
from .options import the_home

if TYPE_CHECKING:
    import httpx

    from infinity.local.home import DaemonState, Home

__all__ = ["Connection", "check", "connect", "find_daemon", "headers"]

SECONDS = 30.0


def find_daemon(home: Home) -> DaemonState:
    """Find the daemon that holds a home.

    Args:
        home: The directory.

    Raises:
        Failure: with exit code 3, if nobody holds it, or its daemon is starting or stopping.
    """
    try:
        state = home.holder()
    except InfinityError as error:
        raise from_error(error) from None
    if state is None:
        raise Failure(
            f"no daemon is running for {home.path}; start it with 'infinity daemon start'", NOT_RUNNING
        )
    # The lock is held before the daemon listens, and until it has stopped.
    if not state.address.startswith("http"):
        raise Failure(
            f"the daemon for {home.path} is starting or stopping; try again in a moment", NOT_RUNNING
        )
    return state


def headers(home: Home) -> dict[str, str]:
    """The headers that every request to the daemon of this home needs.

    Raises:
        Failure: with exit code 3, if the home has no token yet.
    """
    try:
        token = home.token()
    except InfinityError as error:
        raise from_error(error) from None
    if token is None:
        raise Failure(
            f"{home.path} has no token; start the daemon once with 'infinity daemon start'", NOT_RUNNING
        )
    return {"Authorization": f"Bearer {token}"}


class Connection:
    """Requests to one daemon; what it refuses ends the command with the exit code for it.

    Args:
        home: Where the token is.
        state: Where the daemon listens.

    Raises:
        Failure: from every method, if the daemon refuses or does not answer.
    """

    def __init__(self, home: Home, state: DaemonState) -> None:
        import httpx

        self.state = state
        # Straight to this machine: a proxy from the environment must not get the token.
        self._http = httpx.Client(
            base_url=state.address, headers=headers(home), timeout=SECONDS, trust_env=False
        )

    def get(self, path: str, **query: Any) -> Any:
        """Send a GET, and give the answer's JSON. ``query``: parameters; ``None`` is left out."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._request("GET", path, params=wanted)

    def entries(self, thread: str, after: int) -> tuple[list[dict[str, Any]], str | None]:
        """The end of a thread's history.

        Args:
            thread: Its id.
            after: The position to begin behind; -1 is the beginning.

        Returns:
            At most 1000 entries, and what is said of those that are damaged; ``None`` if none are.
        """
        found = self._request(
            "GET", f"/v1/threads/{thread}/entries", params={"after": after, "limit": 1000}, whole=False
        )
        return found["entries"], found["error"]["message"] if "error" in found else None

    def post(self, path: str, body: Any = None, *, key: str | None = None, within: float = SECONDS) -> Any:
        """Send a POST, and give the answer's JSON.

        Args:
            path: Of the API.
            body: A JSON value, or nothing.
            key: The ``Idempotency-Key``, under which a repeat is harmless.
            within: Seconds that the daemon may take.
        """
        headers = {"Idempotency-Key": key} if key else {}
        return self._request("POST", path, json=body, headers=headers, timeout=within)

    def upload(self, path: str, file: IO[bytes], *, within: float) -> Any:
        """Send a file as it is, and give the answer's JSON.

        Args:
            path: Of the API.
            file: Opened for reading bytes; it is streamed.
            within: Seconds that the daemon may take.
        """
        headers = {"Content-Type": "application/octet-stream"}
        return self._request("POST", path, content=file, headers=headers, timeout=within)

    def download(self, path: str, body: Any, file: IO[bytes], *, within: float) -> int:
        """Write the answer of a POST to a file.

        Args:
            path: Of the API.
            body: A JSON value.
            file: Opened for writing bytes.
            within: Seconds between two pieces.

        Returns:
            How many bytes were written.

        Raises:
            Failure: also if the file ends too early; what was written is worth nothing then.
        """
        import httpx

        try:
            with self._http.stream("POST", path, json=body, timeout=within) as response:
                if not response.is_success:
                    response.read()
                    check(response)
                return sum(file.write(piece) for piece in response.iter_raw())
        except httpx.TransportError as error:
            raise Failure(
                f"the daemon at {self.state.address} did not send it all ({type(error).__name__})"
            ) from None

    def delete(self, path: str, *, within: float = SECONDS) -> Any:
        """Send a DELETE, and give the answer's JSON. ``within``: seconds that the daemon may take."""
        return self._request("DELETE", path, timeout=within)

    def _request(
        self, method: str, path: str, *, headers: Mapping[str, str] = {}, whole: bool = True, **options: Any
    ) -> Any:
        import httpx

        try:
            return check(self._http.request(method, path, headers=dict(headers), **options), whole=whole)
        except httpx.ConnectError:
            raise Failure(
                f"the daemon at {self.state.address} does not listen any more; see 'infinity daemon status'",
                NOT_RUNNING,
            ) from None
        except httpx.TransportError as error:
            raise Failure(
                f"the daemon at {self.state.address} did not answer ({type(error).__name__}); see its daemon.log"
            ) from None


def connect() -> Connection:
    """Connect to the daemon of the home that the command line names.

    Raises:
        Failure: with exit code 3, if none runs.
    """
    home = the_home()
    return Connection(home, find_daemon(home))


def check(response: httpx.Response, *, whole: bool = True) -> Any:
    """Read an answer.

    Args:
        response: Of the daemon.
        whole: Whether the error ``damaged`` is a failure even if it comes with entries.

    Returns:
        The JSON of a good answer.

    Raises:
        Failure: for any other, with the daemon's words: exit code 4 if something does not exist, 5 if it
            refused, else 1.
    """
    if response.is_success:
        return response.json()
    code = ""
    try:
        body = response.json()
        text, code = body["error"]["message"], body["error"]["code"]
        if code == "damaged" and not whole and "entries" in body:
            return body
    except (ValueError, KeyError, TypeError):
        text = f"the daemon answered HTTP {response.status_code}"
    # A thread that was deleted is as little there as one that never was: the same exit code for scripts.
    if response.status_code == 404 or code == "deleted":
        raise Failure(text, NOT_FOUND)
    raise Failure(text, REFUSED if response.status_code < 500 else FAILED)
