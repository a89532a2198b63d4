from outgate.api.gateway import EgressGateway, EgressGatewaySpec, NodeSelector
from outgate.api.meta import LabelSelector, ObjectMeta
from outgate.controller.model import Snapshot
from outgate.controller.overlay import LIFE, Overlay


def gateway(version: int) -> EgressGateway:
    return EgressGateway(
        metadata=ObjectMeta(name="gw", resource_version=str(version)),
        spec=EgressGatewaySpec(node_selector=NodeSelector(selector=LabelSelector())),
    )


def watched(version: int | None = None) -> Snapshot:
    return Snapshot(gateways={} if version is None else {("", "gw"): gateway(version)})


def version_in(snapshot: Snapshot) -> str:
    found = snapshot.gateways.get(("", "gw"))
    return found.metadata.resource_version if found else ""


def overlay(*, shown: bool = True) -> Overlay:
    made = Overlay()
    made.saw("gateways", gateway(5), shown=shown, now=0.0)
    return made


def test_answer_counts_until_the_watch_shows_it() -> None:
    known = overlay()
    assert version_in(known.over(watched(4), now=1.0)) == "5"
    assert version_in(known.over(watched(5), now=1.0)) == "5"
    assert known.expiry() is None


def test_newer_object_of_the_watch_counts() -> None:
    assert version_in(overlay().over(watched(6), now=1.0)) == "6"


def test_object_that_the_watch_showed_and_shows_no_more_is_gone() -> None:
    assert version_in(overlay().over(watched(), now=1.0)) == ""


def test_created_object_counts_though_the_watch_does_not_show_it_yet() -> None:
    assert version_in(overlay(shown=False).over(watched(), now=1.0)) == "5"


def test_created_object_that_the_watch_showed_meanwhile_is_gone_with_it() -> None:
    known = overlay(shown=False)
    known.over(watched(4), now=1.0)
    assert version_in(known.over(watched(), now=2.0)) == ""


def test_unconfirmed_answer_is_forgotten_in_the_end() -> None:
    known = overlay(shown=False)
    assert known.expiry() == LIFE
    assert version_in(known.over(watched(), now=LIFE)) == ""


def test_deleted_object_is_hidden_until_the_watch_drops_it_or_shows_a_new_one() -> None:
    known = Overlay()
    known.deleted("gateways", gateway(5), now=0.0)
    assert version_in(known.over(watched(5), now=1.0)) == ""
    assert version_in(known.over(watched(7), now=1.0)) == "7"


def test_snapshot_without_news_is_the_watchs_own() -> None:
    shown = watched(5)
    assert Overlay().over(shown, now=0.0) is shown
