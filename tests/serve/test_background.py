"""Work that is done again in the background."""

import threading

from honed.serve.background import BackgroundWork


class _Counted:
    """Work that says when it began and waits for a signal to end."""

    def __init__(self) -> None:
        self.calls = 0
        self.began, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self) -> None:
        self.calls += 1
        self.began.release()
        assert self.go.acquire(timeout=60)
        if self.calls == 1:
            raise ValueError("no votes")


def test_what_is_asked_meanwhile_is_done_once_and_a_fault_is_told() -> None:
    counted = _Counted()
    work = BackgroundWork(counted)
    assert not work.working
    work.ask()
    assert counted.began.acquire(timeout=60)
    assert work.working
    work.ask()
    work.ask()
    counted.go.release()
    assert counted.began.acquire(timeout=60)
    assert work.fault == "no votes"
    counted.go.release()
    while work.working:
        pass
    assert (counted.calls, work.fault) == (2, "")
    work.close()


def test_closing_waits_for_the_call_that_runs() -> None:
    counted = _Counted()
    counted.calls = 1
    work = BackgroundWork(counted, rest=1000)
    work.ask()
    assert counted.began.acquire(timeout=60)
    threading.Timer(0.2, counted.go.release).start()
    work.close()
    assert (work.working, work.fault) == (False, "")
