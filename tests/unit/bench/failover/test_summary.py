from dataclasses import replace

from bench.failover.rounds import Outcome, outcome
from bench.failover.sight import Tracks
from bench.failover.summary import figures
from bench.failover.watch import Answer, Span, Together, Track

ONE = Together(1, 0.0)
GOOD = Outcome(0.3, 0.3, 0.0, True, ONE, ONE, 1, 0, 100, 0.01)


def test_only_ours_has_goals_and_the_time_only_where_a_node_is_cut_off() -> None:
    outcomes = {
        fault: {"outgate": [GOOD], "keepalived": [GOOD]} for fault in ("cut-off", "stopped")
    }
    goals = {one.id for one in figures(outcomes) if one.goal is not None}
    assert goals == {
        "cut-off-outgate-p50",
        "cut-off-outgate-p99",
        "cut-off-outgate-answer",
        "cut-off-outgate-wrong",
        "stopped-outgate-answer",
        "stopped-outgate-wrong",
    }


def test_ipv6_has_figures_and_goals_of_its_own() -> None:
    told = {one.id: one for one in figures({"cut-off": {"outgate-ipv6": [GOOD]}})}
    assert told["cut-off-outgate-ipv6-p99"].goal == 1000
    assert told["cut-off-outgate-ipv6-answer"].goal == 1


def test_the_worst_round_counts_for_what_must_never_be() -> None:
    bad = replace(GOOD, answered=Together(2, 0.5), wrong=3)
    told = {one.id: one for one in figures({"stopped": {"outgate": [GOOD, bad, GOOD]}})}
    assert told["stopped-outgate-answer"].value == 2
    assert told["stopped-outgate-answer"].met is False
    assert told["stopped-outgate-together"].value == 500
    assert told["stopped-outgate-wrong"].value == 3


def test_percentiles_are_over_the_rounds() -> None:
    rounds = [replace(GOOD, unserved=n / 1000) for n in range(1, 101)]
    told = {one.id: one.value for one in figures({"cut-off": {"outgate": rounds}})}
    assert (told["cut-off-outgate-p50"], told["cut-off-outgate-p99"]) == (50, 99)


def test_who_sends_nothing_has_no_wrong_packets_to_tell_of() -> None:
    told = {one.id for one in figures({"stopped": {"keepalived": [replace(GOOD, probes=0)]}})}
    assert "stopped-keepalived-wrong" not in told


def test_an_outcome_tells_the_fault_from_what_comes_after_it() -> None:
    sent = {n: float(n) for n in range(6)}
    arp = Track(sent, [Answer(0.0, 0, 1), Answer(3.0, 3, 2), Answer(4.0, 4, 1), Answer(4.0, 4, 2)])
    data = Track(sent, [Answer(0.0, 0, 9)], [Answer(0.0, 0, 9), Answer(5.0, 5, 8)])
    told = outcome(Tracks(arp, data), Span(0.0, 4.0), Span(4.0, 6.0), address=9)
    assert (told.arp, told.unserved, told.afterwards) == (2.0, 3.0, 2.0)
    assert (told.answered.most, told.healed.most) == (1, 2)
    assert not told.served
    assert (told.wrong, told.probes) == (1, 2)
