import pytest
from chart.rendering import Rendered, render


@pytest.fixture(scope="session")
def rendered() -> Rendered:
    """The chart with its defaults."""
    return render()
