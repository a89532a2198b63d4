from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outgate.kube.election import Belief, Record, Step, Timing, decide, granted, leads, observe

TIMING = Timing(duration=15.0, renew_deadline=10.0, retry=2.0)


def record(holder: str, *, version: str = "1", duration: float = 15.0) -> Record:
    return Record(holder=holder, duration=duration, renewed=f"at {version}", version=version)


@pytest.mark.parametrize(
    ("found", "now", "step"),
    [
        (None, 0.0, "create"),
        (record(""), 0.0, "take"),
        (record("me"), 0.0, "renew"),
        (record("me"), 99.0, "renew"),
        (record("other"), 0.0, "wait"),
        (record("other"), 14.9, "wait"),
        (record("other"), 15.0, "take"),
        (record("other", duration=30.0), 15.0, "wait"),
        (record("other", duration=30.0), 30.0, "take"),
    ],
)
def test_the_next_step(found: Record | None, now: float, step: Step) -> None:
    belief = observe(Belief(), found, now=0.0)
    assert decide(belief, me="me", now=now) == step


def test_a_lease_that_somebody_deleted_is_not_made_before_its_holder_has_noticed() -> None:
    belief = observe(Belief(), record("other"), now=0.0)
    belief = observe(belief, None, now=5.0)
    belief = observe(belief, None, now=12.0)
    assert decide(belief, me="me", now=19.9) == "wait"
    assert decide(belief, me="me", now=20.0) == "create"


def test_a_holder_whose_lease_was_deleted_makes_it_at_once() -> None:
    belief = observe(granted(Belief(), record("me"), sent=0.0), None, now=2.0)
    assert not leads(belief, me="me", now=2.0, timing=TIMING)
    assert decide(belief, me="me", now=2.0) == "create"


def test_time_counts_from_when_a_record_was_first_seen() -> None:
    belief = observe(Belief(), record("other"), now=100.0)
    belief = observe(belief, record("other"), now=110.0)
    assert decide(belief, me="me", now=114.0) == "wait"
    assert decide(belief, me="me", now=115.0) == "take"


def test_a_renewal_by_the_other_starts_the_time_anew() -> None:
    belief = observe(Belief(), record("other", version="1"), now=0.0)
    belief = observe(belief, record("other", version="2"), now=14.0)
    assert decide(belief, me="me", now=28.0) == "wait"


def test_a_leader_leads_until_the_renew_deadline_after_it_sent_its_renewal() -> None:
    belief = granted(Belief(), record("me"), sent=100.0)
    assert leads(belief, me="me", now=109.9, timing=TIMING)
    assert not leads(belief, me="me", now=110.0, timing=TIMING)


def test_reading_ones_own_name_is_not_yet_leading() -> None:
    # A write that timed out may have been done, but when is not known.
    belief = observe(Belief(), record("me"), now=0.0)
    assert decide(belief, me="me", now=0.0) == "renew"
    assert not leads(belief, me="me", now=0.0, timing=TIMING)


def test_whoever_reads_that_another_holds_it_leads_no_more() -> None:
    belief = granted(Belief(), record("me"), sent=0.0)
    belief = observe(belief, record("other", version="2"), now=1.0)
    assert not leads(belief, me="me", now=1.0, timing=TIMING)


def test_a_label_on_the_lease_changes_the_version_but_not_the_leader() -> None:
    belief = granted(Belief(), record("me"), sent=0.0)
    belief = observe(belief, record("me", version="2"), now=1.0)
    assert leads(belief, me="me", now=1.0, timing=TIMING)


@pytest.mark.parametrize(
    "wrong",
    [{"duration": 10.0}, {"renew_deadline": 2.0}, {"retry": 0.0}],
)
def test_timings_that_would_let_two_lead_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="duration > renew deadline > retry"):
        replace(TIMING, **wrong)


@settings(deadline=None)  # the machine is shared
@given(
    turns=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),  # who acts
            st.floats(min_value=0.0, max_value=20.0),  # how long after the last act
            st.floats(min_value=0.0, max_value=3.0),  # how long its write is under way
            st.booleans(),  # whether the answer comes back
        ),
        max_size=60,
    )
)
def test_two_never_lead_at_once(turns: list[tuple[str, float, float, bool]]) -> None:
    now = 0.0
    stored: Record | None = None
    version = 0
    beliefs = dict.fromkeys("abc", Belief())
    for who, pause, travel, answered in turns:
        now += pause
        belief = observe(beliefs[who], stored, now=now)
        if decide(belief, me=who, now=now) != "wait":
            sent, now = now, now + travel
            version += 1
            stored = record(who, version=str(version))
            if answered:
                belief = granted(belief, stored, sent=sent)
        beliefs[who] = belief
        leaders = [me for me in beliefs if leads(beliefs[me], me=me, now=now, timing=TIMING)]
        assert len(leaders) <= 1, leaders
