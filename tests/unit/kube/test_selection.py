import pytest

from outgate.kube.selection import matcher

ITEM = {
    "metadata": {"name": "a", "namespace": "team", "labels": {"app": "web", "tier": "front"}},
    "spec": {"nodeName": "node-a"},
}


@pytest.mark.parametrize(
    ("labels", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app == web", True),
        ("app!=web", False),
        ("zone!=x", True),
        ("app", True),
        ("!app", False),
        ("!zone", True),
        ("app in (web, db)", True),
        ("app notin (web, db)", False),
        ("zone notin (x)", True),
        ("app in (db),tier=front", False),
        ("app in (web,db),tier=front", True),
    ],
)
def test_label_selectors(labels: str, selected: bool) -> None:
    assert matcher(namespace="", field_selector="", label_selector=labels)(ITEM) is selected


@pytest.mark.parametrize(
    ("fields", "selected"),
    [
        ("metadata.name=a", True),
        ("metadata.name!=a", False),
        ("spec.nodeName=node-a,metadata.namespace=team", True),
        ("spec.nodeName=", False),
        ("status.phase=", True),
    ],
)
def test_field_selectors(fields: str, selected: bool) -> None:
    assert matcher(namespace="", field_selector=fields, label_selector="")(ITEM) is selected


def test_a_namespace_selects_its_own() -> None:
    assert matcher(namespace="team", field_selector="", label_selector="")(ITEM)
    assert not matcher(namespace="other", field_selector="", label_selector="")(ITEM)


@pytest.mark.parametrize(("fields", "labels"), [("spec", ""), ("", "app in web")])
def test_what_is_no_selector_is_refused(fields: str, labels: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        matcher(namespace="", field_selector=fields, label_selector=labels)
