from sfu.core.observer import JoinStep, JoinTrace


def test_steps_add_up_to_the_total() -> None:
    trace = JoinTrace(started_at=10.0)
    assert trace.finish(JoinStep.AUTH, 10.5) == 0.5
    assert trace.finish(JoinStep.ADMIT, 10.75) == 0.25
    assert trace.finish(JoinStep.ICE, 12.0) == 1.25
    assert trace.total_s == sum(trace.steps.values()) == 2.0


def test_repeated_step_counts_once() -> None:
    trace = JoinTrace(started_at=0.0)
    trace.finish(JoinStep.ICE, 1.0)
    assert trace.finish(JoinStep.ICE, 5.0) is None
    assert trace.total_s == 1.0


def test_closed_trace_takes_no_more() -> None:
    trace = JoinTrace(started_at=0.0, closed=True)
    assert trace.finish(JoinStep.AUTH, 1.0) is None


def test_time_never_runs_back() -> None:
    trace = JoinTrace(started_at=5.0)
    assert trace.finish(JoinStep.AUTH, 4.0) == 0.0
    assert trace.total_s == 0.0
