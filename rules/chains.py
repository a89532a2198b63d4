"""All chains of our tables, as nft text: the same on every node but for the settings' constants.

What differs from node to node and from minute to minute is in the sets and maps that they name.
"""

from collections.abc import Mapping

from outgate.api.view import DataPathSettings, IPAddress
from outgate.rules.arriving import arriving_chains
from outgate.rules.leaving import errors_chain, leaving_chains
from outgate.rules.model import Chain
from outgate.rules.source import source_chains, unknown_chains


def static_chains(
    settings: DataPathSettings, *, own: IPAddress, candidate: bool, named: Mapping[str, str]
) -> Mapping[str, Chain]:
    """All chains of `inet outgate` that depend neither on the cluster's nodes nor on policies.

    own: the node's underlay address. named: what the sets `inside4`, `inside6`, `pods4` and `pods6`
    are called.
    """
    chains = {
        **arriving_chains(settings, own=own, candidate=candidate),
        **source_chains(settings, own=own, candidate=candidate, named=named),
        **leaving_chains(settings),
    }
    if settings.strict_start:
        chains |= unknown_chains()
    if settings.reply_route and candidate:
        chains["errors"] = errors_chain()
    return chains
