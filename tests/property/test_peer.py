"""Whatever is said arrives unchanged or not at all, whatever is done to it on the way."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from unit.vip.peer.talk import Talk, addresses

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Send
from outgate.vip.engine.words import Claim, Heard, Hearing, Heartbeat, OutSaid, Say
from outgate.vip.peer.bodies import pack, unpack
from outgate.vip.peer.window import SIZE, Window

unhurried = hypothesis_settings(deadline=None)  # the machine is shared

U64 = st.integers(0, 2**64 - 1)
seconds = st.floats(0, 1e9)
names = st.text(st.characters(codec="utf-8"), max_size=20)
ips = st.one_of(
    st.integers(0, 2**32 - 1).map(ip_address),
    st.integers(2**32, 2**128 - 1).map(ip_address),
)
sets = st.frozensets(ips, max_size=12)
heard = st.builds(Heard, U64, U64, seconds, st.sampled_from(Hearing))
says = st.builds(
    Say,
    names,
    U64,
    U64,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.lists(st.builds(Claim, U64, sets), max_size=3).map(tuple),
    sets,
    sets,
    st.frozensets(names, max_size=3),
)
heartbeats = st.builds(
    Heartbeat,
    st.just("a"),
    st.just(1),
    st.integers(1, 2**63),
    st.booleans(),
    seconds,
    st.dictionaries(
        names, st.dictionaries(names, st.builds(OutSaid, U64, seconds), max_size=3), max_size=3
    ),
    st.dictionaries(names, heard, max_size=5),
    st.lists(says, max_size=4).map(lambda many: {one.gateway: one for one in many}),
)


def met() -> Talk:
    talk = Talk("a", "b")
    talk.greet()
    talk.heard["b"].clear()
    talk.codecs["b"].refused.clear()
    return talk


@unhurried
@given(heartbeats)
def test_any_heartbeat_arrives_as_it_was_said(word: Heartbeat) -> None:
    talk = met()
    talk.say(word)
    assert talk.heartbeats("b") == [word]


@unhurried
@given(sets)
def test_addresses_are_the_same_after_packing(some: frozenset[IPAddress]) -> None:
    assert unpack(pack(some)) == some


@unhurried
@given(heartbeats, st.data())
def test_any_flipped_bit_is_refused_and_the_untouched_one_still_heard(
    word: Heartbeat, data: st.DataObject
) -> None:
    talk = met()
    *_, (_, sent) = talk.codecs["a"].encode(Send(("b",), word))
    bit = data.draw(st.integers(0, len(sent) * 8 - 1))
    flipped = bytearray(sent)
    flipped[bit // 8] ^= 1 << bit % 8
    assert talk.bring("a", "b", bytes(flipped)) == ()
    assert talk.heard["b"] == []
    assert sum(talk.codecs["b"].refused.values()) == 1
    talk.codecs["b"].refused.clear()
    talk.bring("a", "b", sent)
    assert not talk.codecs["b"].refused


@unhurried
@given(heartbeats, st.data())
def test_any_truncation_and_any_noise_is_refused(word: Heartbeat, data: st.DataObject) -> None:
    talk = met()
    *_, (_, sent) = talk.codecs["a"].encode(Send(("b",), word))
    talk.bring("a", "b", sent[: data.draw(st.integers(0, len(sent) - 1))])
    talk.bring("a", "b", data.draw(st.binary(max_size=300)))
    assert talk.heard["b"] == []
    assert sum(talk.codecs["b"].refused.values()) == 2


@unhurried
@given(st.lists(st.integers(0, 3 * SIZE), max_size=60), st.integers(0, 5000))
def test_a_counter_is_taken_once_and_never_if_it_is_older_than_the_window(
    counters: list[int], start: int
) -> None:
    window, taken = Window(), set[int]()
    for counter in (start + distance for distance in counters):
        newest = max(taken, default=0)
        expected = counter > 0 and counter not in taken and counter > newest - SIZE
        assert window.take(counter) is expected
        if expected:
            taken.add(counter)


@unhurried
@given(st.data(), st.integers(1, 3))
def test_lost_doubled_and_reordered_datagrams_do_no_harm(data: st.DataObject, boots: int) -> None:
    talk = met()
    said: dict[tuple[int, int], Heartbeat] = {}
    under_way: list[tuple[str, str, bytes]] = []
    counter = serial = 0
    say = Say("g", 0, 1, True, True, True, (), frozenset(), frozenset(), frozenset())
    boot = 1
    for _ in range(data.draw(st.integers(1, 40))):
        talk.later(0.05)
        what = data.draw(st.sampled_from(["say", "change", "deliver", "deliver", "restart"]))
        if what == "restart" and boot <= boots:
            boot += 1
            talk.start("b", boot=boot)
        if what == "change":
            serial += 1
            claims = (Claim(1, addresses(0, serial * 300)),)
            say = Say("g", serial, 1, True, True, True, claims, *[frozenset()] * 3)
        if what == "say":
            counter += 1
            word = said[1, counter] = Heartbeat("a", 1, counter, True, 0.25, {}, {}, {"g": say})
            sent = talk.codecs["a"].encode(Send(("b",), word))
            under_way += [("a", "b", one.data) for one in sent]
        if what == "deliver" and under_way:
            sender, to, one = data.draw(st.sampled_from(under_way))
            under_way += [(to, sender, answer.data) for answer in talk.bring(sender, to, one)]
    came = talk.heartbeats("b")
    assert [word.counter for word in came] == sorted({word.counter for word in came})
    assert all(said[1, word.counter] == word for word in came)
    # And when the wire is good again, so is what is heard.
    for _ in range(3):
        talk.later(0.1)
        counter += 1
        talk.say(Heartbeat("a", 1, counter, True, 0.25, {}, {}, {"g": say}))
    assert talk.heartbeats("b")[-1].counter == counter
