"""How many threads a kernel runs on, also where several threads ask at once."""

import threading

import numpy as np
import pytest
import threadpoolctl
from threadpoolctl import ThreadpoolController

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


def of(kind):
    return [pool["num_threads"] for pool in ThreadpoolController().info() if pool["user_api"] == kind]


@pytest.fixture
def two():
    """BLAS on two threads, as on a machine of two cores, whichever thread threadpoolctl would let set it."""
    np.ones((2, 2)) @ np.ones((2, 2))
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [one.num_threads for one in libraries]
    for one in libraries:
        threads._set(one, 2)
    if set(of("blas")) != {2}:
        pytest.skip("BLAS here has one thread alone")
    yield
    for one, count in zip(libraries, before, strict=True):
        threads._set(one, count)


class Holder(threading.Thread):
    """Enters when it is started, and leaves when it is told to."""

    def __init__(self, fail=False):
        super().__init__()
        self.entered, self.leaving, self.fail = threading.Event(), threading.Event(), fail
        self.own = []

    def run(self):
        before = of("openmp")
        try:
            with threads.for_work(1e3):
                self.inside = of("openmp")
                self.entered.set()
                self.leaving.wait(60)
                if self.fail:
                    raise ValueError
        except ValueError:
            pass
        self.own = before, of("openmp")

    def enter(self):
        self.start()
        assert self.entered.wait(60)
        return self

    def leave(self):
        self.leaving.set()
        self.join(60)
        assert not self.is_alive()


@pytest.mark.parametrize("fail", [False, True])
def test_threads_that_overlap_leave_blas_as_it_was(two, fail):
    before = of("blas")
    first, second = Holder(fail).enter(), Holder().enter()
    first.leave()
    assert set(of("blas")) == {1}  # one is still inside
    third = Holder().enter()
    second.leave()
    assert set(of("blas")) == {1}
    third.leave()
    assert of("blas") == before
    for one in (first, second, third):
        assert one.own[0] == one.own[1]  # each its own threads of OpenMP
        assert set(one.inside) <= {1}


def test_one_within_another_and_work_that_is_large(two):
    before = of("blas")
    with threads.for_work(1e12):
        assert of("blas") == before
        with threads.for_work(1e3):
            with threads.for_work(1e3):
                assert set(of("blas")) == {1}
            assert set(of("blas")) == {1}
        assert of("blas") == before


def test_many_threads_at_random(two):
    before, rng = of("blas"), np.random.default_rng(0)
    waits = rng.random((6, 20)) / 500
    seen = []

    def work(own):
        for wait in own:
            with threads.for_work(1e3):
                threading.Event().wait(wait)
                seen.append(max(of("blas")))

    running = [threading.Thread(target=work, args=(own,)) for own in waits]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert set(seen) == {1}
    assert of("blas") == before


def test_a_blas_on_openmp_is_left_to_openmp_whose_number_is_that_of_each_thread(two, monkeypatch):
    """None is installed here: that there is one is what `openblas_get_parallel` would say."""
    before = of("blas")
    threads._libraries.cache_clear()
    try:
        with monkeypatch.context() as there:
            there.setattr(threadpoolctl.OpenBLASController, "_get_threading_layer", lambda self: "openmp")
            with threads.for_work(1e3):
                held = [one for one, _ in threads._held["before"].values()]
                assert not [one for one in held if one.internal_api == "openblas"]
    finally:
        threads._libraries.cache_clear()
    assert of("blas") == before
