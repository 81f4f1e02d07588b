"""How many threads a kernel runs on."""

import threadpoolctl

from neurointerp import threads


def pools() -> list[int]:
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


def test_little_work_runs_on_one_thread_and_what_was_set_comes_back() -> None:
    with threadpoolctl.threadpool_limits(2):
        before = pools()
        with threads.for_work(threads.SERIAL / 2):
            assert set(pools()) == {1}
        assert pools() == before
        with threads.for_work(threads.SERIAL):
            assert pools() == before
    assert 2 in before


def test_threads_come_back_after_an_error() -> None:
    with threadpoolctl.threadpool_limits(2):
        before = pools()
        try:
            with threads.for_work(0):
                raise ValueError
        except ValueError:
            pass
        assert pools() == before
