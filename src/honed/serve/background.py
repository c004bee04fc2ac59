"""Work that is done again in the background whenever something has changed, by one thread."""

import threading
import time
from collections.abc import Callable


class BackgroundWork:
    """A thread that calls ``work`` after every `ask`, once for all that was asked meanwhile.

    ``working`` tells whether it is at work or about to be; ``fault`` says what the last call raised, or is empty. After
    each call it rests ``rest`` times as long as the call took.
    """

    def __init__(self, work: Callable[[], None], *, rest: float = 0.0) -> None:
        """Start the thread, which waits until it is asked."""
        self.working, self.fault = False, ""
        self._work, self._rest = work, rest
        self._changed, self._asked, self._closed = threading.Condition(), False, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Ask for the work to be done; returns at once."""
        with self._changed:
            self.working = self._asked = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread, after the call that runs: a thread in compiled code must not outlive the interpreter."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._closed)
                if self._closed:
                    return
                self._asked = False
            began = time.monotonic()
            try:
                self._work()
                self.fault = ""
            except Exception as error:  # for the user to see: the thread goes on
                self.fault = str(error)
            with self._changed:
                self.working = self._asked
                self._changed.wait_for(lambda: self._closed, self._rest * (time.monotonic() - began))
