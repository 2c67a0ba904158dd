"""Questions to a model behind an OpenAI-compatible endpoint that may be slow, busy or gone.

What passes (too many requests, an error of the server, a lost connection, no reply in time) is tried again after a
pause that doubles. The key is sent to the address in the config and nowhere else: redirects are not followed. Messages
hold the address and what kind of thing went wrong, and never the key or a word of what the endpoint said, since an
endpoint may repeat the key.
"""

import email.utils
import http.client
import json
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from trimtab.errors import TrimtabError

SECONDS = 120.0
"""An attempt may take, whatever it is that takes so long."""

ATTEMPTS = 5
PAUSE_S = 2.0
"""Before the second attempt; it doubles from one to the next."""

LONGEST_PAUSE_S = 60.0
"""However long an endpoint asks to wait."""

LARGEST = 2**24
"""Bytes of a reply."""

T = TypeVar("T")


@dataclass(eq=False)
class Failed(Exception):
    """An attempt that came to nothing."""

    why: str
    passes: bool
    """Whether another attempt may do better."""
    pause: float | None = None
    """Seconds that the endpoint asks to wait."""


def complete(url: str, model: str, messages: Sequence[dict[str, str]], key: str) -> str:
    """The model's reply.

    Args:
        key: what the endpoint knows its users by; empty where it wants none.

    Raises:
        TrimtabError: there is none, also not at a later attempt.
    """
    request = _request(url, model, messages, key)
    attempt, pause = 1, PAUSE_S
    while True:
        try:
            return _within(SECONDS, lambda: _reply(request))
        except Failed as failed:
            if not failed.passes or attempt == ATTEMPTS:
                tries = f", {attempt} times" if attempt > 1 else ""
                raise TrimtabError(f"{url}: {failed.why}{tries}") from None
            time.sleep(min(pause if failed.pause is None else failed.pause, LONGEST_PAUSE_S))
            attempt, pause = attempt + 1, 2 * pause


def _request(url: str, model: str, messages: Sequence[dict[str, str]], key: str) -> urllib.request.Request:
    if re.fullmatch(r"https?://[^\s@?#]+", url) is None:
        raise TrimtabError(
            "the endpoint's address is none of http or https, or holds a user, a password or a query, which records "
            "and logs would show; expected a plain address, and the key in the environment"
        )
    if not key.isascii() or not key.isprintable():
        raise TrimtabError("the endpoint's key holds characters that no header can; expected printable ASCII")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = json.dumps({"model": model, "messages": list(messages), "temperature": 0}).encode()
    return urllib.request.Request(f"{url.rstrip('/')}/chat/completions", body, headers)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None: the answer is then an error with its status."""


def _reply(request: urllib.request.Request) -> str:
    """One attempt.

    Raises:
        Failed: it came to nothing.
    """
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=SECONDS) as answer:
            body = answer.read(LARGEST)
            if answer.length:
                raise http.client.IncompleteRead(body, answer.length)
    except urllib.error.HTTPError as error:
        # it holds the connection open
        error.close()
        redirected = "; redirects are not followed" if 300 <= error.code < 400 else ""
        passes = error.code in (408, 425, 429) or error.code >= 500
        raise Failed(f"answers {error.code}{redirected}", passes, _asked_to_wait(error.headers)) from None
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"gives no chat completion ({_kind(error)})", passes=True) from None
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Failed(f"gives no chat completion ({_kind(error)})", passes=False) from None
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _kind(error: Exception) -> str:
    """The name of an error, or of what it stands for: its text may hold anything."""
    reason = getattr(error, "reason", None)
    return type(reason if isinstance(reason, Exception) else error).__name__


def _asked_to_wait(headers: Any) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or as a time."""
    said = headers.get("Retry-After", "") if headers else ""
    if said.isdecimal():
        return float(said)
    try:
        return max((email.utils.parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns, unless it takes longer: a socket's own limit begins anew with each byte that comes."""
    done: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put((call(), None))
        except Exception as error:
            # handed on, not kept
            done.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        found, error = done.get(timeout=seconds)
    except queue.Empty:
        raise Failed(f"gives no chat completion (no whole reply in {seconds:g} s)", passes=True) from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]
