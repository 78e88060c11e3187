from infinity import Agent, tool
from infinity.testing.simulator import simulate


@tool
async def weigh(parcel: str) -> int:
    """Weigh a parcel."""
    return len(parcel)


def test_nothing_is_lost_whatever_happens():
    simulate(range(20), Agent(tools=[weigh]))
