import pytest

from model.network import Network
from model.synthetic import random_layer
from tests.model.forge import Forge


@pytest.fixture(scope="session")
def network():
    """Two layers, 20 -> 9 -> 5, with padding bits in the last byte of each row of weights."""
    up, down = random_layer(20, 9, "signed", 1, "up"), random_layer(9, 5, "unsigned", 2, "down")
    return Network.chain((up, down), "unsigned", {"dataset": "made up", "commit": "0123abc"})


@pytest.fixture
def forge(network):
    return Forge(network.to_bytes())
