"""The engine's settings in the simulator: the fast ones as they ship, the slow ones shorter.

What waits for seconds in the product waits for tenths here, so that a schedule of a few virtual
seconds meets all of it.
"""

from outgate.vip.engine.settings import Partition, Settings, validate


def settings(partition: Partition) -> Settings:
    """The settings of a schedule."""
    return Settings(
        isolation=0.6,
        term=0.6,
        renew=0.25,
        keepalive=2.0,
        roster_age=0.2,
        settle=0.7,
        api_patience=0.4,
        api_gap=0.1,
        grace=0.3,
        retry=0.3,
        prepare=0.2,
        restart=0.7,
        partition=partition,
    )


for _mode in Partition:
    assert not validate(settings(_mode)), validate(settings(_mode))
