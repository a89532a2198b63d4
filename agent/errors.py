"""The few ways in which the agent fails on its own."""


class AgentError(Exception):
    """Base of the agent's errors."""


class FlowsRefused(AgentError):
    """The kernel did not list or delete conntrack entries."""


class NodeUnreadable(AgentError):
    """What others have on the node could not be looked at."""
